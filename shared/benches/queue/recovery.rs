//! How long after its holder's last word a task is with another worker.

use std::time::{Duration, Instant};

use anyhow::Result;
use shared::{config::QueueConfig, queue::Queue};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    bed::{self, Aof},
    options::Options,
    report::{Goal, Report, Row, median},
};

pub async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let tight = |settings: &mut QueueConfig| {
        settings.lease_ms = 3_000;
        settings.beat_ms = 500;
        settings.sweep_ms = 500;
    };
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        rounds.push(restart(tight).await?);
    }
    let row = Row::new("restart after the last renewal, lease 3 s", "s", median(rounds));
    report.add(row.goal(Goal::AtMost(4.0)));
    if !options.quick {
        let row = Row::new("restart after the last renewal, lease 30 s", "s", restart(|_| {}).await?);
        report.add(row.goal(Goal::AtMost(34.0)));
    }
    Ok(())
}

/// One worker claims, renews and falls silent; another sweeps, waits and claims.
async fn restart(change: impl FnOnce(&mut QueueConfig)) -> Result<f64> {
    let server = bed::server(Aof::Off)?;
    let queue = bed::queue_with(&server.url(), change)?;
    let mut sweeper = JoinSet::new();
    sweeper.spawn(sweep(queue.clone()));
    bed::fill(&queue, 0, 1).await?;
    let claimed = bed::claim(&queue, &bed::holder("dead"), 1).await?;
    let leases: Vec<_> = claimed.into_iter().map(|claimed| claimed.lease).collect();
    // Sweeps are under way when it dies.
    for _ in 0..3 {
        sleep(Duration::from_millis(queue.settings().beat_ms)).await;
        queue.renew(&leases).await?;
    }
    let died = Instant::now();
    let mut waiter = queue.wake_waiter(&[bed::backend()?], Duration::from_secs(60));
    loop {
        waiter.wait().await?;
        if !bed::claim(&queue, &bed::holder("other"), 1).await?.is_empty() {
            return Ok(died.elapsed().as_secs_f64());
        }
    }
}

async fn sweep(queue: Queue) -> Result<()> {
    let specialty = bed::backend()?;
    loop {
        sleep(queue.sweep(&specialty).await?.next()).await;
    }
}
