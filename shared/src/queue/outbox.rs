//! What a transition causes in other slots: the locator's end is set, the issue is free again, or taken again, an
//! agent account bears what a call has cost.
//!
//! The transition writes an outbox entry in its own script; the effects follow and are repeatable, then the
//! entry goes. Whoever settled does it at once; what is left behind by a crash, a sweep finds, and decides by what
//! the task has come to since. On one server, where nothing lies in another slot, a settlement does it itself.

use redis::Value;

use super::{Queue, QueueError, inspect::text, locator::LOCATOR_REST_MS};
use crate::{Specialty, TaskId, crash_point::CrashPoint};

/// How often a task is looked at again that changed while its effects were carried out.
const LOOKS_MAX: usize = 5;

/// What locator and issue key depend on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Moving,
    Lives,
    Settled,
    Gone,
}

/// An effect that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its id in the outbox.
    pub entry: String,
    /// The task; several, parted by spaces, that are gone.
    pub task: String,
    /// `repository#number`, or empty.
    pub issue: String,
    /// It is of a charge, and not of a settlement.
    pub share: Option<Share>,
}

/// What an agent account is to bear of a charge, as the entry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub account: String,
    pub micro_usd: String,
    /// Since the Unix epoch.
    pub day: String,
}

impl Queue {
    /// Carries out one outbox entry. A failure is left to the next sweep.
    pub(super) async fn deliver(&self, specialty: &Specialty, due: &OutboxEntry) {
        CrashPoint::EffectDue.reached();
        if let Err(error) = self.carry_out(specialty, due).await {
            tracing::debug!(%error, %specialty, entry = due.entry, "outbox entry is left to the next sweep");
        }
    }

    /// The effects of one entry; repeatable.
    async fn carry_out(&self, specialty: &Specialty, due: &OutboxEntry) -> Result<(), QueueError> {
        let OutboxEntry { entry, task, issue, .. } = due;
        let connections = &self.inner.connections;
        if !issue.is_empty() {
            let key = self.keys().issue_by_name(issue);
            self.inner.scripts.issue_free.call::<u64>(connections, &key, &[task.as_str()]).await?;
            CrashPoint::IssueFreed.reached();
        }
        let life_ms = self.settings().locator_life_ms();
        let outbox = self.keys().specialty(specialty).outbox();
        let locator = task.parse::<TaskId>().map(|id| self.keys().locator(&id));
        connections
            .run(async |mut connection| {
                if let Ok(locator) = &locator {
                    redis::cmd("PEXPIRE")
                        .arg(locator)
                        .arg(life_ms)
                        .query_async::<()>(&mut connection)
                        .await?;
                    CrashPoint::LocatorEnds.reached();
                }
                redis::cmd("XDEL").arg(&outbox).arg(entry).query_async::<()>(&mut connection).await
            })
            .await
    }

    /// Carries out what the answer of a script names, by what the task has come to. A failure is left to the next
    /// sweep.
    pub(super) async fn follow_answer(&self, specialty: &Specialty, id: &TaskId, answer: &[Value]) {
        let part = |place: usize| answer.get(place).map(text).unwrap_or_default();
        let due = OutboxEntry { entry: part(1), task: id.to_string(), issue: part(2), share: None };
        if !due.entry.is_empty() {
            self.deliver_late(specialty, &due).await;
        }
    }

    /// Carries out an outbox entry that may be old.
    pub(super) async fn deliver_late(&self, specialty: &Specialty, due: &OutboxEntry) {
        if let Err(error) = self.carry_out_late(specialty, due).await {
            tracing::debug!(%error, %specialty, entry = due.entry, "outbox entry is left to the next sweep");
        }
    }

    async fn carry_out_late(&self, specialty: &Specialty, due: &OutboxEntry) -> Result<(), QueueError> {
        let OutboxEntry { entry, task, issue, share } = due;
        if let Some(share) = share {
            self.count_share(&format!("{specialty}:{entry}"), share).await?;
        }
        // What is no task was written by a hand: there is nothing to do.
        for id in task.split(' ').filter(|_| share.is_none()).filter_map(|id| id.parse::<TaskId>().ok()) {
            Box::pin(self.follow(specialty, &id, issue)).await?;
        }
        let outbox = self.keys().specialty(specialty).outbox();
        self.inner
            .connections
            .run(async |mut connection| {
                redis::cmd("XDEL").arg(&outbox).arg(entry).query_async(&mut connection).await
            })
            .await
    }

    /// Locator and issue key follow the record, whatever it has come to. Repeatable.
    pub(super) async fn follow(
        &self,
        specialty: &Specialty,
        id: &TaskId,
        issue: &str,
    ) -> Result<(), QueueError> {
        let (mut life, mut named) = self.life(specialty, id).await?;
        for _ in 0..LOOKS_MAX {
            let issue = if named.is_empty() { issue } else { &named };
            match life {
                Life::Moving => drop(self.finish_move(specialty, id).await?),
                Life::Lives => self.keep(specialty, id, issue).await?,
                Life::Settled | Life::Gone => self.let_go(specialty, id, issue, life).await?,
            }
            let before = life;
            (life, named) = self.life(specialty, id).await?;
            if life == before && life != Life::Moving || before == Life::Moving && life == Life::Gone {
                return Ok(());
            }
        }
        Err(QueueError::unexpected("the outbox", format!("task {id} does not come to rest")))
    }

    async fn life(&self, specialty: &Specialty, id: &TaskId) -> Result<(Life, String), QueueError> {
        let key = self.keys().specialty(specialty).record(id);
        let [status, repository, number]: [Option<String>; 3] = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("HMGET")
                    .arg(&key)
                    .arg("status")
                    .arg("repository")
                    .arg("issue")
                    .query_async(&mut connection)
                    .await
            })
            .await?;
        let life = match status.as_deref() {
            None => Life::Gone,
            Some("moving" | "arriving") => Life::Moving,
            Some("completed" | "failed" | "cancelled") => Life::Settled,
            Some(_) => Life::Lives,
        };
        let issue = repository.zip(number).map(|(repository, number)| format!("{repository}#{number}"));
        Ok((life, issue.unwrap_or_default()))
    }

    async fn keep(&self, specialty: &Specialty, id: &TaskId, issue: &str) -> Result<(), QueueError> {
        let locator = self.keys().locator(id);
        self.inner
            .connections
            .run(async |mut connection| {
                redis::cmd("PERSIST").arg(&locator).query_async::<()>(&mut connection).await?;
                let named = redis::cmd("GET").arg(&locator).query_async::<Value>(&mut connection).await?;
                if named != Value::Nil {
                    return Ok(());
                }
                let mut set = redis::cmd("SET");
                set.arg(&locator).arg(specialty.as_str()).arg("NX");
                set.query_async::<Value>(&mut connection).await.map(drop)
            })
            .await?;
        if !issue.is_empty() {
            // Another living task has it: then this one is cancelled by the worker that claims it.
            self.own_issue(&self.keys().issue_by_name(issue), id).await?;
        }
        Ok(())
    }

    async fn let_go(
        &self,
        specialty: &Specialty,
        id: &TaskId,
        issue: &str,
        life: Life,
    ) -> Result<(), QueueError> {
        let connections = &self.inner.connections;
        if !issue.is_empty() {
            let key = self.keys().issue_by_name(issue);
            self.inner.scripts.issue_free.call::<u64>(connections, &key, &[id.as_str()]).await?;
        }
        let locator = self.keys().locator(id);
        let life_ms = if life == Life::Gone { LOCATOR_REST_MS } else { self.settings().locator_life_ms() };
        let args = [specialty.as_str(), &life_ms.to_string()];
        self.inner.scripts.locator_end.call::<u8>(connections, &locator, &args).await?;
        Ok(())
    }
}
