//! Where a task is to be looked for. On one server the scripts that let tasks in take the locator themselves; elsewhere,
//! and for held tasks, it goes in steps:
//!
//! ```text
//!   1 take   the locator, for an hour: whoever dies now leaves the id free again
//!   2 make   the task, within ten minutes, and an outbox entry that says what is to follow
//!   3 keep   the locator has no end any more; the entry goes. Whoever dies before that, a sweep does it
//! ```

use std::time::Duration;

use super::{Queue, QueueError};
use crate::{Specialty, TaskId};

/// How long a locator lasts whose task is still to come: a process that dies in between leaves the id free again.
const LOCATOR_PROVISIONAL: Duration = Duration::from_secs(3_600);

/// How long its task may take to come. Shorter by more than the clocks of a Cluster's nodes may differ: whoever was
/// frozen for long must not make a task whose locator names another specialty by now.
const TASK_COMES: Duration = Duration::from_secs(600);

/// How long a locator stays of a task that is gone: for whoever read it a moment ago and is about to use it.
pub(super) const LOCATOR_REST_MS: u64 = 60_000;

/// A locator in another slot than its task.
#[derive(Debug)]
pub(super) struct Located {
    /// What it names.
    pub specialty: Specialty,
    /// Until when the task may be made.
    pub deadline_ms: u64,
}

impl Queue {
    /// Takes the locator, unless it names a specialty already.
    pub(super) async fn locate_or_take(
        &self,
        id: &TaskId,
        specialty: &Specialty,
    ) -> Result<Located, QueueError> {
        let key = self.keys().locator(id);
        let args = [
            specialty.to_string(),
            LOCATOR_PROVISIONAL.as_millis().to_string(),
            TASK_COMES.as_millis().to_string(),
        ];
        let (named, deadline_ms): (String, u64) =
            self.inner.scripts.locator_take.call(&self.inner.connections, &key, &args).await?;
        let specialty = named.parse().map_err(|error| QueueError::unexpected("the locator", error))?;
        Ok(Located { specialty, deadline_ms })
    }

    /// The locator of a task that has come has no end any more, unless the task has ended since. `due` tells sweeps of
    /// it, should this stop.
    pub(super) async fn keep_locator(
        &self,
        specialty: &Specialty,
        id: &TaskId,
        due: &str,
    ) -> Result<(), QueueError> {
        let key = self.keys().locator(id);
        let connections = &self.inner.connections;
        connections
            .run(async |mut connection| {
                redis::cmd("PERSIST").arg(&key).query_async::<()>(&mut connection).await
            })
            .await?;
        // The task may have ended before this, and its settlement has set the end for the last time.
        let record = self.task(id).await?;
        let settled = record.is_none_or(|record| record.status.is_settled());
        let life_ms = self.settings().locator_life_ms();
        let outbox = self.keys().specialty(specialty).outbox();
        connections
            .run(async |mut connection| {
                if settled {
                    let mut end = redis::cmd("PEXPIRE");
                    end.arg(&key).arg(life_ms).query_async::<()>(&mut connection).await?;
                }
                redis::cmd("XDEL").arg(&outbox).arg(due).query_async(&mut connection).await
            })
            .await
    }
}
