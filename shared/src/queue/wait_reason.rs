//! Why what waits does not run.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Counts;
use crate::{Specialty, lifecycle::UnixMs, worker_info::WorkerState};

/// Why a pending task does not run, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    Paused,
    NoWorker,
    /// Every worker of the specialty waits for its agent account; the first goes on then.
    AccountLimited {
        until: UnixMs,
    },
    Busy,
}

impl Counts {
    /// Why what is pending of `specialty` does not run, seen from its workers; `None` where nothing is pending.
    pub fn waits_because(&self, specialty: &Specialty, workers: &[WorkerState]) -> Option<WaitReason> {
        if self.pending == 0 {
            return None;
        }
        if self.paused {
            return Some(WaitReason::Paused);
        }
        let taking: Vec<_> = workers.iter().filter(|worker| worker.takes(specialty)).collect();
        let rests: Option<Vec<UnixMs>> = taking.iter().map(|worker| worker.rests_until(specialty)).collect();
        Some(match rests {
            Some(rests) => rests
                .into_iter()
                .min()
                .map_or(WaitReason::NoWorker, |until| WaitReason::AccountLimited { until }),
            None => WaitReason::Busy,
        })
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => f.write_str("its specialty is paused"),
            Self::NoWorker => f.write_str("no worker that is online takes its specialty"),
            Self::AccountLimited { until } => {
                let seconds = until / 1_000 % 86_400;
                let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
                write!(
                    f,
                    "the agent account of its workers met a limit until {hours:02}:{minutes:02}:{seconds:02} UTC"
                )
            }
            Self::Busy => f.write_str("the workers of its specialty are busy"),
        }
    }
}

impl Serialize for WaitReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
