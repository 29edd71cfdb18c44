//! What a claim and a settlement cost Redis, by how many tasks wait: time in scripts, by INFO commandstats.

use anyhow::Result;
use futures_util::future::try_join_all;
use shared::queue::Queue;
use testkit::RedisServer;

use crate::{
    bed::{self, Aof, Work},
    options::Options,
    report::{Goal, Report, Row, median},
};

/// Tasks of one claim, settled together.
const BATCHES: [usize; 4] = [1, 4, 8, 16];

/// Redis' time in us for one task.
#[derive(Clone, Copy)]
struct Cost {
    claim: f64,
    settle: f64,
    cpu: f64,
}

pub async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let depths: &[usize] = if options.quick { &[1_000, 10_000] } else { &[1_000, 100_000, 1_000_000] };
    let sample = if options.quick { 512 } else { 4_096 };
    let server = bed::server(Aof::Off)?;
    let queue = bed::queue(&server.url())?;
    // Indexes are at their limits first: settlements have something to remove, as they will have for ever.
    let mut enqueued = queue.settings().finished_count_max as usize + 1_000;
    bed::fill(&queue, 0, enqueued).await?;
    costs(&server, &queue, 32, enqueued).await?;
    let mut first: Option<f64> = None;
    let mut waiting = 0;
    for &depth in depths {
        bed::fill(&queue, enqueued, depth - waiting).await?;
        enqueued += depth - waiting;
        waiting = depth;
        for batch in BATCHES {
            let mut rounds = Vec::new();
            for _ in 0..options.rounds {
                rounds.push(costs(&server, &queue, batch, sample.min(depth / 2)).await?);
                let taken = sample.min(depth / 2);
                bed::fill(&queue, enqueued, taken).await?;
                enqueued += taken;
            }
            let of = |part: fn(&Cost) -> f64| median(rounds.iter().map(part).collect());
            let by = if batch == 1 { "one by one".to_owned() } else { format!("batches of {batch}") };
            let what = format!("{by}, {depth} waiting");
            let both = of(|cost| cost.claim + cost.settle);
            report.add(Row::new(format!("claim, {what}"), "us/task in Redis", of(|cost| cost.claim)));
            report.add(Row::new(format!("settle, {what}"), "us/task in Redis", of(|cost| cost.settle)));
            let goal = match batch {
                1 => Goal::AtMost(42.0),
                8 | 16 => Goal::AtMost(25.0),
                _ => Goal::None,
            };
            report.add(Row::new(format!("claim + settle, {what}"), "us/task in Redis", both).goal(goal));
            report.add(Row::new(format!("main thread, {what}"), "us/task of CPU", of(|cost| cost.cpu)));
            report.add(Row::new(format!("limit that follows, {what}"), "tasks/s", 1e6 / both));
            if batch == 8 {
                let least = *first.get_or_insert(both);
                let row =
                    Row::new(format!("claim + settle against 1000 waiting, {what}"), "times", both / least);
                report.add(row.goal(Goal::AtMost(1.15)));
            }
        }
    }
    Ok(())
}

/// Claims and settles `count` tasks in calls of `batch`.
async fn costs(server: &RedisServer, queue: &Queue, batch: usize, count: usize) -> Result<Cost> {
    let (holder, outcome) = (bed::holder("w"), bed::outcome());
    let before = Work::of(server)?;
    let mut tasks = Vec::new();
    while tasks.len() < count {
        tasks.extend(bed::claim(queue, &holder, batch).await?);
    }
    let between = Work::of(server)?;
    for together in tasks.chunks(batch) {
        try_join_all(together.iter().map(|task| queue.complete(&task.lease, &outcome))).await?;
    }
    let after = Work::of(server)?;
    let per_task = |us: f64| us / tasks.len() as f64;
    Ok(Cost {
        claim: per_task(between.usec("evalsha") - before.usec("evalsha")),
        settle: per_task(after.usec("evalsha") - between.usec("evalsha")),
        cpu: per_task(after.cpu_us - before.cpu_us),
    })
}
