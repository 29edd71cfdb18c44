//! What a worker of all five specialties asks of Redis while nothing is to be done: waiter, sweeps, beats.

use std::time::Duration;

use anyhow::Result;
use shared::{
    Specialty,
    queue::Queue,
    worker_info::{SystemInfo, WorkerInfo},
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    bed::{self, Aof, Work},
    options::Options,
    report::{Goal, Report, Row},
};

/// As the worker's poller waits.
const BLOCK: Duration = Duration::from_secs(10);

const SPECIALTIES: [&str; 5] = ["frontend", "backend", "testing", "devops", "general"];

pub async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let seconds = if options.quick { 10 } else { 60 };
    let server = bed::server(Aof::Off)?;
    let queue = bed::queue(&server.url())?;
    let specialties: Vec<Specialty> =
        SPECIALTIES.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let mut loops = JoinSet::new();
    loops.spawn(wait(queue.clone(), specialties.clone()));
    loops.spawn(beat(queue.clone(), specialties.clone()));
    for specialty in specialties {
        loops.spawn(sweep(queue.clone(), specialty));
    }
    let asked = |work: &Work| work.calls("evalsha") + work.calls("bzpopmin");
    let before = Work::of(&server)?;
    sleep(Duration::from_secs(seconds)).await;
    let after = Work::of(&server)?;
    loops.shutdown().await;
    let per_second = |n: f64| n / seconds as f64;
    let row =
        Row::new("idle worker, five specialties", "commands/s", per_second(asked(&after) - asked(&before)));
    report.add(row.goal(Goal::AtMost(2.0)));
    let cpu = per_second(after.cpu_us - before.cpu_us);
    report.add(Row::new("idle worker and server: Redis' main thread", "us/s", cpu));
    Ok(())
}

async fn wait(queue: Queue, specialties: Vec<Specialty>) -> Result<()> {
    let mut waiter = queue.wake_waiter(&specialties, BLOCK);
    loop {
        waiter.wait().await?;
    }
}

async fn sweep(queue: Queue, specialty: Specialty) -> Result<()> {
    loop {
        sleep(queue.sweep(&specialty).await?.next()).await;
    }
}

async fn beat(queue: Queue, specialties: Vec<Specialty>) -> Result<()> {
    let info = WorkerInfo {
        id: "w".to_owned(),
        incarnation: "w-1".to_owned(),
        hostname: "w".to_owned(),
        pid: std::process::id(),
        lock: String::new(),
        port: None,
        specialties,
        slots: 1,
        running: Vec::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        agent: String::new(),
        sandbox: String::new(),
        system: SystemInfo::default(),
        workspace_root: String::new(),
        draining: false,
        suspended_until: None,
        resting: std::collections::BTreeMap::new(),
        unready: None,
        accounts: Vec::new(),
        started_at: 0,
        beat_at: 0,
    };
    loop {
        queue.beat(&info).await?;
        sleep(Duration::from_millis(queue.settings().beat_ms)).await;
    }
}
