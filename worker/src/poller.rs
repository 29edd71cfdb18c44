//! Claims tasks for free slots and runs them.
//!
//! A slot is taken first, then a task: nothing is claimed that cannot start. Nothing is claimed either while
//! the last acknowledged beat is older than a lease, nor while the agent account is suspended or the disk is nearly
//! full, nor beside a task that is to run alone.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use shared::{
    Specialty,
    crash_point::CrashPoint,
    lifecycle::Fence,
    queue::{Claim, Claimed, Holder, QueueError, Waited, WakeHandle, WakeWaiter},
    retry::Backoff,
};
use tokio::{
    task::{JoinError, JoinHandle, JoinSet},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    berths::{Berth, Berths},
    slot::{Slot, SlotContext},
    specialties::Specialties,
};

/// How long one wait blocks; sweeps put a lost marker back, so that this need not be short.
const BLOCK: Duration = Duration::from_secs(10);

/// Between polls that no marker asked for.
const POLL: Duration = Duration::from_secs(30);

/// Between looks at a suspended account; the reset may be moved forward by hand.
const SUSPENDED_LOOK: Duration = Duration::from_secs(30);

/// Between tries to end a wait from outside.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(100);

/// How long a wait may take to end. What it takes after that, a sweep puts back.
const UNBLOCK_MAX: Duration = Duration::from_secs(2);

const FAILURE: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// The loop's state.
pub struct Poller {
    pub context: Arc<SlotContext>,
    pub holder: Holder,
    pub specialties: Arc<Specialties>,
    pub berths: Berths,
    /// Cancelled when nothing new is to be claimed.
    pub drain: CancellationToken,
    /// Specialties with a claim whose answer was lost, and until when it may still come to be executed: what a
    /// frozen Redis has in its buffers runs after whatever is asked on a new connection.
    pub unsure: HashMap<Specialty, Instant>,
    /// Fences of what was taken up so, for as long as anything is unsure: a run that was given up while its
    /// record still names this worker is not begun again and again.
    pub taken_up: HashSet<Fence>,
    /// Specialties whose agent account met a limit or has spent its day's budget, and until when.
    pub resting: HashMap<Specialty, Instant>,
}

/// What a round of claims brought.
enum Round {
    Started,
    Nothing,
    Suspended(Duration),
}

impl Poller {
    /// Claims and runs until told to drain; returns what still runs.
    pub async fn run(mut self) -> JoinSet<()> {
        let mut runs = JoinSet::new();
        let mut rotation = 0;
        let mut woken: Option<Specialty> = None;
        let mut failures = 0;
        let mut waiter = Some(self.waiter());
        let mut polled_at: Option<Instant> = None;
        while !self.drain.is_cancelled() {
            let Some(berth) = self.next_free(&mut runs).await else { break };
            if !self.in_contact().await {
                break;
            }
            if self.context.ledger.is_drained() {
                // The marker is for somebody else, then.
                if let Some(specialty) = woken.take() {
                    let _ = self.context.queue.rearm(&specialty).await;
                }
                if !self.until(self.context.ledger.undrained(), &mut runs).await {
                    break;
                }
                polled_at = None;
            }
            if let Some(shortage) = self.context.executor.disk().shortage() {
                if let Some(specialty) = woken.take() {
                    let _ = self.context.queue.rearm(&specialty).await;
                }
                tracing::warn!("{shortage}; nothing is claimed until there is room");
                if !self.until(self.context.executor.disk().room(), &mut runs).await {
                    break;
                }
                tracing::info!("the disk has room again");
                polled_at = None;
                // Much may have changed meanwhile.
                continue;
            }
            let rested = self.resting.values().any(|until| *until <= Instant::now());
            let due = rested || !self.unsure.is_empty() || polled_at.is_none_or(|at| at.elapsed() >= POLL);
            if woken.is_some() || due {
                polled_at = Some(Instant::now());
                rotation += 1;
                let claimed_from = self.claimed_from();
                let round = self.round(berth, rotation, woken.take(), &mut runs).await;
                if self.claimed_from() != claimed_from {
                    // A marker of what rests would wake this worker again and again.
                    waiter = None;
                }
                if round.is_ok() {
                    failures = 0;
                }
                let pause = match round {
                    Ok(Round::Started) => {
                        // There may be more: poll again as soon as a slot is free.
                        polled_at = None;
                        continue;
                    }
                    Ok(Round::Nothing) => Duration::ZERO,
                    Ok(Round::Suspended(left)) => {
                        polled_at = None;
                        left.min(SUSPENDED_LOOK)
                    }
                    Err(error) => {
                        failures += 1;
                        polled_at = None;
                        // An outage is told by the beat; anything else is told here, such as a permission that
                        // claims need and beats do not.
                        if failures == 1 && !matches!(error, QueueError::Unreachable(_)) {
                            tracing::error!(%error, "tasks cannot be claimed");
                        }
                        FAILURE.delay(failures)
                    }
                };
                if !pause.is_zero() && !self.pause(pause).await {
                    break;
                }
                if polled_at.is_none() {
                    continue;
                }
            }
            woken = self.wait(&mut waiter).await;
        }
        // A marker that came together with the end is for somebody else.
        if let Some(specialty) = woken {
            let _ = self.context.queue.rearm(&specialty).await;
        }
        runs
    }

    fn waiter(&self) -> WakeWaiter {
        self.context.queue.wake_waiter(&self.claimed_from(), BLOCK)
    }

    /// A free slot; observes runs that ended meanwhile. `None` when the worker is to drain.
    async fn next_free(&self, runs: &mut JoinSet<()>) -> Option<Berth> {
        loop {
            tokio::select! {
                berth = self.berths.one() => return berth,
                Some(ended) = runs.join_next() => observe(ended),
                () = self.drain.cancelled() => return None,
            }
        }
    }

    /// Waits until the last acknowledged beat is younger than a lease; `false` when the worker is to drain.
    async fn in_contact(&self) -> bool {
        let lease = Duration::from_millis(self.context.queue.settings().lease_ms);
        self.drain.run_until_cancelled(self.context.ledger.in_contact(lease)).await.is_some()
    }

    /// Waits until this worker may claim again; observes runs that end meanwhile. `false` when it is to drain for good.
    async fn until(&self, may_claim: impl Future<Output = ()>, runs: &mut JoinSet<()>) -> bool {
        let mut may_claim = pin!(may_claim);
        loop {
            tokio::select! {
                () = &mut may_claim => return true,
                Some(ended) = runs.join_next() => observe(ended),
                () = self.drain.cancelled() => return false,
            }
        }
    }

    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.drain.cancelled() => false,
        }
    }

    /// Claims for every free slot, one specialty after the other, beginning with the one that woke us.
    async fn round(
        &mut self,
        berth: Berth,
        rotation: usize,
        woken: Option<Specialty>,
        runs: &mut JoinSet<()>,
    ) -> Result<Round, QueueError> {
        self.look_at_limits().await?;
        // The marker is for somebody else, then.
        if let Some(specialty) = woken.as_ref().filter(|specialty| self.resting.contains_key(specialty)) {
            self.context.queue.rearm(specialty).await?;
        }
        let mut order = self.claimed_from();
        if let (true, Some(left)) = (order.is_empty(), self.resting.values().min()) {
            return Ok(Round::Suspended(left.saturating_duration_since(Instant::now())));
        }
        let mut free = vec![berth];
        while let Some(more) = self.berths.one_more() {
            free.push(more);
        }
        let turns = rotation % order.len().max(1);
        order.rotate_left(turns);
        if let Some(place) = order.iter().position(|specialty| Some(specialty) == woken.as_ref()) {
            order[..=place].rotate_right(1);
        }
        let mut started = false;
        for specialty in order {
            while !free.is_empty() && !self.drain.is_cancelled() {
                let (tasks, again) = self.claim(&specialty, free.len()).await?;
                if !tasks.is_empty() {
                    CrashPoint::Claimed.reached();
                }
                let alone = tasks.iter().any(|claimed| claimed.alone);
                for claimed in tasks {
                    started = true;
                    self.start(claimed, free.pop(), runs);
                }
                if alone {
                    return Ok(Round::Started);
                }
                if !again {
                    break;
                }
            }
        }
        Ok(if started { Round::Started } else { Round::Nothing })
    }

    fn start(&self, claimed: Claimed, berth: Option<Berth>, runs: &mut JoinSet<()>) {
        let alone = claimed.alone;
        let slot = Slot::enter(Arc::clone(&self.context), claimed);
        if alone {
            drop(berth);
            let (all, drain) = (self.berths.all(), self.drain.clone());
            runs.spawn(async move { drop(slot.run_alone(all, drain).await) });
        } else {
            runs.spawn(async move {
                slot.run().await;
                drop(berth);
            });
        }
    }

    /// One claim. What a former one took whose answer was lost is taken up first.
    async fn claim(
        &mut self,
        specialty: &Specialty,
        slots: usize,
    ) -> Result<(Vec<Claimed>, bool), QueueError> {
        let queue = &self.context.queue;
        if let Some(until) = self.unsure.get(specialty).copied() {
            let running: HashSet<_> = self.context.ledger.running().into_iter().collect();
            let held = queue.holding(&self.holder, specialty).await?;
            let new = |c: &Claimed| !running.contains(&c.lease.id) && !self.taken_up.contains(&c.lease.fence);
            let unknown: Vec<_> = held.into_iter().filter(new).take(slots).collect();
            if !unknown.is_empty() {
                self.taken_up.extend(unknown.iter().map(|claimed| claimed.lease.fence));
                tracing::info!(%specialty, tasks = unknown.len(), "a claim whose answer was lost is taken up");
                return Ok((unknown, true));
            }
            if Instant::now() >= until {
                self.unsure.remove(specialty);
            }
            if self.unsure.is_empty() {
                self.taken_up.clear();
            }
        }
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        match queue.claim(&self.holder, specialty, slots, &nonce).await {
            Ok(Claim::Tasks { tasks, again }) => Ok((tasks, again)),
            Ok(Claim::Paused) => Ok((Vec::new(), false)),
            Err(error) => {
                let lease = Duration::from_millis(queue.settings().lease_ms);
                self.unsure.insert(specialty.clone(), Instant::now() + lease);
                Err(error)
            }
        }
    }

    /// The served specialties without those that rest.
    fn claimed_from(&self) -> Vec<Specialty> {
        let mut served = self.specialties.now();
        served.retain(|specialty| !self.resting.contains_key(specialty));
        served
    }

    /// Asks which accounts met a limit.
    async fn look_at_limits(&mut self) -> Result<(), QueueError> {
        let served = self.specialties.now();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let resting = self.context.accounts.standings(&self.context.queue, &served).await?.resting;
        let left = |until| Duration::from_millis(until).saturating_sub(now).max(Duration::from_secs(1));
        let resting: HashMap<_, _> =
            resting.into_iter().map(|(specialty, until)| (specialty, Instant::now() + left(until))).collect();
        for (specialty, until) in &resting {
            if !self.resting.contains_key(specialty) {
                let seconds = until.saturating_duration_since(Instant::now()).as_secs();
                tracing::info!(%specialty, seconds, "the agent account met its limit or has spent its budget for today; nothing is claimed");
            }
        }
        self.resting = resting;
        Ok(())
    }

    /// Waits for a marker, in a task of its own so that it is never dropped half-way. Told to drain, it ends
    /// the wait from outside and passes on what it may have taken.
    async fn wait(&self, slot: &mut Option<WakeWaiter>) -> Option<Specialty> {
        let refreshed = self.drain.run_until_cancelled(self.specialties.refresh(&self.context.queue)).await;
        if refreshed?.unwrap_or(false) {
            *slot = None;
        }
        let mut waiter = slot.take().unwrap_or_else(|| self.waiter());
        let handle = waiter.handle();
        let mut waiting = tokio::spawn(async move {
            let answer = waiter.wait().await;
            (waiter, answer)
        });
        let (ended, draining) = tokio::select! {
            ended = &mut waiting => (ended, false),
            () = self.drain.cancelled() => (timeout(UNBLOCK_MAX, end(&handle, &mut waiting)).await.ok()?, true),
        };
        let Ok((waiter, answer)) = ended else { return None };
        *slot = Some(waiter);
        match answer {
            Ok(Waited::Woken(specialty)) if draining => {
                let _ = self.context.queue.rearm(&specialty).await;
                None
            }
            Ok(Waited::Woken(specialty)) => Some(specialty),
            Ok(Waited::TimedOut) => None,
            Err(_) => {
                self.pause(FAILURE.delay(0)).await;
                None
            }
        }
    }
}

/// Ends a wait from outside. Repeated, since a wait that is only about to block is not ended by it.
async fn end<T>(handle: &WakeHandle, waiting: &mut JoinHandle<T>) -> Result<T, JoinError> {
    loop {
        let _ = handle.unblock().await;
        if let Ok(ended) = timeout(UNBLOCK_AGAIN, &mut *waiting).await {
            return ended;
        }
    }
}

/// A run never ends by a panic; if one does, it is told, and its lease runs out.
pub fn observe(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a run ended by a defect; its task is reclaimed when the lease runs out");
    }
}
