//! What a settlement causes in other slots: the locator's end is set, the issue is free again.
//!
//! The settlement writes an outbox entry in its own script; the effects follow and are repeatable, then the
//! entry goes. Whoever settled does it at once; what is left behind by a crash, a sweep finds.

use super::{Queue, QueueError};
use crate::{Specialty, TaskId, crash_point::CrashPoint};

/// An effect that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its id in the outbox.
    pub entry: String,
    /// The settled task.
    pub task: String,
    /// `repository#number`, or empty.
    pub issue: String,
}

impl Queue {
    /// Carries out one outbox entry. A failure is left to the next sweep.
    pub(super) async fn deliver(&self, specialty: &Specialty, due: &OutboxEntry) {
        CrashPoint::EffectDue.reached();
        if let Err(error) = self.carry_out(specialty, due).await {
            tracing::debug!(%error, %specialty, entry = due.entry, "outbox entry is left to the next sweep");
        }
    }

    /// How long a settled task is located: an hour longer than its record lasts, so that a locator never ends first.
    pub(super) fn locator_life_s(&self) -> u64 {
        self.settings().finished_age_hours * 3_600 + 3_600
    }

    /// The effects of one entry; repeatable.
    async fn carry_out(&self, specialty: &Specialty, due: &OutboxEntry) -> Result<(), QueueError> {
        let OutboxEntry { entry, task, issue } = due;
        let connections = &self.inner.connections;
        if !issue.is_empty() {
            let key = self.keys().issue_by_name(issue);
            self.inner.scripts.issue_free.call::<u64>(connections, &key, &[task.as_str()]).await?;
            CrashPoint::IssueFreed.reached();
        }
        let life_s = self.locator_life_s();
        let outbox = self.keys().specialty(specialty).outbox();
        let locator = task.parse::<TaskId>().map(|id| self.keys().locator(&id));
        connections
            .run(async |mut connection| {
                if let Ok(locator) = &locator {
                    redis::cmd("EXPIRE").arg(locator).arg(life_s).query_async::<()>(&mut connection).await?;
                    CrashPoint::LocatorEnds.reached();
                }
                redis::cmd("XDEL").arg(&outbox).arg(entry).query_async::<()>(&mut connection).await
            })
            .await
    }
}
