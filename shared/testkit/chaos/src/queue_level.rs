//! Many tasks through the queue, by processes that publish a line in a file.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use shared::{FailureClass, Specialty, Status, config::Config, queue::Queue};
use testkit::{
    RedisServer,
    audit::{Limits, audit},
};
use tokio::time::sleep;

use crate::{
    crew::{Crew, logs, processes_with},
    effects::effects_of,
    history::{History, histories},
    offerer::accepted,
    report::{Report, Tally},
    schedule::{Shape, schedule},
    task_kind::{SPECIALTIES, TaskKind, number},
};

pub const LEASE: Duration = Duration::from_secs(1);
const BEAT_MS: u64 = 200;
const SWEEP_MS: u64 = 100;

/// A task that conflicts with a zombie's late effect is tried again; it must not run out of attempts for that.
const ATTEMPTS_MAX: u32 = 20;

/// Events and settled tasks that are kept: nothing is trimmed, for they are what is counted at the end.
const KEPT_MAX: usize = 10_000_000;

const WORKERS: usize = 4;
const OFFERERS: u64 = 2;

/// How long nothing may change once everything is well again.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);

/// One run.
#[derive(Clone, Debug)]
pub struct QueueLevel {
    pub seed: u64,
    pub tasks: u64,
    /// Offered in a second, by all offerers together: the faults are to find work under way.
    pub per_second: u64,
    /// Between two faults.
    pub pace: Duration,
    /// The `chaos` program.
    pub program: PathBuf,
}

/// The queue as every process of this level uses it.
pub fn open(url: &str) -> Result<Queue> {
    let mut config = Config::defaults()?;
    config.redis.url = url.to_owned().into();
    config.redis.connect_timeout_ms = 500;
    config.redis.response_timeout_ms = 800;
    config.queue.lease_ms = LEASE.as_millis() as u64;
    (config.queue.beat_ms, config.queue.sweep_ms) = (BEAT_MS, SWEEP_MS);
    config.queue.attempts_max = ATTEMPTS_MAX;
    (config.queue.events_count_max, config.queue.finished_count_max) = (KEPT_MAX as u64, KEPT_MAX as u64);
    Ok(Queue::open(&config.redis, &config.queue)?)
}

pub fn specialties() -> Result<Vec<Specialty>> {
    SPECIALTIES.iter().map(|name| Ok(name.parse()?)).collect()
}

impl QueueLevel {
    /// Runs and judges. An error says what was violated.
    pub async fn run(&self) -> Result<Report> {
        let began = Instant::now();
        let dir = tempfile::Builder::new().prefix("chaos-").tempdir_in("/tmp")?;
        fs::create_dir(dir.path().join("effects"))?;
        let redis = RedisServer::start()?;
        let queue = open(&redis.url())?;
        let mut crew = Crew::new(redis, dir.path());
        self.muster(&mut crew, dir.path()).await?;
        let shape =
            Shape { members: crew.size(), length: Duration::from_secs(3_600), pace: self.pace, lease: LEASE };
        let over = async || settled(&queue).await.is_some_and(|count| count >= self.tasks);
        crew.suffer(&schedule(self.seed, shape), over).await?;
        crew.recover()?;
        self.come_to_rest(&mut crew, &queue).await.with_context(|| logs(dir.path()))?;
        crew.stop().await?;
        let tally = self.judge(&queue, &crew, dir.path()).await.with_context(|| logs(dir.path()))?;
        Ok(Report { seed: self.seed, seconds: began.elapsed().as_secs(), faults: crew.met, tally })
    }

    async fn muster(&self, crew: &mut Crew, dir: &Path) -> Result<()> {
        for i in 0..WORKERS {
            let (program, effects) = (self.program.clone(), dir.join("effects"));
            let start = move |url: &str| {
                let mut command = Command::new(&program);
                command.env_clear().args(["worker", "--slots", "8", "--redis", url]);
                command.args(["--node", &format!("w{i}")]).arg("--effects").arg(&effects);
                command
            };
            crew.add(&format!("worker-{i}"), Box::new(start)).await?;
        }
        for i in 0..OFFERERS {
            let (program, file) = (self.program.clone(), dir.join(format!("accepted-{i}")));
            let share = self.tasks.div_ceil(OFFERERS);
            let (from, to) = (i * share, ((i + 1) * share).min(self.tasks));
            let per_second = self.per_second / OFFERERS;
            let start = move |url: &str| {
                let mut command = Command::new(&program);
                command.env_clear().args(["offer", "--redis", url]).arg("--accepted").arg(&file);
                let numbers = [("--from", from), ("--to", to), ("--per-second", per_second)];
                command.args(numbers.iter().flat_map(|(name, n)| [(*name).to_owned(), n.to_string()]));
                command
            };
            crew.add(&format!("offerer-{i}"), Box::new(start)).await?;
        }
        Ok(())
    }

    /// Waits until everything is accepted and settled and no effect is due, for as long as something changes.
    async fn come_to_rest(&self, crew: &mut Crew, queue: &Queue) -> Result<()> {
        let (mut last, mut changed_at) = (None, Instant::now());
        loop {
            // Tasks that kill their worker go on doing so.
            crew.ended("worker")?;
            let offered = crew.ended("offerer")?;
            let count = settled(queue).await;
            let due: u64 = SPECIALTIES
                .iter()
                .map(|name| crew.redis.command::<u64>(&["XLEN", &format!("ccc:{{{name}}}:outbox")]))
                .sum::<Result<u64>>()?;
            let now = Some((offered, count, due));
            if now == Some((true, Some(self.tasks), 0)) {
                return Ok(());
            }
            if now != last {
                (last, changed_at) = (now, Instant::now());
            }
            ensure!(
                changed_at.elapsed() < STANDSTILL_MAX,
                "nothing moves: all offered, settled, due: {now:?}"
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn judge(&self, queue: &Queue, crew: &Crew, dir: &Path) -> Result<Tally> {
        let mut wrong = Vec::new();
        let mut accepted_numbers = HashSet::new();
        for i in 0..OFFERERS {
            accepted_numbers.extend(accepted(&fs::read_to_string(dir.join(format!("accepted-{i}")))?));
        }
        let histories = histories(queue, &specialties()?).await?;
        let mut tally = Tally { accepted: accepted_numbers.len() as u64, ..Tally::default() };
        if tally.accepted != self.tasks || histories.len() as u64 != self.tasks {
            wrong.push(format!("{} tasks accepted, {} in the queue", tally.accepted, histories.len()));
        }
        for (id, history) in &histories {
            let Some(record) = queue.task(&id.parse()?).await? else {
                wrong.push(format!("{id} has no record"));
                continue;
            };
            if record.runs as usize != history.claims.len() {
                wrong.push(format!("{id}: {} runs, claims {:?}", record.runs, history.claims));
            }
            if let Err(error) = judge_end(id, history, &record.status, record.lost, &mut tally) {
                wrong.push(format!("{id}: {error:#}; {history:?}; {record:?}"));
            }
            if let Err(error) = judge_effects(&dir.join("effects"), id, history, &mut tally) {
                wrong.push(format!("{id}: {error:#}; {history:?}"));
            }
        }
        wrong.extend(still_there(&crew.redis)?);
        let marker = dir.display().to_string();
        wrong.extend(processes_with(&marker).iter().map(|pid| format!("process {pid} is left")));
        for entry in fs::read_dir(dir)?.flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            wrong.extend(text.lines().filter(|line| line.contains("DEFECT")).map(str::to_owned));
        }
        ensure!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
        Ok(tally)
    }
}

/// What is left in Redis of what was under way, and what contradicts itself there.
pub fn still_there(redis: &RedisServer) -> Result<Vec<String>> {
    let limits = Limits { events_count_max: KEPT_MAX, finished_count_max: KEPT_MAX, ..Limits::default() };
    let audit = audit(redis, "ccc", &limits)?;
    let mut found = audit.findings.clone();
    if audit.under_way() > 0 || audit.outbox > 0 {
        found.push(format!("{} tasks are under way, {} effects due", audit.under_way(), audit.outbox));
    }
    // Whoever stops takes its beat back.
    let workers: Vec<String> = redis.command(&["KEYS", "ccc:worker:*"])?;
    found.extend(workers.into_iter().map(|key| format!("{key} is left")));
    Ok(found)
}

/// Settled exactly once, and in the way that the task was made for; poison only after as many losses as allowed.
fn judge_end(id: &str, history: &History, status: &Status, lost: u32, tally: &mut Tally) -> Result<()> {
    let end = history.end().context("not settled exactly once")?;
    ensure!(end == status.name(), "the record says {}", status.name());
    tally.claims += history.claims.len() as u64;
    tally.run_again += history.claims.len() as u64 - 1;
    let lost_max = Config::defaults()?.queue.lost_workers_max;
    ensure!(lost <= history.losses + 1, "more losses counted than there were");
    match (status, TaskKind::of(number(id)?)) {
        (Status::Completed { .. }, TaskKind::Completes | TaskKind::CompletesLater) => tally.completed += 1,
        (Status::Failed { class: FailureClass::Task, .. }, TaskKind::Fails) => tally.failed += 1,
        (Status::Failed { class: FailureClass::LostWorker, .. }, _) => {
            ensure!(lost >= lost_max, "poison after {lost} losses");
            ensure!(history.ran_alone, "poison beside others");
            tally.poisoned += 1;
        }
        (_, kind) => anyhow::bail!("made for {kind:?}"),
    }
    Ok(())
}

/// What is published last is of the run that settled; nothing was published by a run whose fence check came after
/// a newer claim; nothing older stands over something newer.
fn judge_effects(dir: &Path, id: &str, history: &History, tally: &mut Tally) -> Result<()> {
    let effects = effects_of(dir, id)?;
    ensure!(effects.is_sorted_by(|a, b| a.fence < b.fence), "older over newer: {effects:?}");
    let settled_by = history.ends.first().and_then(|(end, fence)| fence.filter(|_| end == "completed"));
    if let Some(fence) = settled_by {
        ensure!(effects.last().is_some_and(|last| last.fence == fence), "{effects:?} settled by {fence}");
        tally.replaced += effects.len() as u64 - 1;
    } else if TaskKind::of(number(id)?) == TaskKind::Fails {
        ensure!(effects.is_empty(), "published although it failed: {effects:?}");
    }
    for effect in effects {
        ensure!(history.has_claim(effect.fence), "nobody claimed under {}", effect.fence);
        // Fences are the time of the claim in microseconds, by the same clock.
        let newer = history.claims.iter().map(|(fence, _)| *fence).find(|fence| *fence > effect.fence);
        let Some(newer) = newer else { continue };
        ensure!(newer > effect.asked_at_us, "held although {newer} was given before: {effect:?}");
        tally.too_late += u64::from(newer < effect.published_at_us);
    }
    Ok(())
}

/// Completed and failed tasks; `None` while Redis does not tell.
async fn settled(queue: &Queue) -> Option<u64> {
    let mut sum = 0;
    for specialty in specialties().ok()? {
        let counts = queue.counts(&specialty).await.ok()?;
        sum += counts.completed + counts.failed;
    }
    Some(sum)
}
