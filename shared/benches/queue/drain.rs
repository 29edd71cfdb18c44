//! How many tasks a second worker processes claim and settle.

use std::{collections::BTreeMap, process::Stdio, time::Instant};

use anyhow::{Context, Result, ensure};
use testkit::RedisServer;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    bed::{self, Aof, Work},
    options::Options,
    report::{Goal, Report, Row, median},
    worker::RAW_STREAM,
};

/// Connections of a worker that uses bare commands.
const RAW_CONNECTIONS: usize = 50;

/// Processes, slots of each, tasks of one claim.
const SHAPES: [(usize, usize, usize); 8] =
    [(1, 1, 1), (1, 8, 1), (1, 64, 1), (1, 256, 1), (1, 64, 8), (1, 256, 16), (2, 64, 1), (2, 64, 8)];

struct Figures {
    per_second: f64,
    cpu_us: f64,
}

pub async fn run(options: &Options, report: &mut Report) -> Result<()> {
    for aof in [Aof::Off, Aof::EverySecond] {
        let mut raw: BTreeMap<usize, Vec<Figures>> = BTreeMap::new();
        let mut ours: Vec<Vec<Figures>> = SHAPES.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds {
            for batch in [1, 8, 16] {
                raw.entry(batch).or_default().push(raw_round(aof, batch, options.tasks).await?);
            }
            for (shape, figures) in SHAPES.iter().zip(&mut ours) {
                figures.push(round(aof, *shape, options.tasks).await?);
            }
        }
        for ((processes, slots, batch), figures) in SHAPES.into_iter().zip(ours) {
            let raw = raw.get(&batch).context("bare commands were measured with every batch")?;
            let of = if processes == 1 { "1 process".to_owned() } else { format!("{processes} processes") };
            let by = if batch == 1 { "one by one".to_owned() } else { format!("batches of {batch}") };
            let what = format!("drain, AOF {}: {of}, {slots} slots, {by}", name(aof));
            let goal = match (aof, processes, slots, batch) {
                (Aof::Off, 1, 64, 1) => Goal::AtLeast(18_000.0),
                (Aof::Off, 1, 64, 8) => Goal::AtLeast(30_000.0),
                _ => Goal::None,
            };
            let of =
                |figures: &[Figures], part: fn(&Figures) -> f64| median(figures.iter().map(part).collect());
            let per_second = |figures: &[Figures]| of(figures, |f| f.per_second);
            report.add(Row::new(&what, "tasks/s", per_second(&figures)).raw(per_second(raw)).goal(goal));
            let cpu_us = |figures: &[Figures]| of(figures, |f| f.cpu_us);
            let goal = match (aof, processes, slots, batch) {
                (Aof::Off, 1, 64, 1) => Goal::AtMost(42.0),
                (Aof::Off, 1, 64, 8) => Goal::AtMost(25.0),
                _ => Goal::None,
            };
            let row = Row::new(format!("{what}: Redis' main thread"), "us/task", cpu_us(&figures));
            report.add(row.raw(cpu_us(raw)).goal(goal));
        }
    }
    Ok(())
}

async fn round(aof: Aof, (processes, slots, batch): (usize, usize, usize), tasks: usize) -> Result<Figures> {
    let server = bed::server(aof)?;
    // One slot waits for every answer: a fraction of the tasks is enough.
    let tasks = if slots == 1 { tasks / 5 } else { tasks };
    bed::fill(&bed::queue(&server.url())?, 0, tasks).await?;
    measure(&server, "queue", processes, slots, batch, tasks).await
}

async fn raw_round(aof: Aof, batch: usize, tasks: usize) -> Result<Figures> {
    let server = bed::server(aof)?;
    let mut connection = server.connection()?;
    let spec = "x".repeat(1_500);
    for _ in 0..tasks.div_ceil(1_000) {
        let mut pipe = redis::pipe();
        for _ in 0..1_000 {
            pipe.cmd("XADD").arg(&[RAW_STREAM, "*", "spec", &spec]).ignore();
        }
        pipe.query::<()>(&mut connection)?;
    }
    redis::cmd("XGROUP").arg(&["CREATE", RAW_STREAM, "workers", "0"]).query::<()>(&mut connection)?;
    let tasks = tasks.div_ceil(1_000) * 1_000;
    measure(&server, "raw", 1, RAW_CONNECTIONS, batch, tasks).await
}

async fn measure(
    server: &RedisServer,
    kind: &str,
    processes: usize,
    slots: usize,
    batch: usize,
    tasks: usize,
) -> Result<Figures> {
    let mut workers = Vec::new();
    for _ in 0..processes {
        workers.push(Worker::start(kind, &server.url(), slots, batch).await?);
    }
    let before = Work::of(server)?;
    let began = Instant::now();
    for worker in &mut workers {
        worker.input.write_all(b"go\n").await?;
    }
    let mut drained = 0;
    for worker in &mut workers {
        drained += worker.word().await?.parse::<usize>()?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu_us = (Work::of(server)?.cpu_us - before.cpu_us) / tasks as f64;
    for mut worker in workers {
        worker.child.wait().await?;
    }
    ensure!(drained == tasks, "{drained} of {tasks} tasks were drained");
    Ok(Figures { per_second: tasks as f64 / seconds, cpu_us })
}

/// A process of this program that drains.
struct Worker {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    async fn start(kind: &str, url: &str, slots: usize, batch: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["worker", kind, url, &slots.to_string(), &batch.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("a worker has an input")?;
        let output = BufReader::new(child.stdout.take().context("a worker has an output")?).lines();
        let mut worker = Self { child, input, output };
        ensure!(worker.word().await? == "ready", "a worker does not start");
        Ok(worker)
    }

    async fn word(&mut self) -> Result<String> {
        self.output.next_line().await?.context("a worker ended early")
    }
}

fn name(aof: Aof) -> &'static str {
    match aof {
        Aof::Off => "off",
        Aof::EverySecond => "everysec",
    }
}
