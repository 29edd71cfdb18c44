//! What is known of an issue: its one active task, and how many it has started of late.

use super::{Queue, QueueError};
use crate::{RepositoryName, TaskId, TaskRecord};

/// How long a started task counts against its issue's limit.
const RUNS_WINDOW_MS: u64 = 86_400_000;

/// Tasks of one issue that are remembered. No limit is higher.
const RUNS_KEPT_MAX: usize = 1_000;

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
}
