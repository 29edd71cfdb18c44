//! Who writes the status comment of an issue while no worker does: one ingester at a time.
//!
//! A worker needs no turn. It writes while the task is active alone, and an ingester looks, with the turn in its hand,
//! whether the task waits: once a worker has seen that nobody has the turn, no ingester writes there any more.

use std::time::Duration;

use redis::Value;

use super::{Queue, QueueError, inspect::first_word};
use crate::RepositoryName;

impl Queue {
    /// Takes the turn for `life`, or lengthens it. `false`: another than `writer` has it.
    pub async fn take_comment_turn(
        &self,
        repository: &RepositoryName,
        number: u64,
        writer: &str,
        life: Duration,
    ) -> Result<bool, QueueError> {
        let key = self.keys().issue_comment(repository, number);
        let args = [writer, "", &life.as_millis().to_string()];
        let answer: Vec<Value> =
            self.inner.scripts.issue_take.call(&self.inner.connections, &key, &args).await?;
        Ok(first_word(&answer) == "taken")
    }

    /// Gives it back. `false`: it had ended before.
    pub async fn end_comment_turn(
        &self,
        repository: &RepositoryName,
        number: u64,
        writer: &str,
    ) -> Result<bool, QueueError> {
        let key = self.keys().issue_comment(repository, number);
        let freed: u64 = self.inner.scripts.issue_free.call(&self.inner.connections, &key, &[writer]).await?;
        Ok(freed == 1)
    }

    /// Whether nobody has the turn.
    pub async fn comment_turn_is_free(
        &self,
        repository: &RepositoryName,
        number: u64,
    ) -> Result<bool, QueueError> {
        let key = self.keys().issue_comment(repository, number);
        let taken: bool = self
            .inner
            .connections
            .run(async |mut connection| redis::cmd("EXISTS").arg(&key).query_async(&mut connection).await)
            .await?;
        Ok(!taken)
    }
}
