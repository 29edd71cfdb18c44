//! What a waiting task takes in Redis' memory.

use anyhow::Result;
use testkit::RedisServer;

use crate::{
    bed::{self, Aof, Work},
    options::Options,
    report::{Goal, Report, Row},
};

pub async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let count = options.tasks;
    let server = bed::server(Aof::Off)?;
    let queue = bed::queue(&server.url())?;
    // Events have their limit, which is reached before anything is counted.
    let before_events = queue.settings().events_count_max as usize + 1_000;
    bed::fill(&queue, 0, before_events).await?;
    let before = Work::of(&server)?.memory_bytes;
    bed::fill(&queue, before_events, count).await?;
    let ours = (Work::of(&server)?.memory_bytes - before) / count as f64;
    let row = Row::new("memory of a waiting task of 1.5 KB", "bytes", ours).raw(raw(count)?);
    report.add(row.goal(Goal::AtMost(2_150.0)));
    Ok(())
}

/// A stream whose entries hold as much and nothing else.
fn raw(count: usize) -> Result<f64> {
    let server = RedisServer::start_with(&["--appendonly", "no"])?;
    let mut connection = server.connection()?;
    let spec = "x".repeat(1_500);
    let before = Work::of(&server)?.memory_bytes;
    for _ in 0..count {
        redis::cmd("XADD").arg(&["raw:stream", "*", "spec", &spec]).query::<()>(&mut connection)?;
    }
    Ok((Work::of(&server)?.memory_bytes - before) / count as f64)
}
