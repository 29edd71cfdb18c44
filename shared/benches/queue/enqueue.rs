//! How many tasks a second one caller enqueues.

use std::time::Instant;

use anyhow::Result;
use redis::aio::MultiplexedConnection;

use crate::{
    bed::{self, Aof},
    options::Options,
    report::{Goal, Report, Row, median},
};

/// Hash and stream entry with one script: the least that a queue writes.
const RAW: &str = "redis.call('HSET', KEYS[1], 'status', 'pending', 'priority', 'medium', 'title', 'a title') \
                   return redis.call('XADD', KEYS[2], '*', 'task', ARGV[1], 'spec', ARGV[2])";

/// Calls that the raw limit sends together.
const RAW_PIPELINE: usize = 50;

pub async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let (mut one, mut raw_one, mut many, mut raw_many) = (vec![], vec![], vec![], vec![]);
    let few = options.tasks / 4;
    for _ in 0..options.rounds {
        raw_one.push(raw(few, 1).await?);
        one.push(one_by_one(few).await?);
        raw_many.push(raw(options.tasks, RAW_PIPELINE).await?);
        many.push(together(options.tasks).await?);
    }
    let row = Row::new("enqueue one by one", "tasks/s", median(one)).raw(median(raw_one));
    report.add(row.goal(Goal::RatioAtLeast(0.85)));
    let row = Row::new("enqueue together", "tasks/s", median(many)).raw(median(raw_many));
    report.add(row.goal(Goal::RatioAtLeast(0.7)));
    Ok(())
}

async fn one_by_one(count: usize) -> Result<f64> {
    let server = bed::server(Aof::Off)?;
    let queue = bed::queue(&server.url())?;
    let specs = bed::tasks(0, count)?;
    let began = Instant::now();
    for spec in &specs {
        queue.enqueue(spec).await?;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

async fn together(count: usize) -> Result<f64> {
    let server = bed::server(Aof::Off)?;
    let queue = bed::queue(&server.url())?;
    let specs = bed::tasks(0, count)?;
    let began = Instant::now();
    queue.enqueue_all(&specs).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

async fn raw(count: usize, pipeline: usize) -> Result<f64> {
    let server = bed::server(Aof::Off)?;
    let client = redis::Client::open(server.url())?;
    let mut connection: MultiplexedConnection = client.get_multiplexed_async_connection().await?;
    let hash: String = redis::cmd("SCRIPT").arg("LOAD").arg(RAW).query_async(&mut connection).await?;
    let spec = "x".repeat(1_500);
    let ids: Vec<String> = (0..count).map(|n| format!("0198c2f4-7a1b-7c3d-8e4f-{n:012}")).collect();
    let began = Instant::now();
    for ids in ids.chunks(pipeline) {
        let mut pipe = redis::pipe();
        for id in ids {
            let key = format!("raw:task:{id}");
            pipe.cmd("EVALSHA").arg(&hash).arg(2).arg(key).arg("raw:stream").arg(id).arg(&spec).ignore();
        }
        pipe.query_async::<()>(&mut connection).await?;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
