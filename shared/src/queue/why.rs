//! Why a task does not move on, as one line: the same in `status`, `tasks show`, the HTTP API and wherever else a
//! person asks.

use std::fmt;

use redis::Value;

use super::{Queue, QueueError, Stopped, inspect::number, script::ALONE_PHASE};
use crate::{Specialty, Status, TaskRecord, lifecycle::UnixMs, worker_info::WorkerState};

/// Tasks ahead are counted up to here.
const AHEAD_MAX: u64 = 100;

/// What a task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody is to run or release it.
    Held,
    Moving {
        to: Specialty,
    },
    Paused(Stopped),
    /// No online worker takes its specialty.
    NoWorker,
    /// Those who take it are told to claim nothing more.
    Drained,
    /// Those of them that may claim cannot: what the first one tells of its machine.
    Unready {
        worker: String,
        why: String,
    },
    /// The agent accounts of all who take it met their limits; the first ends then.
    AccountLimited {
        until: UnixMs,
    },
    /// The workers have other things to do. `ahead` is 100 when that many or more come first, `None` of a whole
    /// specialty.
    Busy {
        ahead: Option<u64>,
    },
    RetryAt {
        due_at: UnixMs,
    },
    /// It does not wait: its worker does this.
    Phase {
        worker: String,
        phase: String,
        since: UnixMs,
    },
}

impl fmt::Display for Why {
    /// One line; times are UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("it is held until somebody runs or releases it"),
            Self::Moving { to } => write!(f, "it is being moved to {to}"),
            Self::Paused(stopped) => {
                f.write_str("its specialty is paused")?;
                if !stopped.by.is_empty() {
                    write!(f, " by {}", stopped.by)?;
                }
                if !stopped.reason.is_empty() {
                    write!(f, ": {}", stopped.reason)?;
                }
                stopped.until.map_or(Ok(()), |until| write!(f, " (until {})", Utc(until)))
            }
            Self::NoWorker => f.write_str("no worker that is online takes its specialty"),
            Self::Drained => f.write_str("the workers of its specialty are told to claim nothing more"),
            Self::Unready { worker, why } => {
                write!(f, "no worker of its specialty can begin anything; {worker}: {why}")
            }
            Self::AccountLimited { until } => {
                write!(
                    f,
                    "the agent account of its workers rests until {}: it met its limit, or spent its budget for the day",
                    Utc(*until)
                )
            }
            Self::Busy { ahead } => {
                f.write_str("the workers of its specialty are busy")?;
                match ahead {
                    None => Ok(()),
                    Some(0) => f.write_str("; it is next"),
                    Some(1) => f.write_str("; one task is ahead of it"),
                    Some(n) if *n >= AHEAD_MAX => write!(f, "; {AHEAD_MAX} tasks or more are ahead of it"),
                    Some(n) => write!(f, "; {n} tasks are ahead of it"),
                }
            }
            Self::RetryAt { due_at } => write!(f, "it is tried again at {}", Utc(*due_at)),
            Self::Phase { worker, phase, since } if phase == ALONE_PHASE => {
                write!(
                    f,
                    "it runs alone, for workers were lost with it: {worker} ends its other tasks first since {}",
                    Utc(*since)
                )
            }
            Self::Phase { worker, phase, since } => {
                write!(f, "{worker} is in phase {phase} since {}", Utc(*since))
            }
        }
    }
}

/// Day and time, to the second.
struct Utc(UnixMs);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0 / 86_400_000, self.0 / 1_000 % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

/// The date so many days after 1970-01-01, counted in eras of 400 years that begin with March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

impl Why {
    /// Why what is pending in `specialty` does not run, seen from the workers and who paused it; `None` where some
    /// worker could take it.
    pub fn of_specialty(
        specialty: &Specialty,
        paused: Option<Stopped>,
        workers: &[WorkerState],
    ) -> Option<Self> {
        if let Some(stopped) = paused {
            return Some(Self::Paused(stopped));
        }
        let taking: Vec<_> = workers.iter().filter(|worker| worker.takes(specialty)).collect();
        if taking.is_empty() {
            return Some(Self::NoWorker);
        }
        let claims = |worker: &&WorkerState| !matches!(worker, WorkerState::Online(info) if info.draining);
        let claiming: Vec<_> = taking.into_iter().filter(claims).collect();
        if claiming.is_empty() {
            return Some(Self::Drained);
        }
        let (unready, ready): (Vec<_>, Vec<_>) =
            claiming.into_iter().partition(|worker| worker.unready().is_some());
        if let (true, Some(worker)) = (ready.is_empty(), unready.first()) {
            let why = worker.unready().unwrap_or_default().to_owned();
            return Some(Self::Unready { worker: worker.id().to_owned(), why });
        }
        let rests: Option<Vec<UnixMs>> = ready.iter().map(|worker| worker.rests_until(specialty)).collect();
        Some(Self::AccountLimited { until: rests?.into_iter().min()? })
    }
}

impl Queue {
    /// Why the task is where it is; `None` of one that has ended. Costs what the list of workers costs and a look
    /// at the task's stream, however much waits in it.
    pub async fn why(&self, record: &TaskRecord) -> Result<Option<Why>, QueueError> {
        if let Some(to) = &record.moving_to {
            return Ok(Some(Why::Moving { to: to.clone() }));
        }
        Ok(match &record.status {
            Status::Held => Some(Why::Held),
            Status::Pending => Some(self.why_pending(record).await?),
            Status::Active { worker, phase, phase_since, .. } => {
                Some(Why::Phase { worker: worker.clone(), phase: phase.clone(), since: *phase_since })
            }
            Status::Delayed { due_at } => Some(Why::RetryAt { due_at: *due_at }),
            Status::Completed { .. } | Status::Failed { .. } | Status::Cancelled { .. } => None,
        })
    }

    /// Why what is pending in `specialty` does not run; `None` where nothing is pending.
    pub async fn why_specialty(
        &self,
        specialty: &Specialty,
        pending: u64,
        workers: &[WorkerState],
    ) -> Result<Option<Why>, QueueError> {
        if pending == 0 {
            return Ok(None);
        }
        let paused = self.paused(specialty).await?;
        let stuck = Why::of_specialty(specialty, paused, workers);
        Ok(Some(stuck.unwrap_or(Why::Busy { ahead: None })))
    }

    async fn why_pending(&self, record: &TaskRecord) -> Result<Why, QueueError> {
        let specialty = &record.specialty;
        let (paused, workers) = (self.paused(specialty).await?, self.workers().await?);
        if let Some(stuck) = Why::of_specialty(specialty, paused, &workers) {
            return Ok(stuck);
        }
        let keys = self.keys().specialty(specialty);
        let args = [record.id.as_str(), &AHEAD_MAX.to_string()];
        let ahead: Value = self.inner.scripts.ahead.call(&self.inner.connections, keys.base(), &args).await?;
        Ok(Why::Busy { ahead: Some(number(&ahead)) })
    }

    /// Redis' clock.
    pub async fn now(&self) -> Result<UnixMs, QueueError> {
        let (seconds, micros): (u64, u64) = self
            .inner
            .connections
            .run(async |mut connection| redis::cmd("TIME").query_async(&mut connection).await)
            .await?;
        Ok(seconds * 1_000 + micros / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_a_calendar_has_them() {
        for (ms, said) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (1_709_164_800_000, "2024-02-29 00:00:00 UTC"),
            (1_709_251_199_999, "2024-02-29 23:59:59 UTC"),
            (1_709_251_200_000, "2024-03-01 00:00:00 UTC"),
            (1_767_225_599_000, "2025-12-31 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(Utc(ms).to_string(), said);
        }
    }

    #[test]
    fn each_reason_is_one_line_that_says_what_to_wait_for() {
        let stopped = Stopped { by: "ada".into(), reason: "new key".into(), at: 1, until: Some(0) };
        let said = Why::Paused(stopped).to_string();
        assert_eq!(said, "its specialty is paused by ada: new key (until 1970-01-01 00:00:00 UTC)");
        assert_eq!(Why::Paused(Stopped::default()).to_string(), "its specialty is paused");
        let waits = Why::Phase { worker: "w1".to_owned(), phase: "alone".to_owned(), since: 0 }.to_string();
        assert!(
            waits.starts_with("it runs alone") && waits.contains("w1 ends its other tasks first"),
            "{waits}"
        );
        let busy = |ahead| Why::Busy { ahead: Some(ahead) }.to_string();
        assert!(busy(0).ends_with("it is next") && busy(7).ends_with("7 tasks are ahead of it"));
        assert!(busy(100).ends_with("100 tasks or more are ahead of it"));
    }
}
