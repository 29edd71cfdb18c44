//! What people ask of a task, wherever it is.

use redis::{ToRedisArgs, Value};

use super::{Queue, QueueError, inspect::first_word, script::NamedScript};
use crate::{Priority, Specialty, TaskId, TaskRecord, lifecycle::Fence};

/// How often a task is looked for anew that has just been moved to another specialty.
const LOOKS_MAX: usize = 5;

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

/// The answer to a wish that a task's state either allows or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is as asked for, also when it was before.
    Done,
    /// Nothing was changed: the state does not allow it.
    WrongState(Box<TaskRecord>),
    Unknown,
}

/// The answer to taking a task from its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForceReleaseAnswer {
    /// It waits in its place; its former holder learns with its next beat that its lease is lost.
    Released,
    /// A cancel had been asked for and won.
    Cancelled,
    /// Nobody works on it under this fence.
    NotActive(Box<TaskRecord>),
    Unknown,
}

impl Queue {
    /// Cancels the task, or asks its worker to. `by` is kept as the reason.
    pub async fn cancel(&self, id: &TaskId, by: &str) -> Result<CancelAnswer, QueueError> {
        let asked = self.ask(id, &self.inner.scripts.cancel, &[id.as_str(), by]).await?;
        let Some((specialty, answer)) = asked else { return Ok(CancelAnswer::Unknown) };
        match first_word(&answer).as_str() {
            "cancelled" => {
                self.deliver_answer(&specialty, id.as_str(), &answer).await;
                Ok(CancelAnswer::Cancelled)
            }
            "requested" => Ok(CancelAnswer::Requested),
            "settled" => self.or_unknown(id, CancelAnswer::AlreadySettled, CancelAnswer::Unknown).await,
            other => Err(QueueError::unexpected("cancel", other)),
        }
    }

    /// Held -> pending.
    pub async fn release_held(&self, id: &TaskId) -> Result<ReleaseHeldAnswer, QueueError> {
        let asked = self.ask(id, &self.inner.scripts.release_held, &[id.as_str()]).await?;
        let Some((_, answer)) = asked else { return Ok(ReleaseHeldAnswer::Unknown) };
        match first_word(&answer).as_str() {
            "released" => Ok(ReleaseHeldAnswer::Released),
            "not_held" => self.or_unknown(id, ReleaseHeldAnswer::NotHeld, ReleaseHeldAnswer::Unknown).await,
            other => Err(QueueError::unexpected("release_held", other)),
        }
    }

    /// Active -> pending, uncounted, although its worker beats: for one that is wedged. The fence is that of the
    /// record the caller looked at, so that a repetition does not take the task from whoever claimed it since.
    pub async fn force_release(
        &self,
        id: &TaskId,
        fence: Fence,
        by: &str,
    ) -> Result<ForceReleaseAnswer, QueueError> {
        let args = [id.as_str(), &fence.to_string(), by];
        let asked = self.ask(id, &self.inner.scripts.force_release, &args).await?;
        let Some((specialty, answer)) = asked else { return Ok(ForceReleaseAnswer::Unknown) };
        match first_word(&answer).as_str() {
            "released" => Ok(ForceReleaseAnswer::Released),
            "cancelled" => {
                self.deliver_answer(&specialty, id.as_str(), &answer).await;
                Ok(ForceReleaseAnswer::Cancelled)
            }
            "wrong" => self.or_unknown(id, ForceReleaseAnswer::NotActive, ForceReleaseAnswer::Unknown).await,
            other => Err(QueueError::unexpected("force_release", other)),
        }
    }

    /// Held, pending, delayed -> the same in another priority, among its tasks by age.
    pub async fn move_priority(
        &self,
        id: &TaskId,
        priority: Priority,
        by: &str,
    ) -> Result<Asked, QueueError> {
        let args = [id.as_str(), priority.as_str(), by];
        let asked = self.ask(id, &self.inner.scripts.move_priority, &args).await?;
        self.asked(id, asked.as_ref(), "moved").await
    }

    /// Completed, failed, cancelled or held -> gone, with record, specification and log. The id is free again
    /// within a minute.
    pub async fn delete(&self, id: &TaskId, by: &str) -> Result<Asked, QueueError> {
        let asked = self.ask(id, &self.inner.scripts.delete, &[id.as_str(), by]).await?;
        if let Some((specialty, answer)) = &asked {
            self.follow_answer(specialty, id, answer).await;
        }
        self.asked(id, asked.as_ref(), "deleted").await
    }

    /// Runs a script where the task is, and says where that was; a move under way is finished first. `None` where
    /// there is no such task.
    pub(super) async fn ask(
        &self,
        id: &TaskId,
        script: &NamedScript,
        args: impl ToRedisArgs,
    ) -> Result<Option<(Specialty, Vec<Value>)>, QueueError> {
        let mut looked: Option<Specialty> = None;
        for _ in 0..LOOKS_MAX {
            let Some(specialty) = self.locate(id).await? else { return Ok(None) };
            let keys = self.keys().specialty(&specialty);
            let answer: Vec<Value> = script.call(&self.inner.connections, keys.base(), &args).await?;
            match first_word(&answer).as_str() {
                "moving" => {
                    Box::pin(self.finish_move(&specialty, id)).await?;
                }
                // It may have left between the two looks.
                "unknown" if looked.as_ref() == Some(&specialty) => return Ok(None),
                "unknown" => looked = Some(specialty),
                _ => return Ok(Some((specialty, answer))),
            }
        }
        Err(QueueError::unexpected(script.name, format!("task {id} is moved again and again")))
    }

    /// `done` or the state that does not allow it.
    pub(super) async fn asked(
        &self,
        id: &TaskId,
        answer: Option<&(Specialty, Vec<Value>)>,
        done: &'static str,
    ) -> Result<Asked, QueueError> {
        let Some((_, answer)) = answer else { return Ok(Asked::Unknown) };
        match first_word(answer).as_str() {
            word if word == done => Ok(Asked::Done),
            "wrong" => self.or_unknown(id, Asked::WrongState, Asked::Unknown).await,
            other => Err(QueueError::unexpected(done, other)),
        }
    }

    /// An answer with the record; it may be gone by now.
    pub(super) async fn or_unknown<T>(
        &self,
        id: &TaskId,
        with: impl FnOnce(Box<TaskRecord>) -> T,
        unknown: T,
    ) -> Result<T, QueueError> {
        Ok(self.task(id).await?.map_or(unknown, |record| with(Box::new(record))))
    }
}
