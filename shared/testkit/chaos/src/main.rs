//! `chaos`: the long form of the suite, and the processes of its queue level.

use std::{env, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use chaos::{
    cluster_level::ClusterLevel,
    offerer::Offerer,
    queue_level::QueueLevel,
    report::{HEAD, Report},
    worker::Worker,
};
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
struct Chaos {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Many tasks through the queue.
    Queue(Long),
    /// The real program, from webhooks to branches.
    Cluster(Long),
    /// A worker of the queue level.
    Worker(Worker),
    /// A process that offers tasks.
    Offer(Offerer),
}

#[derive(Args)]
struct Long {
    #[arg(long)]
    tasks: u64,
    #[arg(long, value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Tasks offered in a second.
    #[arg(long)]
    per_second: f64,
    /// Mean time between two faults, in ms.
    #[arg(long)]
    pace_ms: u64,
    /// The `claude-cluster` program, for the cluster level.
    #[arg(long, default_value = "target/debug/claude-cluster")]
    program: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Chaos::parse().command {
        Command::Worker(worker) => worker.run().await,
        Command::Offer(offerer) => offerer.run().await,
        Command::Queue(long) => long.run("queue").await,
        Command::Cluster(long) => long.run("cluster").await,
    }
}

impl Long {
    #[expect(clippy::print_stdout, reason = "the table is what this program is for")]
    async fn run(&self, level: &str) -> Result<()> {
        println!("{HEAD}");
        for &seed in &self.seeds {
            let again = || {
                let Self { tasks, per_second, pace_ms, .. } = self;
                format!(
                    "seed {seed}; repeat with: scripts/chaos --level {level} --tasks {tasks} --seeds {seed} \
                     --per-second {per_second} --pace-ms {pace_ms}"
                )
            };
            let report = self.one(level, seed).await.with_context(again)?;
            println!("{report}");
        }
        Ok(())
    }

    async fn one(&self, level: &str, seed: u64) -> Result<Report> {
        let pace = Duration::from_millis(self.pace_ms);
        if level == "queue" {
            let (tasks, per_second) = (self.tasks, self.per_second as u64);
            let program = env::current_exe()?;
            QueueLevel { seed, tasks, per_second, pace, program }.run().await
        } else {
            let (issues, every) = (self.tasks, Duration::from_secs_f64(1.0 / self.per_second));
            let program = self.program.canonicalize().context("the program of --program")?;
            ClusterLevel { seed, issues, every, pace, program }.run().await
        }
    }
}
