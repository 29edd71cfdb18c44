//! What has ended is removed on demand; by itself it goes by age and number with every settlement and sweep.

use std::time::Duration;

use redis::Value;

use super::{
    Queue, QueueError,
    inspect::{number, text},
    outbox::OutboxEntry,
};
use crate::Specialty;

/// A status that tasks end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Completed,
    Failed,
    Cancelled,
}

impl Ended {
    pub const ALL: [Self; 3] = [Self::Completed, Self::Failed, Self::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What is to go: whatever is beyond either limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trim {
    /// How many of the newest stay.
    pub keep: Option<u64>,
    /// What ended longer ago goes.
    pub older_than: Option<Duration>,
}

impl Queue {
    /// Removes the oldest tasks of `specialty` that ended so, with record, specification and log; returns how many.
    /// A hundred at a time, so that others are served in between.
    pub async fn trim(&self, specialty: &Specialty, ended: Ended, trim: Trim) -> Result<u64, QueueError> {
        let keys = self.keys().specialty(specialty);
        let keep = trim.keep.map(|keep| keep.to_string()).unwrap_or_default();
        let age_ms = trim.older_than.map(|age| age.as_millis().to_string()).unwrap_or_default();
        let args = [ended.as_str(), &keep, &age_ms];
        let mut removed = 0;
        loop {
            let answer: Vec<Value> =
                self.inner.scripts.trim.call(&self.inner.connections, keys.base(), &args).await?;
            for item in answer.iter().skip(1) {
                if let Value::Array(parts) = item
                    && let [entry, task] = parts.as_slice()
                {
                    let due = OutboxEntry {
                        entry: text(entry),
                        task: text(task),
                        issue: String::new(),
                        share: None,
                    };
                    if !due.entry.is_empty() {
                        self.deliver_late(specialty, &due).await;
                    }
                    removed += 1;
                }
            }
            if answer.first().map_or(0, number) == 0 {
                return Ok(removed);
            }
        }
    }
}
