//! One sequence, carried out by the queue and by the model side by side.

mod compare;
mod wishes;
mod words;

use std::{collections::BTreeMap, fmt::Debug};

use redis::Connection;
use shared::{
    Specialty, TaskId, TaskSpec,
    config::Config,
    lifecycle::Fence,
    queue::{
        CancelAnswer, Claim, ClaimHeld, Enqueued, Holder, IssueEnqueued, Lease, Queue, ReleaseHeldAnswer,
        Swept,
    },
};
use testkit::{RedisServer, queue_clock};

use crate::{
    operation::{Operation, PRIORITIES, SPECIALTIES, TASKS, WORKERS},
    world::{self, State, TICK_MS, World, issue_of, sweeping},
};

/// How many ticks settled tasks are kept, about.
const KEEP_HOURS: u64 = 101;

/// Most events that are kept: fewer than a sequence makes.
const EVENTS_MAX: u64 = 50;

/// Newest leases of a worker that one renewal names.
const RENEWED_MAX: usize = 8;

/// A queue and its model, and what the workers know.
struct Play {
    connection: Connection,
    prefix: String,
    queue: Queue,
    world: World,
    /// The process that each worker is now, from 1.
    lives: [u32; WORKERS],
    /// Every lease ever given, oldest first.
    leases: Vec<(usize, Lease)>,
    /// What was enqueued under each id, last.
    specs: BTreeMap<usize, TaskSpec>,
    calls: u64,
}

/// Plays `operations` under `prefix`, where nothing is yet.
///
/// # Errors
/// The first answer, or the first thing in Redis, that is not as the model has it.
pub async fn play(
    redis: &RedisServer,
    prefix: &str,
    keep: usize,
    operations: &[Operation],
) -> Result<(), String> {
    let mut play = Play::new(redis, prefix, keep);
    for (step, operation) in operations.iter().enumerate() {
        play.pass(1.0);
        let compared = match play.step(operation).await {
            Ok(()) => play.compare_counts().await,
            different => different,
        };
        compared.map_err(|what| format!("step {step}, {operation:?}: {what}"))?;
    }
    play.compare_all().await.map_err(|what| format!("at the end: {what}"))
}

impl Play {
    fn new(redis: &RedisServer, prefix: &str, keep: usize) -> Self {
        let mut config = Config::defaults().expect("defaults");
        config.redis.url = redis.url().into();
        prefix.clone_into(&mut config.redis.prefix);
        let ms = |ticks: f64| (ticks * TICK_MS as f64) as u64;
        config.queue.lease_ms = ms(world::LEASE_TICKS);
        config.queue.sweep_ms = ms(world::SWEEP_TICKS);
        config.queue.lost_workers_max = world::LOST_MAX;
        config.queue.attempts_max = world::ATTEMPTS_MAX;
        config.queue.finished_count_max = keep as u64;
        config.queue.finished_age_hours = KEEP_HOURS;
        config.queue.events_count_max = EVENTS_MAX;
        let keep_ticks = (KEEP_HOURS * 3_600_000) as f64 / TICK_MS as f64;
        Self {
            connection: redis.connection().expect("a connection"),
            prefix: prefix.to_owned(),
            queue: Queue::open(&config.redis, &config.queue).expect("the address is good"),
            world: World::new(SPECIALTIES.len(), keep, keep_ticks),
            lives: [1; WORKERS],
            leases: Vec::new(),
            specs: BTreeMap::new(),
            calls: 0,
        }
    }

    /// Time passes for both.
    fn pass(&mut self, ticks: f64) {
        self.world.now += ticks;
        for specialty in SPECIALTIES {
            let ms = (ticks * TICK_MS as f64) as i64;
            queue_clock::pass(&mut self.connection, &self.prefix, specialty, ms)
                .expect("the times are moved");
        }
    }

    async fn step(&mut self, operation: &Operation) -> Result<(), String> {
        match *operation {
            Operation::Enqueue { task, specialty, priority } => {
                self.admit(task, specialty, priority, false).await
            }
            Operation::Hold { task, specialty, priority } => {
                self.admit(task, specialty, priority, true).await
            }
            Operation::EnqueueIssue { task, specialty, priority } => {
                self.enqueue_issue(task, specialty, priority).await
            }
            Operation::ReleaseHeld { task } => self.release_held(task).await,
            Operation::Claim { worker, specialty, slots } => self.claim(worker, specialty, slots).await,
            Operation::ClaimHeld { worker, task, again } => self.claim_held(worker, task, again).await,
            Operation::Holding { worker, specialty } => self.holding(worker, specialty).await,
            Operation::Renew { worker } => self.renew(worker).await,
            Operation::Cancel { task } => self.cancel(task).await,
            Operation::Restart { worker } => self.restart(worker).await,
            Operation::Sweep { specialty } => self.sweep(specialty).await,
            Operation::Sweeps { specialty, rounds } => {
                for _ in 0..rounds {
                    self.sweep(specialty).await?;
                    self.pass(4.0);
                }
                self.sweep(specialty).await
            }
            Operation::TakeMarker { specialty } => self.take_marker(specialty),
            Operation::Rearm { specialty } => self.rearm(specialty).await,
            Operation::Forward { ticks } => {
                self.pass(f64::from(ticks));
                Ok(())
            }
            // A little less than whole ticks: no two moments are the same.
            Operation::Back { ticks } => {
                self.pass(-f64::from(ticks) - 1.01);
                Ok(())
            }
            Operation::ForceRelease { .. }
            | Operation::Rerun { .. }
            | Operation::MovePriority { .. }
            | Operation::MoveSpecialty { .. }
            | Operation::Change { .. }
            | Operation::Delete { .. }
            | Operation::Trim { .. }
            | Operation::Pause { .. }
            | Operation::Resume { .. } => self.wish(operation).await,
            Operation::LocatorsEnd => {
                self.end_locators();
                Ok(())
            }
            Operation::StillHeld { lease }
            | Operation::OwnsIssue { lease }
            | Operation::Phase { lease }
            | Operation::Log { lease }
            | Operation::Complete { lease }
            | Operation::Fail { lease }
            | Operation::Retry { lease, .. }
            | Operation::Release { lease } => match self.newest(lease) {
                Some((task, lease)) => self.word(operation, task, &lease).await,
                None => Ok(()),
            },
        }
    }

    async fn admit(
        &mut self,
        task: usize,
        specialty: usize,
        priority: usize,
        held: bool,
    ) -> Result<(), String> {
        let spec = self.spec(task, specialty, priority);
        let answer = if held { self.queue.hold(&spec).await } else { self.queue.enqueue(&spec).await };
        let expected = match self.world.admit(task, specialty, priority, held) {
            Some(home) => Enqueued::Exists { specialty: named(home) },
            None => Enqueued::Created,
        };
        if expected == Enqueued::Created {
            self.created(task, spec);
        }
        same(&answer.map_err(text)?, &expected)
    }

    async fn enqueue_issue(&mut self, task: usize, specialty: usize, priority: usize) -> Result<(), String> {
        if issue_of(task).is_none() {
            return Ok(());
        }
        let spec = self.spec(task, specialty, priority);
        let answer = self.queue.enqueue_issue(&spec, None).await.map_err(text)?;
        let existed = self.world.tasks.contains_key(&task);
        let expected = match self.world.admit_for_issue(task, specialty, priority) {
            Some(other) => IssueEnqueued::Duplicate { task: id(other) },
            None => IssueEnqueued::Created,
        };
        if expected == IssueEnqueued::Created && !existed {
            self.created(task, spec);
        }
        same(&answer, &expected)
    }

    async fn release_held(&mut self, task: usize) -> Result<(), String> {
        let answer = match self.queue.release_held(&id(task)).await.map_err(text)? {
            ReleaseHeldAnswer::Released => Ok(()),
            ReleaseHeldAnswer::NotHeld(record) => Err(Some(record.status.name())),
            ReleaseHeldAnswer::Unknown => Err(None),
        };
        same(&answer, &self.world.release_held(task))
    }

    async fn claim(&mut self, worker: usize, specialty: usize, slots: usize) -> Result<(), String> {
        let (holder, nonce) = (self.holder(worker), self.nonce());
        let answer = self.queue.claim(&holder, &named(specialty), slots, &nonce).await.map_err(text)?;
        let Claim::Tasks { tasks, again } = answer else {
            return same(&true, &self.world.shelves[specialty].paused);
        };
        same(&false, &self.world.shelves[specialty].paused)?;
        let taken: Vec<usize> = tasks.iter().map(|claimed| place(&claimed.lease.id)).collect();
        same(&(taken, again), &(self.world.claimable(specialty, slots), false))?;
        let fences: Vec<(usize, Fence)> =
            tasks.iter().map(|claimed| (place(&claimed.lease.id), claimed.lease.fence)).collect();
        self.world.claimed(specialty, slots, &holder, &fences);
        for claimed in tasks {
            self.take(claimed)?;
        }
        Ok(())
    }

    async fn claim_held(&mut self, worker: usize, task: usize, again: bool) -> Result<(), String> {
        let (holder, nonce) = (self.holder(worker), self.nonce());
        let mut answer = self.queue.claim_held(&holder, &id(task), &nonce).await.map_err(text)?;
        if again {
            let second = self.queue.claim_held(&holder, &id(task), &nonce).await.map_err(text)?;
            same(&second, &answer)?;
            answer = second;
        }
        let expected = self.world.tasks.get(&task).map(|task| task.state == State::Held);
        match (answer, expected) {
            (ClaimHeld::Unknown, None) | (ClaimHeld::NotHeld, Some(false)) => Ok(()),
            (ClaimHeld::Claimed(claimed), Some(true)) => {
                self.world.activate(task, &holder, claimed.lease.fence);
                self.take(*claimed)
            }
            (answer, expected) => Err(format!("answered {answer:?}; held: {expected:?}")),
        }
    }

    async fn cancel(&mut self, task: usize) -> Result<(), String> {
        let answer = self.queue.cancel(&id(task), "ada").await.map_err(text)?;
        let expected = self.world.cancel(task);
        let agrees = match (&answer, expected) {
            (CancelAnswer::Unknown, None)
            | (CancelAnswer::Requested, Some("active"))
            | (CancelAnswer::Cancelled, Some("held" | "pending" | "delayed")) => true,
            (CancelAnswer::AlreadySettled(record), Some(status)) => record.status.name() == status,
            _ => false,
        };
        if agrees { Ok(()) } else { Err(format!("answered {answer:?}, was {expected:?}")) }
    }

    async fn restart(&mut self, worker: usize) -> Result<(), String> {
        self.lives[worker] += 1;
        let holder = self.holder(worker);
        for specialty in 0..SPECIALTIES.len() {
            let answer = self.queue.forfeit(&holder, &named(specialty)).await.map_err(text)?;
            same(&answer, &self.world.forfeit(specialty, &holder.node, &holder.incarnation))?;
        }
        Ok(())
    }

    async fn sweep(&mut self, specialty: usize) -> Result<(), String> {
        let answer = match self.queue.sweep(&named(specialty)).await.map_err(text)? {
            Swept::Later(_) => sweeping::Swept::Later,
            Swept::Done { lost, promoted, .. } => sweeping::Swept::Done { lost, promoted },
        };
        same(&answer, &self.world.sweep(specialty))
    }

    fn take_marker(&mut self, specialty: usize) -> Result<(), String> {
        let key = format!("{}:{{{}}}:wake", self.prefix, SPECIALTIES[specialty]);
        let taken: Vec<(String, f64)> =
            redis::cmd("ZPOPMIN").arg(key).query(&mut self.connection).map_err(text)?;
        same(&!taken.is_empty(), &std::mem::take(&mut self.world.shelves[specialty].marker))
    }

    async fn rearm(&mut self, specialty: usize) -> Result<(), String> {
        let answer = self.queue.rearm(&named(specialty)).await.map_err(text)?;
        let waits = self.world.waiting(specialty) > 0 && !self.world.shelves[specialty].paused;
        self.world.shelves[specialty].marker |= waits;
        same(&answer, &waits)
    }

    fn end_locators(&mut self) {
        let tasks = &self.world.tasks;
        self.world.locators.retain(|task, _| tasks.contains_key(task));
        for task in (0..TASKS).filter(|task| !tasks.contains_key(task)) {
            let key = format!("{}:task:t{task}", self.prefix);
            redis::cmd("DEL").arg(key).query::<()>(&mut self.connection).expect("deleted");
        }
    }

    fn spec(&mut self, task: usize, specialty: usize, priority: usize) -> TaskSpec {
        let life = self.nonce();
        TaskSpec {
            specialty: named(specialty),
            priority: PRIORITIES[priority].parse().expect("a priority"),
            issue: issue_of(task),
            body: format!("life {life}"),
            ..TaskSpec::new(id(task), "octo/cat".parse().expect("a repository"), "a title")
        }
    }

    /// The locator may have named another specialty than was asked for.
    fn created(&mut self, task: usize, spec: TaskSpec) {
        let specialty = named(self.world.tasks[&task].specialty);
        self.specs.insert(task, TaskSpec { specialty, ..spec });
    }

    fn holder(&self, worker: usize) -> Holder {
        Holder { node: format!("w{worker}"), incarnation: format!("w{worker}-{}", self.lives[worker]) }
    }

    fn nonce(&mut self) -> String {
        self.calls += 1;
        self.calls.to_string()
    }
}

fn same<T: PartialEq + Debug>(answer: &T, expected: &T) -> Result<(), String> {
    if answer == expected { Ok(()) } else { Err(format!("{answer:?} instead of {expected:?}")) }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn named(specialty: usize) -> Specialty {
    SPECIALTIES[specialty].parse().expect("a specialty")
}

fn id(task: usize) -> TaskId {
    format!("t{task}").parse().expect("an id")
}

fn place(id: &TaskId) -> usize {
    id.as_str()[1..].parse().expect("ids are t and a number")
}
