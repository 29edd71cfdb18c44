//! A worker takes tasks, each with a lease and a fence.

use redis::Value;

use super::{
    Lease, Queue, QueueError,
    inspect::{first_word, number, text},
    record,
    script::ALONE_PHASE,
};
use crate::{Specialty, TaskId, TaskSpec, lifecycle::Fence};

/// Who claims: a node, and the process that is this node now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub node: String,
    pub incarnation: String,
}

/// A leased task.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    pub lease: Lease,
    /// `Err` says why the specification cannot be read; the task is then to be failed with that message.
    pub spec: Result<TaskSpec, String>,
    /// Which claim of the task this is, from 1.
    pub runs: u32,
    /// Transient failures so far.
    pub attempts: u32,
    /// One more lost worker would end it as poison, and it may be innocent: it is to run alone. Whoever has it claims
    /// nothing more, waits until all else that it runs has ended, and begins with a [`Queue::set_phase`] that is
    /// answered. Until then its worker's death is not laid to it.
    pub alone: bool,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The specialty is paused.
    Paused,
    /// At most as many as asked for. `again`: the bound on orphaned entries ended the claim, more may wait.
    Tasks { tasks: Vec<Claimed>, again: bool },
}

/// The answer to the claim of one held task.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimHeld {
    Claimed(Box<Claimed>),
    /// It exists and is in another state.
    NotHeld,
    Unknown,
}

impl Queue {
    /// Takes up to `slots` tasks of `specialty`, highest priority and oldest first. One that is to run alone
    /// ([`Claimed::alone`]) is the last of its claim.
    ///
    /// `nonce` names this call: when its answer is lost, [`Queue::holding`] shows what it took.
    pub async fn claim(
        &self,
        holder: &Holder,
        specialty: &Specialty,
        slots: usize,
        nonce: &str,
    ) -> Result<Claim, QueueError> {
        let keys = self.keys().specialty(specialty);
        let lease_ms = self.settings().lease_ms.to_string();
        let args = [&slots.to_string(), &holder.node, &holder.incarnation, nonce, &lease_ms];
        let answer: Vec<Value> =
            self.inner.scripts.claim.call(&self.inner.connections, keys.base(), &args).await?;
        if first_word(&answer) == "paused" {
            return Ok(Claim::Paused);
        }
        let again = answer.get(1).is_some_and(|more| number(more) == 1);
        let tasks = answer.iter().skip(2).map(|item| Self::claimed(holder, specialty, item));
        Ok(Claim::Tasks { tasks: tasks.collect::<Result<_, _>>()?, again })
    }

    /// Takes exactly the held task `id`.
    pub async fn claim_held(
        &self,
        holder: &Holder,
        id: &TaskId,
        nonce: &str,
    ) -> Result<ClaimHeld, QueueError> {
        let Some(specialty) = self.locate(id).await? else { return Ok(ClaimHeld::Unknown) };
        let keys = self.keys().specialty(&specialty);
        let lease_ms = self.settings().lease_ms.to_string();
        let args = [id.as_str(), &holder.node, &holder.incarnation, nonce, &lease_ms];
        let answer: Vec<Value> =
            self.inner.scripts.claim_held.call(&self.inner.connections, keys.base(), &args).await?;
        match (first_word(&answer).as_str(), answer.get(1)) {
            ("claimed", Some(item)) => {
                Ok(ClaimHeld::Claimed(Box::new(Self::claimed(holder, &specialty, item)?)))
            }
            ("not_held", _) => Ok(ClaimHeld::NotHeld),
            ("unknown", _) => Ok(ClaimHeld::Unknown),
            (other, _) => Err(QueueError::unexpected("claim_held", other)),
        }
    }

    /// What this incarnation holds in `specialty` by Redis' account. After a claim whose answer was lost, what
    /// the caller does not know is what that claim took.
    pub async fn holding(&self, holder: &Holder, specialty: &Specialty) -> Result<Vec<Claimed>, QueueError> {
        let keys = self.keys().specialty(specialty);
        let args = [&holder.node, &holder.incarnation];
        let answer: Vec<Value> =
            self.inner.scripts.adopt.call(&self.inner.connections, keys.base(), &args).await?;
        answer.iter().map(|item| Self::claimed(holder, specialty, item)).collect()
    }

    /// Gives back what former incarnations of this node held, counted as lost; returns how many were returned
    /// and how many failed as poison. Only for a caller that has proven the former process dead.
    pub async fn forfeit(&self, holder: &Holder, specialty: &Specialty) -> Result<(u64, u64), QueueError> {
        let keys = self.keys().specialty(specialty);
        let lost_max = self.settings().lost_workers_max.to_string();
        let args = [&holder.node, &holder.incarnation, &lost_max];
        self.inner.scripts.forfeit.call(&self.inner.connections, keys.base(), &args).await
    }

    fn claimed(holder: &Holder, specialty: &Specialty, item: &Value) -> Result<Claimed, QueueError> {
        let Value::Array(parts) = item else {
            return Err(QueueError::unexpected("claim", "a task is not a list"));
        };
        let [id, fence, runs, attempts, spec, rest @ ..] = parts.as_slice() else {
            return Err(QueueError::unexpected("claim", "a task has too few parts"));
        };
        let id: TaskId = text(id).parse().map_err(|error| QueueError::unexpected("claim", error))?;
        let bytes = match spec {
            Value::BulkString(bytes) => bytes.as_slice(),
            _ => &[],
        };
        let spec = record::decode_spec(&id, bytes).map_err(|error| error.to_string());
        let lease = Lease {
            id,
            specialty: specialty.clone(),
            fence: Fence(number(fence)),
            incarnation: holder.incarnation.clone(),
        };
        let alone = rest.first().is_some_and(|phase| text(phase) == ALONE_PHASE);
        Ok(Claimed { lease, spec, runs: number(runs) as u32, attempts: number(attempts) as u32, alone })
    }
}
