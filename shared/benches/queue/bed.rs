//! A Redis of the benchmark's own, and what it tells of its work.

use std::collections::HashMap;

use anyhow::{Context, Result};
use shared::{
    Outcome, Specialty, TaskSpec,
    config::{Config, QueueConfig},
    outcome::TestsSummary,
    queue::{Claim, Claimed, Holder, Queue},
};
use testkit::RedisServer;

/// Whether a crash of the server loses what it acknowledged.
#[derive(Clone, Copy, Debug)]
pub enum Aof {
    Off,
    EverySecond,
}

pub fn server(aof: Aof) -> Result<RedisServer> {
    match aof {
        Aof::Off => RedisServer::start_with(&["--appendonly", "no"]),
        Aof::EverySecond => RedisServer::start_with(&["--appendfsync", "everysec"]),
    }
}

pub fn queue(url: &str) -> Result<Queue> {
    queue_with(url, |_| {})
}

pub fn queue_with(url: &str, change: impl FnOnce(&mut QueueConfig)) -> Result<Queue> {
    let mut config = Config::defaults()?;
    config.redis.url = url.to_owned().into();
    config.redis.response_timeout_ms = 60_000;
    change(&mut config.queue);
    Ok(Queue::open(&config.redis, &config.queue)?)
}

pub fn backend() -> Result<Specialty> {
    Ok("backend".parse()?)
}

pub fn holder(node: &str) -> Holder {
    Holder { node: node.to_owned(), incarnation: format!("0198c2f4-{node}") }
}

/// Tasks whose specifications are 1.5 KB of MessagePack each.
pub fn tasks(from: usize, count: usize) -> Result<Vec<TaskSpec>> {
    let specialty = backend()?;
    (from..from + count)
        .map(|n| {
            // As long as the UUIDs that tasks have.
            let id = format!("0198c2f4-7a1b-7c3d-8e4f-{n:012}").parse()?;
            let mut spec = TaskSpec::new(id, "octo/durations".parse()?, "API: hours are not shown");
            spec.specialty = specialty.clone();
            spec.body = "The endpoint shows minutes. ".repeat(42);
            Ok(spec)
        })
        .collect()
}

pub async fn fill(queue: &Queue, from: usize, count: usize) -> Result<()> {
    const AT_ONCE: usize = 10_000;
    for start in (from..from + count).step_by(AT_ONCE) {
        let specs = tasks(start, AT_ONCE.min(from + count - start))?;
        queue.enqueue_all(&specs).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(())
}

pub async fn claim(queue: &Queue, holder: &Holder, slots: usize) -> Result<Vec<Claimed>> {
    match queue.claim(holder, &backend()?, slots, "0198c2f4").await? {
        Claim::Tasks { tasks, .. } => Ok(tasks),
        Claim::Paused => Ok(Vec::new()),
    }
}

/// What a run usually leaves in its record.
pub fn outcome() -> Outcome {
    Outcome::Branch {
        branch: "claude/issue-42".to_owned(),
        commit: "f00d".repeat(10),
        tests: TestsSummary::Passed { command: "make test".to_owned(), count: None },
    }
}

/// What the server has done so far.
pub struct Work {
    /// Processor time of its main thread in us, user and system.
    pub cpu_us: f64,
    /// Time in scripts or bare commands in us, and their number, by client command.
    commands: HashMap<String, (f64, f64)>,
    pub memory_bytes: f64,
}

impl Work {
    pub fn of(server: &RedisServer) -> Result<Self> {
        let info: String = server.command(&["INFO", "everything"])?;
        let field = |name: &str| -> Result<f64> {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            Ok(line.with_context(|| format!("INFO has no {name}"))?.trim().parse()?)
        };
        let commands = info.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        let commands = commands.filter_map(|(name, rest)| {
            let (calls, rest) = rest.split_once(",usec=")?;
            let usec = rest.split(',').next()?;
            Some((name.to_owned(), (usec.parse().ok()?, calls.parse().ok()?)))
        });
        Ok(Self {
            cpu_us: 1e6 * (field("used_cpu_user_main_thread")? + field("used_cpu_sys_main_thread")?),
            commands: commands.collect(),
            memory_bytes: field("used_memory")?,
        })
    }

    pub fn usec(&self, command: &str) -> f64 {
        self.commands.get(command).map_or(0.0, |(usec, _)| *usec)
    }

    pub fn calls(&self, command: &str) -> f64 {
        self.commands.get(command).map_or(0.0, |(_, calls)| *calls)
    }
}
