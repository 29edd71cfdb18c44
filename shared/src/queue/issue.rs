//! What is known of an issue: its one active task, and how many it has started of late.

use std::time::Duration;

use super::{Queue, QueueError};
use crate::{RepositoryName, TaskId, TaskRecord, TaskSpec, task::Trigger};

/// How long a started task counts against its issue's limit.
const RUNS_WINDOW_MS: u64 = 86_400_000;

/// Tasks of one issue that are remembered. No limit is higher.
const RUNS_KEPT_MAX: usize = 1_000;

/// A webhook and the issue's history may differ by this about when a label was set.
const CLOCKS_DIFFER_MS: u64 = 2_000;

/// How long it is remembered what an issue was last triggered by. Polls look back half as far at most.
pub(super) const TRIGGER_LIFE: Duration = Duration::from_secs(28 * 86_400);

impl Queue {
    /// The issue's task that has not ended, wherever it is.
    pub async fn issue_task(
        &self,
        repository: &RepositoryName,
        number: u64,
    ) -> Result<Option<TaskRecord>, QueueError> {
        let key = self.keys().issue(repository, number);
        let named: Option<String> = self
            .inner
            .connections
            .run(async |mut connection| redis::cmd("GET").arg(&key).query_async(&mut connection).await)
            .await?;
        let Some(named) = named else { return Ok(None) };
        let id: TaskId = named.parse().map_err(|error| QueueError::unexpected("the issue's key", error))?;
        Ok(self.task(&id).await?.filter(|record| !record.status.is_settled()))
    }

    /// How many tasks the issue has started within 24 hours.
    pub async fn issue_runs(&self, repository: &RepositoryName, number: u64) -> Result<u32, QueueError> {
        self.runs(repository, number, "").await
    }

    /// Counts a task that the issue has started; once, however often it is repeated.
    pub(super) async fn count_issue_run(
        &self,
        repository: &RepositoryName,
        number: u64,
        started: &TaskId,
    ) -> Result<(), QueueError> {
        self.runs(repository, number, started.as_str()).await.map(drop)
    }

    async fn runs(&self, repository: &RepositoryName, number: u64, started: &str) -> Result<u32, QueueError> {
        let key = self.keys().issue_runs(repository, number);
        let args = [&RUNS_WINDOW_MS.to_string(), &RUNS_KEPT_MAX.to_string(), started];
        self.inner.scripts.issue_runs.call(&self.inner.connections, &key, &args).await
    }

    /// The other task that came of what `spec` was triggered by, or of something later.
    pub(super) async fn triggered(&self, spec: &TaskSpec) -> Result<Option<TaskId>, QueueError> {
        let Some((number, at_ms)) = spec.issue.zip(spec.triggered_at_ms) else { return Ok(None) };
        let key = self.keys().issue_trigger(&spec.repository, number);
        let known: Option<String> = self
            .inner
            .connections
            .run(async |mut connection| redis::cmd("GET").arg(&key).query_async(&mut connection).await)
            .await?;
        let Some(known) = known else { return Ok(None) };
        let (known_ms, task) = known.split_once(':').unwrap_or_default();
        let read = known_ms.parse::<u64>().ok().zip(task.parse::<TaskId>().ok());
        let (known_ms, task) =
            read.ok_or_else(|| QueueError::unexpected("the issue's last trigger", &known))?;
        let slack_ms = if spec.trigger == Trigger::Comment { 0 } else { CLOCKS_DIFFER_MS };
        if known_ms + slack_ms < at_ms || task == spec.id {
            return Ok(None);
        }
        // It is written before the task is: whoever did that may have died in between.
        Ok(self.task(&task).await?.map(|record| record.id))
    }

    /// What `spec` was triggered by has led to `task`.
    pub(super) async fn remember_trigger(&self, spec: &TaskSpec, task: &TaskId) -> Result<(), QueueError> {
        let Some((number, at_ms)) = spec.issue.zip(spec.triggered_at_ms) else { return Ok(()) };
        let key = self.keys().issue_trigger(&spec.repository, number);
        let args = [at_ms.to_string(), task.to_string(), TRIGGER_LIFE.as_millis().to_string()];
        self.inner.scripts.issue_trigger.call::<u8>(&self.inner.connections, &key, &args).await.map(drop)
    }
}
