//! Sweeps the worker's specialties, each when it is next due. Any worker may: the script throttles the fleet.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use shared::{
    Specialty,
    queue::{Queue, QueueError, Swept},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::specialties::Specialties;

/// Until the next try after a sweep that failed; the beat tells of the outage.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Added to every wait, so that a fleet does not come back all at once.
const JITTER_MS_MAX: u64 = 50;

/// Sweeps until told to end, also in the middle of a sweep: each is repeatable.
pub async fn run(queue: Queue, specialties: Arc<Specialties>, told: CancellationToken) {
    told.run_until_cancelled(sweep_on(&queue, &specialties)).await;
}

async fn sweep_on(queue: &Queue, specialties: &Specialties) {
    let mut due: BTreeMap<Specialty, Instant> = BTreeMap::new();
    loop {
        let now = Instant::now();
        for specialty in specialties.now() {
            due.entry(specialty).or_insert(now);
        }
        for (specialty, at) in &mut due {
            if *at <= now {
                *at = Instant::now() + sweep(queue, specialty).await;
            }
        }
        let next = due.values().min().copied().unwrap_or(now + AFTER_FAILURE);
        tokio::time::sleep_until(next).await;
    }
}

async fn sweep(queue: &Queue, specialty: &Specialty) -> Duration {
    let jitter = Duration::from_millis(fastrand::u64(0..=JITTER_MS_MAX));
    match queue.sweep(specialty).await {
        Ok(swept) => {
            if let Swept::Done { lost: lost @ 1.., .. } = swept {
                tracing::warn!(%specialty, lost, "leases ran out; their tasks are back in line");
            }
            swept.next() + jitter
        }
        Err(QueueError::Unreachable(_) | QueueError::Refused(_)) => AFTER_FAILURE + jitter,
        Err(error) => {
            tracing::error!(%specialty, %error, "the sweep failed");
            AFTER_FAILURE * 10
        }
    }
}
