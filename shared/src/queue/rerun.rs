//! A person wants a task to run again that ended without a result.

use super::{Queue, QueueError, enqueue_issue::ISSUE_PROVISIONAL_MS, inspect::first_word};
use crate::{RepositoryName, TaskId, TaskRecord, crash_point::CrashPoint};

/// The answer to a manual retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RerunAnswer {
    /// It waits at the end of its line, with the attempts of a new task.
    Pending,
    /// It has not failed nor been cancelled. A repetition of one that worked finds it so.
    WrongState(Box<TaskRecord>),
    /// Its specification is gone.
    NoSpec,
    /// Its issue has another unsettled task by now.
    IssueTaken {
        task: TaskId,
    },
    Unknown,
}

impl Queue {
    /// Failed, cancelled -> pending. `by` stands in the event.
    ///
    /// The issue's key is taken first, for a minute, as for a new task; once the task is pending, key and locator are
    /// made lasting through the outbox: stopped in between, a sweep does it.
    pub async fn rerun(&self, id: &TaskId, by: &str) -> Result<RerunAnswer, QueueError> {
        let Some(record) = self.task(id).await? else { return Ok(RerunAnswer::Unknown) };
        if !matches!(record.status.name(), "failed" | "cancelled") {
            return Ok(RerunAnswer::WrongState(Box::new(record)));
        }
        if let Some(number) = record.issue
            && let Some(task) = self.issue_claimed_by(&record.repository, number, id).await?
        {
            return Ok(RerunAnswer::IssueTaken { task });
        }
        CrashPoint::RerunIssueTaken.reached();
        let asked = self.ask(id, &self.inner.scripts.rerun, &[id.as_str(), by]).await?;
        let Some((specialty, answer)) = asked else { return Ok(RerunAnswer::Unknown) };
        match first_word(&answer).as_str() {
            "pending" => {
                CrashPoint::RerunPending.reached();
                self.follow_answer(&specialty, id, &answer).await;
                Ok(RerunAnswer::Pending)
            }
            "no_spec" => Ok(RerunAnswer::NoSpec),
            "wrong" => {
                // Somebody else was faster, whose lasting key is one for a minute now.
                self.follow(&specialty, id, "").await?;
                self.or_unknown(id, RerunAnswer::WrongState, RerunAnswer::Unknown).await
            }
            other => Err(QueueError::unexpected("rerun", other)),
        }
    }

    /// Takes the issue for a minute; the other unsettled task where it has one.
    async fn issue_claimed_by(
        &self,
        repository: &RepositoryName,
        number: u64,
        id: &TaskId,
    ) -> Result<Option<TaskId>, QueueError> {
        let key = self.keys().issue(repository, number);
        let mut expected = None;
        while let Some(named) = self.issue_take(&key, id, expected.as_ref(), ISSUE_PROVISIONAL_MS).await? {
            match self.task(&named.task).await? {
                Some(record) if !record.status.is_settled() => return Ok(Some(named.task)),
                _ => expected = Some(named.task),
            }
        }
        Ok(None)
    }
}
