//! Every transition, in a capped stream a specialty, for dashboards and for whoever waits for a task.

use std::collections::BTreeMap;

use super::{Queue, QueueError};
use crate::{Specialty, lifecycle::UnixMs};

/// Most events that one read returns.
const READ_EVENTS_MAX: usize = 1_000;

/// The cursor before the first event there can be.
const BEGINNING: &str = "0-0";

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

    /// The cursor behind the newest event of `specialty`: what is read after it is yet to happen.
    pub async fn events_end(&self, specialty: &Specialty) -> Result<String, QueueError> {
        let key = self.keys().specialty(specialty).events();
        let newest: Vec<(String, redis::Value)> = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("XREVRANGE")
                    .arg(&key)
                    .arg("+")
                    .arg("-")
                    .arg("COUNT")
                    .arg(1)
                    .query_async(&mut connection)
                    .await
            })
            .await?;
        Ok(newest.into_iter().next().map_or_else(|| BEGINNING.to_owned(), |(cursor, _)| cursor))
    }
}

/// The cursor before whatever happens at `at` or later.
pub fn events_from(at: UnixMs) -> String {
    // Not "at-0": that is an event's own id, and a cursor leaves out the event it names.
    at.checked_sub(1).map_or_else(|| BEGINNING.to_owned(), |before| format!("{before}-{}", u64::MAX))
}
