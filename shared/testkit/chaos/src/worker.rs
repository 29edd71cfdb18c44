//! A worker of the queue level: the protocol of the real one without agents and git.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use shared::{
    Failure, Outcome, Specialty, TaskSpec,
    queue::{Claim, Claimed, Holder, Lease, Queue, QueueError, Renewal, Settlement},
    worker_info::{SystemInfo, WorkerInfo},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};

use crate::{
    effects::{effects_of, now_us, publish},
    queue_level::{open, specialties},
    task_kind::{TaskKind, number},
};

/// Between two tries of a step that Redis did not answer.
const AGAIN: Duration = Duration::from_millis(30);

/// Until a task is due again that met a transient failure.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// How long a wait for work blocks.
const BLOCK: Duration = Duration::from_secs(1);

/// How long a task takes, in ms.
const WORK_MS: std::ops::Range<u64> = 1..30;

#[derive(Clone, Debug, Args)]
pub struct Worker {
    #[arg(long)]
    redis: String,
    #[arg(long)]
    node: String,
    #[arg(long)]
    slots: usize,
    /// Where effects are published.
    #[arg(long)]
    effects: PathBuf,
}

/// What all parts of a worker share.
struct Post {
    queue: Queue,
    holder: Holder,
    specialties: Vec<Specialty>,
    effects: PathBuf,
    held: Mutex<HashMap<String, Lease>>,
    /// When the last round of renewals that was acknowledged was sent.
    contact: Mutex<Option<Instant>>,
}

impl Worker {
    /// Works until SIGTERM. Whoever starts this has waited for the former process of the node.
    pub async fn run(self) -> Result<()> {
        let holder = Holder { node: self.node.clone(), incarnation: uuid::Uuid::now_v7().to_string() };
        let post = Arc::new(Post {
            queue: open(&self.redis)?,
            holder,
            specialties: specialties()?,
            effects: self.effects.clone(),
            held: Mutex::default(),
            contact: Mutex::default(),
        });
        persist(|| post.queue.bury(&self.node)).await?;
        for specialty in &post.specialties {
            persist(|| post.queue.forfeit(&post.holder, specialty)).await?;
        }
        let mut loops = JoinSet::new();
        loops.spawn(beat(Arc::clone(&post), self.slots));
        for specialty in post.specialties.clone() {
            loops.spawn(sweep(Arc::clone(&post), specialty));
        }
        let mut term = signal(SignalKind::terminate())?;
        let slots = Arc::new(Semaphore::new(self.slots));
        let mut runs = JoinSet::new();
        tokio::select! {
            ended = claim_on(&post, &slots, self.slots as u32, &mut runs) => ended?,
            ended = loops.join_next() => if let Some(ended) = ended { ended?? },
            _ = term.recv() => {}
        }
        while let Some(ended) = runs.join_next().await {
            ended??;
        }
        loops.shutdown().await;
        let Holder { node, incarnation } = &post.holder;
        persist(|| post.queue.leave(node, incarnation)).await?;
        Ok(())
    }
}

/// Renews and tells that the worker lives. Renewals come first: after a freeze nothing else matters.
async fn beat(post: Arc<Post>, slots: usize) -> Result<()> {
    let info = info(&post, slots);
    loop {
        let sent = Instant::now();
        let leases: Vec<Lease> = post.held().values().cloned().collect();
        let round = async {
            post.queue.renew(&leases).await?;
            post.queue.beat(&info).await
        };
        match round.await {
            Ok(_) => *lock(&post.contact) = Some(sent),
            Err(error) => passing(&error)?,
        }
        sleep(Duration::from_millis(post.queue.settings().beat_ms)).await;
    }
}

async fn sweep(post: Arc<Post>, specialty: Specialty) -> Result<()> {
    loop {
        match post.queue.sweep(&specialty).await {
            Ok(swept) => sleep(swept.next()).await,
            Err(error) => {
                passing(&error)?;
                sleep(AGAIN).await;
            }
        }
    }
}

/// Claims for free slots, specialties in turns. What a claim took whose answer was lost is taken up.
async fn claim_on(
    post: &Arc<Post>,
    slots: &Arc<Semaphore>,
    all: u32,
    runs: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let lease = Duration::from_millis(post.queue.settings().lease_ms);
    let mut waiter = post.queue.wake_waiter(&post.specialties, BLOCK);
    let mut unsure: Option<Instant> = None;
    let mut taken_up = HashSet::new();
    let gate = Arc::new(tokio::sync::Mutex::new(()));
    loop {
        // Nothing is claimed beside what is to run alone.
        drop(gate.lock().await);
        drop(Arc::clone(slots).acquire_owned().await?);
        while let Some(ended) = runs.try_join_next() {
            ended??;
        }
        if lock(&post.contact).is_none_or(|sent| sent.elapsed() > lease) {
            sleep(AGAIN).await;
            continue;
        }
        let mut tasks = Vec::new();
        for specialty in &post.specialties {
            let free = slots.available_permits().saturating_sub(tasks.len());
            if free == 0 || tasks.iter().any(|claimed: &Claimed| claimed.alone) {
                break;
            }
            let nonce = uuid::Uuid::new_v4().simple().to_string();
            let claimed = async {
                if unsure.is_some() {
                    let mut held = post.queue.holding(&post.holder, specialty).await?;
                    let known = post.held();
                    held.retain(|c| {
                        !known.contains_key(c.lease.id.as_str()) && !taken_up.contains(&c.lease.fence)
                    });
                    held.truncate(free);
                    if !held.is_empty() {
                        return Ok(held);
                    }
                }
                match post.queue.claim(&post.holder, specialty, free, &nonce).await? {
                    Claim::Paused => Ok(Vec::new()),
                    Claim::Tasks { tasks, .. } => Ok(tasks),
                }
            };
            match claimed.await {
                Ok(claimed) => tasks.extend(claimed),
                Err(error) => {
                    passing(&error)?;
                    unsure = Some(Instant::now() + lease);
                    sleep(AGAIN).await;
                }
            }
        }
        if unsure.is_some_and(|until| Instant::now() > until) {
            unsure = None;
            taken_up.clear();
        }
        let idle = tasks.is_empty() && unsure.is_none();
        for claimed in tasks {
            taken_up.insert(claimed.lease.fence);
            post.held().insert(claimed.lease.id.to_string(), claimed.lease.clone());
            let (post, slots) = (Arc::clone(post), Arc::clone(slots));
            let (turn, one) = if claimed.alone {
                (Some(Arc::clone(&gate).lock_owned().await), None)
            } else {
                (None, Some(Arc::clone(&slots).acquire_owned().await?))
            };
            runs.spawn(async move {
                let lease = claimed.lease.clone();
                let permit = match one {
                    Some(one) => one,
                    None => slots.acquire_many_owned(all).await?,
                };
                let ended = run(&post, claimed).await;
                let mut held = post.held();
                if held.get(lease.id.as_str()) == Some(&lease) {
                    held.remove(lease.id.as_str());
                }
                drop((permit, turn));
                ended
            });
        }
        if idle && waiter.wait().await.is_err() {
            sleep(AGAIN).await;
        }
    }
}

/// One task: is the issue ours, work, ask, publish, settle.
async fn run(post: &Post, claimed: Claimed) -> Result<()> {
    let (queue, lease) = (&post.queue, &claimed.lease);
    if claimed.alone && !persist(|| begin(queue, lease)).await? {
        return Ok(());
    }
    let Ok(spec) = &claimed.spec else { bail!("DEFECT: {} has no specification", lease.id) };
    if let Some(other) = persist(|| queue.owns_issue(spec)).await? {
        bail!("DEFECT: the issue of {} belongs to {other}", lease.id);
    }
    sleep(Duration::from_millis(fastrand::u64(WORK_MS))).await;
    let settled = match TaskKind::of(number(lease.id.as_str())?) {
        TaskKind::Kills => {
            kill(Pid::this(), Signal::SIGKILL)?;
            return Ok(());
        }
        TaskKind::Fails => {
            let failure = Failure::task("as it was made to");
            persist(|| queue.fail(lease, &failure)).await?
        }
        TaskKind::CompletesLater if claimed.attempts == 0 => again(queue, lease, "once").await?,
        TaskKind::Completes | TaskKind::CompletesLater => match deliver(post, lease, spec).await? {
            Delivered::Done => {
                let outcome = Outcome::NoChange { answer: String::new() };
                persist(|| queue.complete(lease, &outcome)).await?
            }
            Delivered::Refused => again(queue, lease, "moved").await?,
            Delivered::Lost => return Ok(()),
        },
    };
    if settled == Settlement::Cancelled {
        bail!("DEFECT: {} was cancelled by nobody", lease.id);
    }
    Ok(())
}

/// From here on its worker's death is laid to the task. Whether the lease stands.
async fn begin(queue: &Queue, lease: &Lease) -> Result<bool, QueueError> {
    let renewed = queue.renew(std::slice::from_ref(lease)).await?;
    Ok(renewed != [Renewal::Lost] && queue.set_phase(lease, "preparing").await?)
}

async fn again(queue: &Queue, lease: &Lease, why: &str) -> Result<Settlement> {
    let failure = Failure::transient(why);
    persist(|| queue.retry(lease, &failure, RETRY_AFTER)).await
}

enum Delivered {
    Done,
    /// Somebody published since this run has looked.
    Refused,
    Lost,
}

/// As a push: look, ask whether the lease stands, publish if nothing has changed since the look.
async fn deliver(post: &Post, lease: &Lease, spec: &TaskSpec) -> Result<Delivered> {
    let (dir, task, fence) = (post.effects.clone(), spec.id.to_string(), lease.fence.0);
    let read = effects_of(&dir, &task)?.last().map(|effect| effect.fence);
    let (asked_at_us, held) = loop {
        let asked_at_us = now_us();
        match post.queue.still_held(lease).await {
            Ok(held) => break (asked_at_us, held),
            Err(error) => {
                passing(&error)?;
                sleep(AGAIN).await;
            }
        }
    };
    if !held {
        return Ok(Delivered::Lost);
    }
    let published = tokio::task::spawn_blocking(move || publish(&dir, &task, read, fence, asked_at_us));
    Ok(if published.await?? { Delivered::Done } else { Delivered::Refused })
}

/// Repeats an idempotent step until Redis answers.
async fn persist<T, F: Future<Output = Result<T, QueueError>>>(mut step: impl FnMut() -> F) -> Result<T> {
    loop {
        match step().await {
            Ok(answer) => return Ok(answer),
            Err(error) => passing(&error)?,
        }
        sleep(AGAIN).await;
    }
}

fn passing(error: &QueueError) -> Result<()> {
    if error.is_passing() { Ok(()) } else { bail!("DEFECT: {error}") }
}

impl Post {
    fn held(&self) -> MutexGuard<'_, HashMap<String, Lease>> {
        lock(&self.held)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn info(post: &Post, slots: usize) -> WorkerInfo {
    WorkerInfo {
        id: post.holder.node.clone(),
        incarnation: post.holder.incarnation.clone(),
        hostname: "localhost".to_owned(),
        pid: std::process::id(),
        lock: String::new(),
        port: None,
        specialties: post.specialties.clone(),
        slots: slots as u32,
        running: Vec::new(),
        version: String::new(),
        agent: "none".to_owned(),
        sandbox: "none".to_owned(),
        system: SystemInfo::default(),
        workspace_root: String::new(),
        draining: false,
        suspended_until: None,
        resting: std::collections::BTreeMap::new(),
        unready: None,
        accounts: Vec::new(),
        started_at: 0,
        beat_at: 0,
    }
}
