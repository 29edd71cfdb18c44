//! What time brings about: lost leases, due retries, retention. Any worker sweeps; the script throttles.

use std::time::Duration;

use redis::Value;

use super::{
    Queue, QueueError,
    inspect::{first_word, number, text},
    outbox::{OutboxEntry, Share},
};
use crate::Specialty;

/// What a sweep found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Another did it just now; come back after this.
    Later(Duration),
    Done {
        next: Duration,
        lost: u64,
        promoted: u64,
    },
}

impl Swept {
    /// How long until the next sweep is due.
    pub fn next(self) -> Duration {
        match self {
            Self::Later(next) | Self::Done { next, .. } => next,
        }
    }
}

impl Queue {
    /// Sweeps `specialty`, if a sweep is due.
    pub async fn sweep(&self, specialty: &Specialty) -> Result<Swept, QueueError> {
        let settings = self.settings();
        let keys = self.keys().specialty(specialty);
        let args = [settings.sweep_ms, settings.lease_ms, u64::from(settings.lost_workers_max)];
        let answer: Vec<Value> =
            self.inner.scripts.sweep.call(&self.inner.connections, keys.base(), &args).await?;
        let at = |place: usize| answer.get(place).map_or(0, number);
        let next = Duration::from_millis(at(1));
        if first_word(&answer) == "later" {
            return Ok(Swept::Later(next));
        }
        for item in answer.iter().skip(4) {
            if let Value::Array(parts) = item
                && let [entry, task, issue, share @ ..] = parts.as_slice()
            {
                let share = match share {
                    [account, micro_usd, day] => {
                        let (account, micro_usd, day) = (text(account), text(micro_usd), text(day));
                        Some(Share { account, micro_usd, day })
                    }
                    _ => None,
                };
                let due = OutboxEntry { entry: text(entry), task: text(task), issue: text(issue), share };
                self.deliver_late(specialty, &due).await;
            }
        }
        Ok(Swept::Done { next, lost: at(2), promoted: at(3) })
    }
}
