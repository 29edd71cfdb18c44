//! What a worker may do while it holds a task.

use std::collections::BTreeMap;

use super::{Queue, QueueError};
use crate::{Specialty, TaskId, lifecycle::Fence};

/// The right to work on a task, good for as long as nobody else was given a later fence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub id: TaskId,
    pub specialty: Specialty,
    pub fence: Fence,
    pub incarnation: String,
}

/// The answer to a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease stands for another `lease_ms`.
    Held,
    /// It stands, and somebody asked for a cancel.
    CancelRequested { by: String },
    /// The task is another's now, or settled: nothing of it may be published.
    Lost,
}

impl Queue {
    /// Renews all `leases` at once, one script a specialty; the answers are in the same order.
    pub async fn renew(&self, leases: &[Lease]) -> Result<Vec<Renewal>, QueueError> {
        let mut answers = vec![Renewal::Lost; leases.len()];
        let mut groups: BTreeMap<(&Specialty, &str), Vec<usize>> = BTreeMap::new();
        for (place, lease) in leases.iter().enumerate() {
            groups.entry((&lease.specialty, &lease.incarnation)).or_default().push(place);
        }
        for ((specialty, incarnation), places) in groups {
            let mut args = vec![incarnation.to_owned(), self.settings().lease_ms.to_string()];
            for &place in &places {
                args.push(leases[place].id.to_string());
                args.push(leases[place].fence.to_string());
            }
            let keys = self.keys().specialty(specialty);
            let words: Vec<String> =
                self.inner.scripts.renew.call(&self.inner.connections, keys.base(), args).await?;
            for (place, word) in places.into_iter().zip(words) {
                answers[place] = match word.split_once(' ') {
                    Some(("cancel", by)) => Renewal::CancelRequested { by: by.to_owned() },
                    _ if word == "held" => Renewal::Held,
                    _ => Renewal::Lost,
                };
            }
        }
        Ok(answers)
    }

    /// Whether the lease stands and no cancel was asked for: the check before each publishing step.
    pub async fn still_held(&self, lease: &Lease) -> Result<bool, QueueError> {
        let keys = self.keys().specialty(&lease.specialty);
        let answer: u8 =
            self.inner.scripts.held.call(&self.inner.connections, keys.base(), &lease.args()).await?;
        Ok(answer == 1)
    }

    /// Notes what the worker does now; `false` when the lease is gone.
    pub async fn set_phase(&self, lease: &Lease, phase: &str) -> Result<bool, QueueError> {
        let mut args = lease.args();
        args.push(phase.to_owned());
        let keys = self.keys().specialty(&lease.specialty);
        let answer: u8 = self.inner.scripts.phase.call(&self.inner.connections, keys.base(), args).await?;
        Ok(answer == 1)
    }
}

impl Lease {
    /// Id, fence, incarnation: what every script checks first.
    pub(super) fn args(&self) -> Vec<String> {
        vec![self.id.to_string(), self.fence.to_string(), self.incarnation.clone()]
    }
}
