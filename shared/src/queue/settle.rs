//! A run ends: the task is moved on, exactly once, by whoever holds the newest fence.

use std::time::Duration;

use redis::Value;

use super::{
    Lease, Queue, QueueError,
    inspect::{first_word, text},
    outbox::OutboxEntry,
    record,
};
use crate::{Failure, Outcome, Specialty, TaskSpec, crash_point::CrashPoint};

/// What a settlement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    Done,
    /// A retry became a failure: the attempts are used up.
    Failed,
    /// A cancel had been asked for and won.
    Cancelled,
    /// The same lease settled the task before; the answer to that was lost.
    Already,
    /// Another holds the task, or held it since. Nothing was changed.
    Stale,
}

impl Queue {
    /// Active -> completed.
    pub async fn complete(&self, lease: &Lease, outcome: &Outcome) -> Result<Settlement, QueueError> {
        let fields = record::outcome_fields(outcome).into_iter();
        self.settle("complete", lease, fields.flat_map(|(name, value)| [name.to_owned(), value]).collect())
            .await
    }

    /// Active -> failed.
    pub async fn fail(&self, lease: &Lease, failure: &Failure) -> Result<Settlement, QueueError> {
        let branch = failure.branch.clone().unwrap_or_default();
        let more = vec![failure.class.to_string(), record::failure_message(failure), branch];
        self.settle("fail", lease, more).await
    }

    /// Active -> delayed, counted; failed when that was the last attempt.
    pub async fn retry(
        &self,
        lease: &Lease,
        failure: &Failure,
        delay: Duration,
    ) -> Result<Settlement, QueueError> {
        let more = vec![
            delay.as_millis().to_string(),
            self.settings().attempts_max.to_string(),
            failure.class.to_string(),
            record::failure_message(failure),
        ];
        self.settle("retry", lease, more).await
    }

    /// Active -> pending, uncounted and next in line.
    pub async fn release(&self, lease: &Lease, reason: &str) -> Result<Settlement, QueueError> {
        self.settle("release", lease, vec![reason.to_owned()]).await
    }

    async fn settle(
        &self,
        transition: &str,
        lease: &Lease,
        more: Vec<String>,
    ) -> Result<Settlement, QueueError> {
        let mut args = vec![transition.to_owned()];
        args.extend(lease.args());
        args.push(more.len().to_string());
        args.extend(more);
        let answer = self.inner.settler.settle(self, &lease.specialty, args).await?;
        let settlement = match first_word(&answer).as_str() {
            "done" => Settlement::Done,
            "failed" => Settlement::Failed,
            "cancelled" => Settlement::Cancelled,
            "already" => Settlement::Already,
            "stale" => Settlement::Stale,
            "error" => {
                let detail = answer.get(1).map(text).unwrap_or_default();
                return Err(QueueError::of_one_task("settle", &detail));
            }
            other => return Err(QueueError::unexpected("settle", other)),
        };
        CrashPoint::Settled.reached();
        self.deliver_answer(&lease.specialty, lease.id.as_str(), &answer).await;
        Ok(settlement)
    }

    /// The effect due in other slots that a settling script's answer names, where it names one.
    pub(super) async fn deliver_answer(&self, specialty: &Specialty, task: &str, answer: &[Value]) {
        let entry = answer.get(1).map(text).unwrap_or_default();
        if !entry.is_empty() {
            let issue = answer.get(2).map(text).unwrap_or_default();
            self.deliver(specialty, &OutboxEntry { entry, task: task.to_owned(), issue, share: None }).await;
        }
    }

    /// Cancels a task that its issue's key does not name, as the holder of its lease.
    pub async fn cancel_duplicate(
        &self,
        lease: &Lease,
        spec: &TaskSpec,
        other: &str,
    ) -> Result<Settlement, QueueError> {
        let issue = spec.issue.unwrap_or_default();
        self.cancel(&lease.id, &format!("duplicate: issue {issue} has task {other}")).await?;
        CrashPoint::DuplicateFlagged.reached();
        self.release(lease, "duplicate").await
    }
}
