//! The queue against raw Redis, in one run on one machine: `cargo bench -p shared`. One table on stdout, the same
//! as JSON in a file. Machines are noisy: compare the ratios of a run.
//!
//! Worker processes are this program again, told what to do by its arguments; see [`drain`].

#[path = "queue/bed.rs"]
mod bed;
#[path = "queue/cost.rs"]
mod cost;
#[path = "queue/drain.rs"]
mod drain;
#[path = "queue/enqueue.rs"]
mod enqueue;
#[path = "queue/idle.rs"]
mod idle;
#[path = "queue/memory.rs"]
mod memory;
#[path = "queue/options.rs"]
mod options;
#[path = "queue/pickup.rs"]
mod pickup;
#[path = "queue/recovery.rs"]
mod recovery;
#[path = "queue/report.rs"]
mod report;
#[path = "queue/worker.rs"]
mod worker;

use anyhow::Result;
use options::{Options, Role, Section};
use report::Report;

#[tokio::main]
async fn main() -> Result<()> {
    let options = match Role::from_args()? {
        Role::Worker(orders) => return worker::run(orders).await,
        Role::Runner(options) => options,
    };
    let mut report = Report::new();
    for section in &options.sections {
        eprintln!("{section:?} ...");
        run(*section, &options, &mut report).await?;
    }
    report.print()?;
    report.write_json(&options.json)
}

async fn run(section: Section, options: &Options, report: &mut Report) -> Result<()> {
    match section {
        Section::Enqueue => enqueue::run(options, report).await,
        Section::Drain => drain::run(options, report).await,
        Section::Cost => cost::run(options, report).await,
        Section::Pickup => pickup::run(options, report).await,
        Section::Memory => memory::run(options, report).await,
        Section::Idle => idle::run(options, report).await,
        Section::Recovery => recovery::run(options, report).await,
    }
}
