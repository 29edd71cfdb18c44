//! How long a task waits for one of many idle workers, from the call that enqueues it to the start of its run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use shared::queue::{Claimed, Queue};
use testkit::RedisServer;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    bed::{self, Aof},
    options::Options,
    report::{Goal, Report, Row, percentile},
};

/// Workers that connect at a time.
const CONNECTING_MAX: usize = 100;

/// What a worker took and when it could begin.
type Started = (Claimed, Instant);

pub async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let samples = if options.quick { 100 } else { 1_000 };
    for waiters in [1, 100, 1_000] {
        let (raw, _) = raw_latencies(waiters, samples).await?;
        let (ours, woken) = latencies(waiters, samples).await?;
        let of =
            if waiters == 1 { "1 waiting worker".to_owned() } else { format!("{waiters} waiting workers") };
        let row = Row::new(format!("pick-up p50, {of}"), "ms", percentile(ours.clone(), 0.5));
        report.add(row.raw(percentile(raw.clone(), 0.5)).goal(Goal::AtMost(0.4)));
        let row = Row::new(format!("pick-up p99, {of}"), "ms", percentile(ours, 0.99));
        report.add(row.raw(percentile(raw, 0.99)).goal(Goal::AtMost(1.5)));
        report.add(Row::new(format!("woken for a task, {of}"), "workers", woken).goal(Goal::AtMost(1.0)));
    }
    Ok(())
}

async fn latencies(waiters: usize, samples: usize) -> Result<(Vec<f64>, f64)> {
    let server = bed::server(Aof::Off)?;
    let queue = bed::queue(&server.url())?;
    let woken = Arc::new(AtomicU32::new(0));
    let (started, mut runs) = mpsc::unbounded_channel::<Started>();
    let mut workers = JoinSet::new();
    for n in 0..waiters {
        workers.spawn(work(queue.clone(), n, Arc::clone(&woken), started.clone()));
        // A socket refuses whoever connects while hundreds are still to be accepted.
        if (n + 1) % CONNECTING_MAX == 0 {
            all_wait(&server, n + 1).await?;
        }
    }
    let mut latencies = Vec::new();
    for spec in bed::tasks(0, samples)? {
        all_wait(&server, waiters).await?;
        let began = Instant::now();
        queue.enqueue(&spec).await?;
        let (claimed, at) = runs.recv().await.context("the workers work")?;
        latencies.push(at.duration_since(began).as_secs_f64() * 1e3);
        queue.complete(&claimed.lease, &bed::outcome()).await?;
    }
    workers.shutdown().await;
    Ok((latencies, f64::from(woken.load(Ordering::Relaxed)) / samples as f64))
}

async fn work(
    queue: Queue,
    n: usize,
    woken: Arc<AtomicU32>,
    started: mpsc::UnboundedSender<Started>,
) -> Result<()> {
    let mut waiter = queue.wake_waiter(&[bed::backend()?], Duration::from_secs(60));
    let holder = bed::holder(&format!("w{n}"));
    loop {
        waiter.wait().await?;
        woken.fetch_add(1, Ordering::Relaxed);
        for claimed in bed::claim(&queue, &holder, 1).await? {
            started.send((claimed, Instant::now()))?;
        }
    }
}

/// The same with a bare marker, which is all that is told.
async fn raw_latencies(waiters: usize, samples: usize) -> Result<(Vec<f64>, f64)> {
    let server = bed::server(Aof::Off)?;
    let client = redis::Client::open(server.url())?;
    let (started, mut runs) = mpsc::unbounded_channel::<Instant>();
    let mut workers = JoinSet::new();
    for _ in 0..waiters {
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let started = started.clone();
        workers.spawn(async move {
            loop {
                redis::cmd("BZPOPMIN").arg("raw:wake").arg(0).query_async::<()>(&mut connection).await?;
                started.send(Instant::now())?;
            }
            #[expect(unreachable_code, reason = "says what the loop may fail with")]
            anyhow::Ok(())
        });
    }
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut latencies = Vec::new();
    for _ in 0..samples {
        all_wait(&server, waiters).await?;
        let began = Instant::now();
        redis::cmd("ZADD").arg(&["raw:wake", "0", "go"]).query_async::<()>(&mut connection).await?;
        let at = runs.recv().await.context("the waiters wait")?;
        latencies.push(at.duration_since(began).as_secs_f64() * 1e3);
    }
    workers.shutdown().await;
    Ok((latencies, 1.0))
}

async fn all_wait(server: &RedisServer, waiters: usize) -> Result<()> {
    let began = Instant::now();
    while !server.command::<String>(&["INFO", "clients"])?.contains(&format!("blocked_clients:{waiters}\r")) {
        ensure!(began.elapsed() < Duration::from_secs(60), "{waiters} workers do not come to wait");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
