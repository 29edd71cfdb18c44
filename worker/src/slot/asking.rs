//! What a run asks of Redis while it goes on: whether it may publish, whether the word on its issue is its own, and what
//! it may spend.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use shared::{
    Specialty, TaskSpec,
    queue::{Charged, Expense, Lease, Queue, QueueError, Renewal},
    worker_info::WorkerState,
};

use super::{PERSIST, SlotContext};
use crate::{
    account::Purse,
    ledger::Ledger,
    run::{Allowance, Charge, FenceCheck},
};

/// Between two looks whether an ingester still writes on the issue. It does for a moment.
const TURN_PAUSE: Duration = Duration::from_millis(100);

/// Asks Redis; waits out an outage for as long as the grace lasts, since a finished run is worth the wait.
pub(super) fn fence_check(context: &SlotContext, lease: &Lease) -> FenceCheck {
    let (queue, ledger, lease) = (context.queue.clone(), Arc::clone(&context.ledger), lease.clone());
    Arc::new(move || {
        let (queue, ledger, lease) = (queue.clone(), Arc::clone(&ledger), lease.clone());
        Box::pin(async move {
            let ours = in_grace(&queue, &ledger, &lease, || still_ours(&queue, &lease)).await;
            ours == Some(true) && ledger.holds(&lease)
        })
    })
}

/// Waits until no ingester writes on the issue any more, then asks `fence`. An ingester writes while the task waits
/// alone, so that none begins once the task is claimed.
pub(super) fn word_check(context: &SlotContext, spec: &TaskSpec, fence: &FenceCheck) -> FenceCheck {
    let Some(issue) = spec.issue else { return Arc::clone(fence) };
    let (queue, repository, fence) = (context.queue.clone(), spec.repository.clone(), Arc::clone(fence));
    Arc::new(move || {
        let (queue, repository, fence) = (queue.clone(), repository.clone(), Arc::clone(&fence));
        Box::pin(async move {
            loop {
                match queue.comment_turn_is_free(&repository, issue).await {
                    Ok(true) => return fence().await,
                    Ok(false) => tokio::time::sleep(TURN_PAUSE).await,
                    // A user of Redis that was made before this was asked: better told out of turn than never.
                    Err(error @ QueueError::Refused(_)) => {
                        tracing::warn!(%error, "nobody can tell whether an ingester writes on the issue too");
                        return fence().await;
                    }
                    Err(error) if error.is_passing() => tokio::time::sleep(TURN_PAUSE).await,
                    Err(error) => {
                        tracing::error!(%error, "nobody can tell who writes on the issue; it is told nothing");
                        return false;
                    }
                }
            }
        })
    })
}

/// Counts in Redis what the agent costs. A task whose lease has run out is charged like one that is to be published.
pub(super) fn charge(context: &SlotContext, lease: &Lease) -> Charge {
    let (queue, ledger, lease) = (context.queue.clone(), Arc::clone(&context.ledger), lease.clone());
    let purse = context.accounts.purse(&lease.specialty).clone();
    Arc::new(move |expense| {
        let (queue, ledger, lease, purse) =
            (queue.clone(), Arc::clone(&ledger), lease.clone(), purse.clone());
        Box::pin(
            async move { in_grace(&queue, &ledger, &lease, || pay(&queue, &lease, &purse, expense)).await? },
        )
    })
}

async fn pay(
    queue: &Queue,
    lease: &Lease,
    purse: &Purse,
    expense: Expense,
) -> Result<Option<Allowance>, QueueError> {
    let account = purse.account.as_ref();
    let name = account.map(|account| account.name.as_str());
    let mut charged = queue.charge(lease, name, expense).await?;
    if charged == Charged::Stale && still_ours(queue, lease).await? {
        charged = queue.charge(lease, name, expense).await?;
    }
    let (Charged::Counted { task } | Charged::Already { task }) = charged else { return Ok(None) };
    let day = match account {
        Some(account) if account.micro_usd_per_day.is_some() => {
            account.left_today(&queue.account_standing(&account.name).await?)
        }
        _ => None,
    };
    Ok(Some(Allowance { task: purse.micro_usd_per_task.map(|budget| budget.saturating_sub(task)), day }))
}

/// The answer to a step that may be repeated, however long an outage takes up to the grace; `None` after that, and
/// where waiting does not mend what is wrong.
async fn in_grace<T, F: Future<Output = Result<T, QueueError>>>(
    queue: &Queue,
    ledger: &Ledger,
    lease: &Lease,
    step: impl Fn() -> F,
) -> Option<T> {
    let grace = Duration::from_millis(queue.settings().outage_grace_ms);
    for attempt in 0.. {
        match step().await {
            Ok(answer) => return Some(answer),
            Err(error) if error.is_passing() => {
                if ledger.silence().is_none_or(|silence| silence > grace) {
                    return None;
                }
                tokio::time::sleep(PERSIST.delay(attempt)).await;
            }
            Err(error) => {
                tracing::error!(%error, task = %lease.id, "redis cannot be asked; nothing is published");
                return None;
            }
        }
    }
    None
}

/// Whether the lease stands. One that ran out, as in a freeze, does again where nobody took the task since: the next
/// beat would find that, but a run may come to its end before.
pub(super) async fn still_ours(queue: &Queue, lease: &Lease) -> Result<bool, QueueError> {
    Ok(queue.still_held(lease).await? || queue.renew(std::slice::from_ref(lease)).await? == [Renewal::Held])
}

/// What living workers serve. Nothing where Redis does not tell: then nobody chooses.
pub(super) async fn served(context: &SlotContext) -> Vec<Specialty> {
    let workers = context.queue.workers().await.unwrap_or_else(|error| {
        tracing::debug!(%error, "no second opinion: the workers are not known");
        Vec::new()
    });
    let living = workers.into_iter().filter_map(|worker| match worker {
        WorkerState::Online(info) => Some(info.specialties),
        WorkerState::Offline { .. } => None,
    });
    let served: BTreeSet<Specialty> = living.flatten().collect();
    served.into_iter().collect()
}
