//! Every transition, in a capped stream a specialty, for dashboards and for whoever waits for a task.

use std::collections::BTreeMap;

use super::{Queue, QueueError};
use crate::{Specialty, lifecycle::UnixMs};

/// Most events that one read returns.
const READ_EVENTS_MAX: usize = 1_000;

/// One transition.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Event {
    /// Where to read on: pass it as `after`.
    pub cursor: String,
    pub at: UnixMs,
    /// The status entered, or `phase` or `cancelling`.
    pub event: String,
    pub task: String,
    /// Whatever else the transition tells, such as `worker`, `reason` or `fence`.
    pub details: BTreeMap<String, String>,
}

impl Queue {
    /// Up to `count` events of `specialty` after the cursor `after`, or from the oldest that is kept.
    pub async fn events_after(
        &self,
        specialty: &Specialty,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<Event>, QueueError> {
        let key = self.keys().specialty(specialty).events();
        let entries = self.read_stream(&key, after, count.min(READ_EVENTS_MAX)).await?;
        let events = entries.into_iter().map(|(cursor, mut fields)| Event {
            at: super::inspect::stream_ms(&cursor),
            event: fields.remove("event").unwrap_or_default(),
            task: fields.remove("task").unwrap_or_default(),
            details: fields,
            cursor,
        });
        Ok(events.collect())
    }
}
