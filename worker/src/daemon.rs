//! The worker process: who starts when, who ends when.
//!
//! Start: lock file, then the beat (a living other is refused), then the former self's tasks are given back,
//! then heartbeat and janitor, health page and sweeper, then the poller. End: poller, runs (drained, then stopped),
//! health page, sweeper, janitor, heartbeat, and last the beat is taken back.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use shared::{
    Failure, TaskId,
    config::Config,
    crash_point::CrashPoint,
    queue::{Beat, ClaimHeld, Queue, QueueError},
    specialty::InvalidSpecialty,
    state_dir::StateDir,
    worker_info::WorkerInfo,
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    account::Accounts,
    berths::Berths,
    executor::Executor,
    health::HealthPage,
    heartbeat::{Heartbeat, HeartbeatEnd},
    host::Host,
    identity::{Identity, IdentityError},
    ledger::Ledger,
    poller::{Poller, observe},
    run::StopReason,
    slot::{Slot, SlotContext, TaskEnd},
    specialties::Specialties,
    stop::{Stop, StopLevel},
    sweeper, system,
};

/// How long runs that are told to stop may take to end and to give their tasks back. Service managers kill what
/// takes longer, and a Redis that is gone must not keep a process for ever.
const GIVE_BACK_MAX: Duration = Duration::from_secs(20);

/// Why a worker did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Specialty(#[from] InvalidSpecialty),
    /// Something on this machine is missing or misconfigured.
    #[error("{}", .0.message)]
    Setup(Failure),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(
        "a worker with the node id '{node}' runs on {hostname} (process {pid}); stop it, or give this one another id with --node-id"
    )]
    Elsewhere { node: String, hostname: String, pid: String },
    /// Redis answers the beat, again and again, with what waiting does not mend.
    #[error("the worker cannot say that it lives: {0}; keys changed by hand, or a defect")]
    Beat(String),
    /// Told to end while it waited for its turn; nothing was begun.
    #[error("told to end before the worker had started")]
    ToldToEnd,
    #[error("the worker ended by a defect; see the log, and please report it")]
    Defect,
}

/// How the run of one held task ended, seen from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum HeldEnd {
    Ended(TaskEnd),
    /// It exists and is not held.
    NotHeld,
    Unknown,
}

/// A worker that beats and renews, ready to run tasks.
struct Station {
    context: Arc<SlotContext>,
    identity: Identity,
    told: CancellationToken,
    draining: CancellationToken,
    heartbeat: JoinHandle<HeartbeatEnd>,
    janitor: JoinHandle<()>,
}

/// Serves the configured specialties until `stop` says otherwise; `health` is where the health page is asked for.
///
/// # Errors
/// Before the first claim: [`WorkerError`]. Later [`WorkerError::Elsewhere`], when another process took this node's
/// place while this one was cut off, and [`WorkerError::Beat`]; its tasks are given back by then.
pub async fn run(
    config: Config,
    queue: Queue,
    state_dir: StateDir,
    host: Host,
    health: Option<TcpListener>,
    stop: Stop,
) -> Result<(), WorkerError> {
    let specialties = Arc::new(Specialties::parse(&config.worker.specialties)?);
    let node = node_id(&config);
    let slots = config.worker.max_tasks;
    let port = health.as_ref().and_then(|listener| listener.local_addr().ok()).map(|address| address.port());
    let start =
        Start { node: &node, slots, port, specialties: &specialties, end: StopLevel::Drain, refers: true };
    let mut station = match Station::open(&config, queue, &state_dir, host, &stop, start).await {
        Err(WorkerError::ToldToEnd) => return Ok(()),
        opened => opened?,
    };
    let context = Arc::clone(&station.context);
    let health = tokio::spawn(tell_health(&station, &config, health));
    let mut sweeper = tokio::spawn(sweeper::run(
        context.queue.clone(),
        Arc::clone(&specialties),
        station.told.child_token(),
    ));
    let poller = Poller {
        context: Arc::clone(&context),
        holder: station.identity.holder.clone(),
        specialties,
        berths: Berths::new(slots),
        drain: station.draining.clone(),
        unsure: HashMap::new(),
        taken_up: HashSet::new(),
        resting: HashMap::new(),
    };
    tracing::info!(node, slots, specialties = %config.worker.specialties.join(","), "worker is ready");
    let mut polling = tokio::spawn(poller.run());
    let by_itself = tokio::select! {
        () = stop.reached(StopLevel::Drain) => None,
        ended = &mut station.heartbeat => Some(match ended {
            Ok(HeartbeatEnd::Displaced { hostname, pid }) => {
                WorkerError::Elsewhere { node: node.clone(), hostname, pid }
            }
            Ok(HeartbeatEnd::Broken(error)) => WorkerError::Beat(error),
            Ok(HeartbeatEnd::Told) | Err(_) => WorkerError::Defect,
        }),
        // Nobody would notice that nothing is reclaimed and no retry comes due.
        _ = &mut sweeper => Some(WorkerError::Defect),
        // The runs it held are gone with it.
        _ = &mut polling => return Err(WorkerError::Defect),
    };
    station.draining.cancel();
    if by_itself.is_some() {
        // What they hold, they give back if it is still theirs.
        context.ledger.stop_all(&StopReason::Shutdown);
    }
    let runs = polling.await.map_err(|_| WorkerError::Defect)?;
    drain(&config, &context.ledger, runs, stop).await;
    station.told.cancel();
    let _ = health.await;
    if let Some(error) = by_itself {
        return Err(error);
    }
    let _ = sweeper.await;
    station.close().await;
    Ok(())
}

/// Serves the health page, where there is one, until the station closes.
fn tell_health(
    station: &Station,
    config: &Config,
    listener: Option<TcpListener>,
) -> impl Future<Output = ()> + use<> {
    let page = HealthPage {
        node: station.identity.holder.node.clone(),
        ledger: Arc::clone(&station.context.ledger),
        disk: Arc::clone(station.context.executor.disk()),
        github: station.context.executor.github().cloned(),
        silence_max: Duration::from_millis(config.queue.lease_ms),
        draining: station.draining.clone(),
    };
    let told = station.told.child_token();
    async move {
        if let Some(listener) = listener {
            page.serve(listener, told).await;
        }
    }
}

/// Runs exactly the held task `id` in this process, beside whatever workers there are, and returns its end.
/// `stop`: `Drain` changes nothing, `Release` gives the task back.
pub async fn run_held(
    config: Config,
    queue: Queue,
    state_dir: StateDir,
    host: Host,
    stop: Stop,
    id: TaskId,
) -> Result<HeldEnd, WorkerError> {
    let specialties = Arc::new(Specialties::parse(&[])?);
    // Not the host's own worker, which may be running: a node for this process alone.
    let node = format!("{}-run-{}", node_id(&config), std::process::id());
    let start = Start {
        node: &node,
        slots: 1,
        port: None,
        specialties: &specialties,
        end: StopLevel::Release,
        refers: false,
    };
    let station = Station::open(&config, queue, &state_dir, host, &stop, start).await?;
    let context = Arc::clone(&station.context);
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let answer = match context.queue.claim_held(&station.identity.holder, &id, &nonce).await {
        // The same nonce again: if the first answer was lost, the lease is ours.
        Err(error) if error.is_passing() => {
            context.queue.claim_held(&station.identity.holder, &id, &nonce).await
        }
        other => other,
    };
    let end = match answer {
        Ok(ClaimHeld::Claimed(claimed)) => {
            CrashPoint::HeldClaimed.reached();
            let slot = Slot::enter(Arc::clone(&context), *claimed);
            let mut running = std::pin::pin!(slot.run());
            let end = tokio::select! {
                end = &mut running => end,
                () = stop.reached(StopLevel::Release) => {
                    context.ledger.stop_all(&StopReason::Shutdown);
                    tokio::time::timeout(GIVE_BACK_MAX, running).await.unwrap_or(TaskEnd::Abandoned)
                }
            };
            Ok(HeldEnd::Ended(end))
        }
        Ok(ClaimHeld::NotHeld) => Ok(HeldEnd::NotHeld),
        Ok(ClaimHeld::Unknown) => Ok(HeldEnd::Unknown),
        Err(error) => Err(error.into()),
    };
    station.told.cancel();
    let lock = state_dir.worker_lock(&node);
    station.close().await;
    let _ = context.queue.forget_worker(&node).await;
    // One for each run would pile up.
    let _ = std::fs::remove_file(lock);
    end
}

struct Start<'a> {
    node: &'a str,
    slots: u32,
    /// Of the health page.
    port: Option<u16>,
    specialties: &'a Specialties,
    /// What ends a start that waits.
    end: StopLevel,
    refers: bool,
}

impl Station {
    async fn open(
        config: &Config,
        queue: Queue,
        state_dir: &StateDir,
        host: Host,
        stop: &Stop,
        start: Start<'_>,
    ) -> Result<Self, WorkerError> {
        let identity = Identity::take(start.node, state_dir)?;
        let executor = Executor::prepare(config, state_dir, host).await.map_err(WorkerError::Setup)?;
        let ledger = Arc::new(Ledger::new());
        let info = info(&identity, &executor, &start);
        tokio::select! {
            beaten = first_beat(&queue, &info) => beaten?,
            // A beat that was sent in this moment ends by itself.
            () = stop.reached(start.end) => return Err(WorkerError::ToldToEnd),
        }
        CrashPoint::Announced.reached();
        // The lock proves that no former process of this node lives, and the executor has ended what it left.
        for specialty in queue.specialties().await? {
            let (returned, poisoned) = queue.forfeit(&identity.holder, &specialty).await?;
            if returned + poisoned > 0 {
                tracing::warn!(%specialty, returned, poisoned, "a former process of this worker died; its tasks were given back");
            }
        }
        CrashPoint::Forfeited.reached();
        let (told, draining) = (CancellationToken::new(), CancellationToken::new());
        let accounts = Arc::new(Accounts::new(&config.agent));
        let disk = Arc::clone(executor.disk());
        let heartbeat = Heartbeat::new(queue.clone(), Arc::clone(&ledger), Arc::clone(&accounts), disk, info);
        let heartbeat = tokio::spawn(heartbeat.run(told.child_token(), draining.clone()));
        let janitor = tokio::spawn(executor.janitor().run(told.child_token()));
        let context = SlotContext {
            queue,
            ledger,
            executor: Arc::new(executor),
            node: identity.holder.node.clone(),
            accounts,
            stop: stop.clone(),
            refers: start.refers,
        };
        Ok(Self { context: Arc::new(context), identity, told, draining, heartbeat, janitor })
    }

    async fn close(self) {
        CrashPoint::GivenBack.reached();
        let _ = self.janitor.await;
        let _ = self.heartbeat.await;
        let holder = &self.identity.holder;
        // Redis may be away; then the beat ends by itself.
        let _ = self.context.queue.leave(&holder.node, &holder.incarnation).await;
    }
}

/// The configured node id, or the host's name.
fn node_id(config: &Config) -> String {
    if config.worker.node_id.is_empty() { system::hostname() } else { config.worker.node_id.clone() }
}

/// Says that this worker lives. Another incarnation's living beat is buried when its lock is the one held
/// now; else it is given one life to end, and then this start is refused.
async fn first_beat(queue: &Queue, info: &WorkerInfo) -> Result<(), WorkerError> {
    let mut waited = false;
    loop {
        let Beat::Taken { left, hostname, pid } = queue.beat(info).await? else { return Ok(()) };
        let other = queue.worker(&info.id).await?;
        if other.is_none_or(|other| other.lock == info.lock) {
            queue.bury(&info.id).await?;
        } else if waited {
            return Err(WorkerError::Elsewhere { node: info.id.clone(), hostname, pid });
        } else {
            tracing::info!(hostname, pid, "this node id beats elsewhere; waiting whether that ends");
            tokio::time::sleep(left + Duration::from_millis(100)).await;
            waited = true;
        }
    }
}

/// `claude 2.1.328`; with agents of specialties of their own, `claude 2.1.328; backend: codex 0.169.0`.
fn told_agents(agents: &[(Option<&str>, String)]) -> String {
    let told = agents.iter().map(|(specialty, agent)| match specialty {
        Some(specialty) => format!("{specialty}: {agent}"),
        None => agent.clone(),
    });
    told.collect::<Vec<_>>().join("; ")
}

fn info(identity: &Identity, executor: &Executor, start: &Start<'_>) -> WorkerInfo {
    let workspace_root = executor.workspace_root().display().to_string();
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let started_at = since_epoch.map_or(0, |since| since.as_millis() as u64);
    WorkerInfo {
        id: identity.holder.node.clone(),
        incarnation: identity.holder.incarnation.clone(),
        hostname: system::hostname(),
        pid: std::process::id(),
        lock: identity.lock.clone(),
        port: start.port,
        specialties: start.specialties.now(),
        slots: start.slots,
        running: Vec::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        agent: told_agents(&executor.agents()),
        sandbox: executor.sandbox().to_owned(),
        system: system::info(&workspace_root),
        workspace_root,
        draining: false,
        suspended_until: None,
        resting: std::collections::BTreeMap::new(),
        unready: None,
        accounts: Vec::new(),
        started_at,
        beat_at: 0,
    }
}

/// Lets runs come to their end, up to the deadline; then stops them, which gives their tasks back, unless Redis
/// is away for longer than anybody who ends a process waits.
async fn drain(config: &Config, ledger: &Ledger, mut runs: JoinSet<()>, stop: Stop) {
    if !runs.is_empty() {
        tracing::info!(running = runs.len(), "draining: nothing new is claimed");
    }
    let deadline = tokio::time::sleep(Duration::from_millis(config.worker.drain_ms));
    tokio::pin!(deadline);
    let mut released = false;
    while !runs.is_empty() {
        let why = tokio::select! {
            Some(ended) = runs.join_next() => {
                observe(ended);
                continue;
            }
            () = &mut deadline => "the drain deadline has passed",
            () = stop.reached(StopLevel::Release), if !released => "told to stop now",
            () = stop.reached(StopLevel::Exit) => return,
        };
        if released {
            tracing::warn!(
                running = runs.len(),
                "redis does not take the tasks back; their leases run out, or the next start gives them back"
            );
            return;
        }
        tracing::info!(why, "giving tasks back");
        ledger.stop_all(&StopReason::Shutdown);
        released = true;
        deadline.as_mut().reset(Instant::now() + GIVE_BACK_MAX);
    }
}
