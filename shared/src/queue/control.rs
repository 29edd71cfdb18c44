//! What people ask of a task, wherever it is.

use redis::Value;

use super::{Queue, QueueError, inspect::first_word};
use crate::{TaskId, TaskRecord};

/// The answer to a cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelAnswer {
    /// It was held, pending or delayed, and is cancelled now.
    Cancelled,
    /// It is active: its worker learns it with its next beat and kills everything.
    Requested,
    /// It had ended before.
    AlreadySettled(Box<TaskRecord>),
    Unknown,
}

/// The answer to the release of a held task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseHeldAnswer {
    Released,
    NotHeld(Box<TaskRecord>),
    Unknown,
}

impl Queue {
    /// Cancels the task, or asks its worker to. `by` is kept as the reason.
    pub async fn cancel(&self, id: &TaskId, by: &str) -> Result<CancelAnswer, QueueError> {
        let Some(specialty) = self.locate(id).await? else { return Ok(CancelAnswer::Unknown) };
        let keys = self.keys().specialty(&specialty);
        let answer: Vec<Value> =
            self.inner.scripts.cancel.call(&self.inner.connections, keys.base(), &[id.as_str(), by]).await?;
        match first_word(&answer).as_str() {
            "cancelled" => {
                self.deliver_answer(&specialty, id.as_str(), &answer).await;
                Ok(CancelAnswer::Cancelled)
            }
            "requested" => Ok(CancelAnswer::Requested),
            "settled" => {
                let record = self.task(id).await?;
                Ok(record
                    .map_or(CancelAnswer::Unknown, |record| CancelAnswer::AlreadySettled(Box::new(record))))
            }
            "unknown" => Ok(CancelAnswer::Unknown),
            other => Err(QueueError::unexpected("cancel", other)),
        }
    }

    /// Held -> pending.
    pub async fn release_held(&self, id: &TaskId) -> Result<ReleaseHeldAnswer, QueueError> {
        let Some(specialty) = self.locate(id).await? else { return Ok(ReleaseHeldAnswer::Unknown) };
        let keys = self.keys().specialty(&specialty);
        let answer: Vec<Value> = self
            .inner
            .scripts
            .release_held
            .call(&self.inner.connections, keys.base(), &[id.as_str()])
            .await?;
        match first_word(&answer).as_str() {
            "released" => Ok(ReleaseHeldAnswer::Released),
            "not_held" => {
                let record = self.task(id).await?;
                Ok(record.map_or(ReleaseHeldAnswer::Unknown, |r| ReleaseHeldAnswer::NotHeld(Box::new(r))))
            }
            "unknown" => Ok(ReleaseHeldAnswer::Unknown),
            other => Err(QueueError::unexpected("release_held", other)),
        }
    }
}
