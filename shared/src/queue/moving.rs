//! A task moves to another specialty: two slots, in steps that each may be repeated.
//!
//! ```text
//!   1 mark    source: held, pending, delayed -> moving     out of every index: nobody claims it
//!   2 copy    target: (nothing) -> arriving                nobody claims it either
//!   3 swap    locator: source -> target                    by compare-and-set
//!   4 delete  source: moving -> (nothing)
//!   5 arrive  target: arriving -> what it was
//! ```
//! Steps 1 and 2 leave an outbox entry each: what stopped after any step, a sweep of either specialty finishes, and
//! so does whoever asks something else of the task. Step 2 and 3 have a deadline, so that a process that was frozen
//! between them does not do again what others have finished.

mod steps;

use super::{Asked, Queue, QueueError};
use crate::{Specialty, TaskId, crash_point::CrashPoint};
use steps::{Departing, Out};

/// How often a move is begun anew that came too late or met another.
const TRIES_MAX: usize = 5;

/// How far a move goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(test), expect(dead_code, reason = "a test stops a move after each step"))]
enum Step {
    Mark,
    Copy,
    Swap,
    Delete,
    Arrive,
}

/// What became of a try.
#[derive(Debug, PartialEq, Eq)]
enum Moved {
    To(Specialty),
    /// Another task of this id is where it was to go; it is back where it was.
    Taken(Specialty),
    /// It was late, or something else was finished first: to be tried again.
    Again,
    WrongState,
    Unknown,
}

impl Queue {
    /// Held, pending, delayed -> the same in `target`, among its tasks by age; the log goes along.
    ///
    /// # Errors
    /// Besides an outage, after which it may be repeated: [`QueueError::Unexpected`] when another task of this id,
    /// which no locator names, is in `target`.
    pub async fn move_specialty(
        &self,
        id: &TaskId,
        target: &Specialty,
        by: &str,
    ) -> Result<Asked, QueueError> {
        self.move_until(id, target, by, Step::Arrive).await
    }

    async fn move_until(
        &self,
        id: &TaskId,
        target: &Specialty,
        by: &str,
        last: Step,
    ) -> Result<Asked, QueueError> {
        self.register_specialties(std::slice::from_ref(target)).await?;
        let mut looked: Option<Specialty> = None;
        for _ in 0..TRIES_MAX {
            let Some(source) = self.locate(id).await? else { return Ok(Asked::Unknown) };
            if source == *target {
                if self.finish_move(&source, id).await? {
                    continue;
                }
                return self.waits_here(id).await;
            }
            match self.try_move(&source, id, Some(target), by, last).await? {
                Moved::To(there) if there == *target => return Ok(Asked::Done),
                Moved::To(_) | Moved::Again => {}
                Moved::Taken(there) => {
                    let message = format!("another task {id} is in {there}");
                    return Err(QueueError::unexpected("move", message));
                }
                Moved::WrongState => return self.or_unknown(id, Asked::WrongState, Asked::Unknown).await,
                Moved::Unknown if looked.as_ref() == Some(&source) => return Ok(Asked::Unknown),
                Moved::Unknown => looked = Some(source),
            }
        }
        Err(QueueError::unexpected("move", format!("task {id} does not come to rest")))
    }

    async fn waits_here(&self, id: &TaskId) -> Result<Asked, QueueError> {
        Ok(match self.task(id).await? {
            None => Asked::Unknown,
            Some(record) if matches!(record.status.name(), "held" | "pending" | "delayed") => Asked::Done,
            Some(record) => Asked::WrongState(Box::new(record)),
        })
    }

    /// Finishes a move of the task that is under way from or to `here`; whether there was one.
    pub(super) async fn finish_move(&self, here: &Specialty, id: &TaskId) -> Result<bool, QueueError> {
        let key = self.keys().specialty(here).record(id);
        let status: Option<String> = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("HGET").arg(&key).arg("status").query_async(&mut connection).await
            })
            .await?;
        match status.as_deref() {
            Some("moving" | "arriving") => {
                self.try_move(here, id, None, "", Step::Arrive).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Without a target, only a move that is under way is gone on with.
    async fn try_move(
        &self,
        source: &Specialty,
        id: &TaskId,
        target: Option<&Specialty>,
        by: &str,
        last: Step,
    ) -> Result<Moved, QueueError> {
        match self.mark(source, id, target, by).await? {
            Out::Departing(departing) => self.carry(source, id, departing, last).await,
            Out::Arriving { token, source: before } => {
                self.receive(&before, source, id, &token).await?;
                Ok(Moved::Again)
            }
            Out::WrongState => Ok(Moved::WrongState),
            Out::Unknown => Ok(Moved::Unknown),
        }
    }

    /// Steps 2 to 5, or up to `last`.
    async fn carry(
        &self,
        source: &Specialty,
        id: &TaskId,
        departing: Departing,
        last: Step,
    ) -> Result<Moved, QueueError> {
        let Departing { token, deadline_ms, target, .. } = &departing;
        CrashPoint::MoveMarked.reached();
        if last < Step::Copy {
            return Ok(Moved::To(target.clone()));
        }
        match self.copy(source, id, &departing).await?.as_str() {
            "arriving" => {}
            "late" => return Ok(Moved::Again),
            "taken" => {
                self.undo(source, id, token).await?;
                return Ok(Moved::Taken(target.clone()));
            }
            other => return Err(QueueError::unexpected("move_in", other)),
        }
        CrashPoint::MoveCopied.reached();
        if last < Step::Swap {
            return Ok(Moved::To(target.clone()));
        }
        match self.swap(source, target, id, *deadline_ms).await {
            Ok(word) if word == "swapped" => {}
            Ok(word) if word == "late" => return Ok(Moved::Again),
            Ok(other) => return Err(QueueError::unexpected("move_locator", other)),
            // A worker's user may not say where a task is: then the task goes back to where it is said to be.
            Err(error) if error.is_denied() => {
                self.undo(target, id, token).await?;
                self.undo(source, id, token).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        CrashPoint::MoveSwapped.reached();
        if last < Step::Delete {
            return Ok(Moved::To(target.clone()));
        }
        self.step(&self.inner.scripts.move_done, source, id, token).await?;
        CrashPoint::MoveLeft.reached();
        if last < Step::Arrive {
            return Ok(Moved::To(target.clone()));
        }
        self.step(&self.inner.scripts.move_arrive, target, id, token).await?;
        Ok(Moved::To(target.clone()))
    }

    /// A copy whose source may be gone: finished from the source while that is there; else it arrives if the
    /// locator names `here` for good, and is dropped if not: then the task was moved, run and forgotten long ago.
    async fn receive(
        &self,
        source: &Specialty,
        here: &Specialty,
        id: &TaskId,
        token: &str,
    ) -> Result<(), QueueError> {
        let key = self.keys().specialty(source).record(id);
        let locator = self.keys().locator(id);
        let [status, move_]: [Option<String>; 2] = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("HMGET").arg(&key).arg("status").arg("move").query_async(&mut connection).await
            })
            .await?;
        if status.as_deref() == Some("moving") && move_.as_deref() == Some(token) {
            if let Out::Departing(departing) = self.mark(source, id, None, "").await? {
                self.carry(source, id, departing, Step::Arrive).await?;
            }
            return Ok(());
        }
        let lasting: i64 = self
            .inner
            .connections
            .run(async |mut connection| redis::cmd("PTTL").arg(&locator).query_async(&mut connection).await)
            .await?;
        let named = self.locate(id).await?;
        if lasting == -1 && named.as_ref() == Some(here) {
            return self.step(&self.inner.scripts.move_arrive, here, id, token).await;
        }
        self.undo(here, id, token).await
    }
}

#[cfg(test)]
mod tests;
