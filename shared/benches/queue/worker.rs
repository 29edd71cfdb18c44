//! A worker process that does nothing with its tasks: it drains as fast as it can.
//!
//! It says `ready`, begins when it is sent a line, and says how many tasks it had when nothing is left.

use std::io::Write as _;

use anyhow::Result;
use futures_util::future::try_join_all;
use shared::queue::{Holder, Queue};
use tokio::task::JoinSet;

use crate::{bed, options::Orders};

/// Stream and group of the workers that use bare commands.
pub const RAW_STREAM: &str = "raw:stream";

pub async fn run(orders: Orders) -> Result<()> {
    let queue = bed::queue(&orders.url)?;
    let client = redis::Client::open(orders.url.as_str())?;
    let mut connections = Vec::new();
    for _ in 0..if orders.raw { orders.slots } else { 0 } {
        connections.push(client.get_multiplexed_async_connection().await?);
    }
    say("ready")?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    let mut loops = JoinSet::new();
    for connection in connections {
        loops.spawn(drain_raw(connection, orders.batch));
    }
    let node = std::process::id().to_string();
    for _ in 0..if orders.raw { 0 } else { orders.slots.div_ceil(orders.batch) } {
        loops.spawn(drain(queue.clone(), bed::holder(&node), orders.batch));
    }
    let mut drained = 0;
    while let Some(ended) = loops.join_next().await {
        drained += ended??;
    }
    say(&drained.to_string())
}

fn say(word: &str) -> Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{word}")?;
    Ok(stdout.flush()?)
}

/// One group of slots: claims, does nothing, settles.
async fn drain(queue: Queue, holder: Holder, batch: usize) -> Result<usize> {
    let outcome = bed::outcome();
    let mut drained = 0;
    loop {
        let claimed = bed::claim(&queue, &holder, batch).await?;
        if claimed.is_empty() {
            return Ok(drained);
        }
        drained += claimed.len();
        try_join_all(claimed.iter().map(|task| queue.complete(&task.lease, &outcome))).await?;
    }
}

/// The same without leases, records and events: what was read is acknowledged and deleted with the next read.
async fn drain_raw(mut connection: redis::aio::MultiplexedConnection, batch: usize) -> Result<usize> {
    let mut drained = 0;
    let mut held: Vec<String> = Vec::new();
    loop {
        let mut pipe = redis::pipe();
        if !held.is_empty() {
            pipe.cmd("XACK").arg(RAW_STREAM).arg("workers").arg(&held).ignore();
            pipe.cmd("XDEL").arg(RAW_STREAM).arg(&held).ignore();
        }
        pipe.cmd("XREADGROUP").arg(&["GROUP", "workers", "w", "COUNT"]).arg(batch);
        pipe.arg(&["STREAMS", RAW_STREAM, ">"]);
        let (read,): (redis::streams::StreamReadReply,) = pipe.query_async(&mut connection).await?;
        held = read.keys.into_iter().flat_map(|key| key.ids).map(|entry| entry.id).collect();
        if held.is_empty() {
            return Ok(drained);
        }
        drained += held.len();
    }
}
