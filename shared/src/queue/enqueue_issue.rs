//! The tasks of issues: one active task an issue, one task a delivery.

use std::time::Duration;

use redis::Value;
use tokio::time::sleep;

use super::{Queue, QueueError, inspect::first_word};
use crate::{Status, TaskId, TaskSpec, crash_point::CrashPoint};

/// How long an issue's key lasts that names a task not yet enqueued. An ingester that dies in between
/// leaves the issue free again after this.
pub(super) const ISSUE_PROVISIONAL_MS: u64 = 60_000;

/// How long such a key is taken to mean that its ingester is just about to enqueue. Deliveries for one
/// issue come in bunches: opened, and labelled in the same second.
const ISSUE_IN_PROGRESS_MS: u64 = 1_500;

/// Wait before such a key is looked at again.
const ISSUE_PAUSE: Duration = Duration::from_millis(25);

/// What became of a task that an issue asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssueEnqueued {
    Created,
    /// The issue has an unsettled task already.
    Duplicate {
        task: TaskId,
    },
    /// This very delivery made a task before, or what it tells of did, or something later.
    Delivered {
        task: TaskId,
    },
}

/// What an issue's key names.
pub(super) struct Named {
    pub task: TaskId,
    /// Life of a provisional key; `None` of a lasting one.
    left_ms: Option<u64>,
}

impl Queue {
    /// Makes the task of an issue pending, unless the issue has an unsettled one, or `delivery` made one.
    ///
    /// The issue's key is taken first, for a minute; then the task is enqueued; then key and delivery are made
    /// lasting. Stopped in between, a redelivery ends in one task: either this one is found through the
    /// issue's key, or the key names a task that never came to be and is replaced. Should two tasks of an
    /// issue come to be all the same (one ingester slept between the steps), a worker cancels the one that
    /// the key does not name before it prepares anything.
    ///
    /// What triggers is told more than once, by a webhook and by a poll, and perhaps days apart: what happened no later,
    /// by the forge's clock, than what led to a task before makes none.
    pub async fn enqueue_issue(
        &self,
        spec: &TaskSpec,
        delivery: Option<&str>,
    ) -> Result<IssueEnqueued, QueueError> {
        if let Some(guid) = delivery
            && let Some(task) = self.delivered(guid).await?
        {
            return Ok(IssueEnqueued::Delivered { task });
        }
        let Some(number) = spec.issue else {
            return Err(QueueError::unexpected("enqueue_issue", "the task has no issue"));
        };
        let key = self.keys().issue(&spec.repository, number);
        let mut expected = None;
        loop {
            match self.issue_take(&key, &spec.id, expected.as_ref(), ISSUE_PROVISIONAL_MS).await? {
                None => break,
                Some(Named { task, left_ms }) => match self.task(&task).await? {
                    Some(record) if !record.status.is_settled() => {
                        self.remember_trigger(spec, &task).await?;
                        self.remember_delivery(delivery, &task).await?;
                        return Ok(IssueEnqueued::Duplicate { task });
                    }
                    None if left_ms.is_some_and(|ms| ms + ISSUE_IN_PROGRESS_MS > ISSUE_PROVISIONAL_MS) => {
                        sleep(ISSUE_PAUSE).await;
                    }
                    // Settled, or never enqueued: replaced, if the key still names it.
                    _ => expected = Some(task),
                },
            }
        }
        CrashPoint::IssueTaken.reached();
        // Asked with the issue's key in hand: nobody else makes a task of the same trigger meanwhile.
        if let Some(task) = self.triggered(spec).await? {
            self.inner
                .scripts
                .issue_free
                .call::<u64>(&self.inner.connections, &key, &[spec.id.as_str()])
                .await?;
            self.remember_delivery(delivery, &task).await?;
            return Ok(IssueEnqueued::Delivered { task });
        }
        self.remember_trigger(spec, &spec.id).await?;
        CrashPoint::TriggerKept.reached();
        self.enqueue(spec).await?;
        CrashPoint::IssueEnqueued.reached();
        self.issue_take(&key, &spec.id, None, 0).await?;
        self.free_of_settled(&key, &spec.id).await?;
        CrashPoint::IssueKept.reached();
        self.remember_delivery(delivery, &spec.id).await?;
        CrashPoint::DeliveryKept.reached();
        // Last, so that an outage uses no run up.
        self.count_issue_run(&spec.repository, number, &spec.id).await?;
        Ok(IssueEnqueued::Created)
    }

    /// Whether `spec` is its issue's one active task; made so where the issue's key names no living one. Asked
    /// by a worker before it prepares anything.
    pub async fn owns_issue(&self, spec: &TaskSpec) -> Result<Option<TaskId>, QueueError> {
        let Some(number) = spec.issue else { return Ok(None) };
        self.own_issue(&self.keys().issue(&spec.repository, number), &spec.id).await
    }

    /// Makes the issue's key name `id`, unless it names another living task.
    pub(super) async fn own_issue(&self, key: &str, id: &TaskId) -> Result<Option<TaskId>, QueueError> {
        let mut expected = None;
        loop {
            let Some(Named { task: other, .. }) = self.issue_take(key, id, expected.as_ref(), 0).await?
            else {
                self.free_of_settled(key, id).await?;
                return Ok(None);
            };
            match self.task(&other).await? {
                Some(record) if !record.status.is_settled() && !matches!(record.status, Status::Held) => {
                    return Ok(Some(other));
                }
                _ => expected = Some(other),
            }
        }
    }

    /// Frees an issue of a task that ended before its key was made lasting: whoever did that slept in between, and
    /// the settlement has freed the issue for the last time.
    async fn free_of_settled(&self, key: &str, id: &TaskId) -> Result<(), QueueError> {
        if self.task(id).await?.is_none_or(|record| record.status.is_settled()) {
            self.inner.scripts.issue_free.call::<u64>(&self.inner.connections, key, &[id.as_str()]).await?;
        }
        Ok(())
    }

    /// `None` when the key names `id` now, else what it names.
    pub(super) async fn issue_take(
        &self,
        key: &str,
        id: &TaskId,
        expected: Option<&TaskId>,
        life_ms: u64,
    ) -> Result<Option<Named>, QueueError> {
        let args = [id.as_str(), expected.map_or("", TaskId::as_str), &life_ms.to_string()];
        let answer: Vec<Value> =
            self.inner.scripts.issue_take.call(&self.inner.connections, key, &args).await?;
        if first_word(&answer) == "taken" {
            return Ok(None);
        }
        let (_, other, left_ms): (String, String, i64) = redis::from_redis_value(Value::Array(answer))
            .map_err(|error| QueueError::unexpected("issue_take", error))?;
        let task = other.parse().map_err(|error| QueueError::unexpected("the issue's key", error))?;
        Ok(Some(Named { task, left_ms: u64::try_from(left_ms).ok() }))
    }

    async fn delivered(&self, guid: &str) -> Result<Option<TaskId>, QueueError> {
        let key = self.keys().delivery(guid);
        let named: Option<String> = self
            .inner
            .connections
            .run(async |mut connection| redis::cmd("GET").arg(&key).query_async(&mut connection).await)
            .await?;
        named
            .map(|text| text.parse().map_err(|error| QueueError::unexpected("a delivery", error)))
            .transpose()
    }

    async fn remember_delivery(&self, delivery: Option<&str>, id: &TaskId) -> Result<(), QueueError> {
        let Some(guid) = delivery else { return Ok(()) };
        let key = self.keys().delivery(guid);
        let life_s = self.settings().delivery_ttl_hours * 3_600;
        self.inner
            .connections
            .run(async |mut connection| {
                redis::cmd("SET")
                    .arg(&key)
                    .arg(id.as_str())
                    .arg("EX")
                    .arg(life_s)
                    .query_async(&mut connection)
                    .await
            })
            .await
    }
}
