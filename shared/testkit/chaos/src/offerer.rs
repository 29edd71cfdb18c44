//! A process that offers tasks until each is accepted, as a client does who gets no answer.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Args;
use shared::queue::{Enqueued, IssueEnqueued, Queue};
use tokio::{task::JoinSet, time::sleep};

use crate::{queue_level::open, task_kind::task};

/// Offers at a time.
const AT_ONCE: u64 = 8;

/// Before an offer that failed is made again.
const AGAIN: Duration = Duration::from_millis(30);

#[derive(Clone, Debug, Args)]
pub struct Offerer {
    #[arg(long)]
    redis: String,
    /// A line for each number that was accepted; read at the start.
    #[arg(long)]
    accepted: PathBuf,
    #[arg(long)]
    from: u64,
    /// Exclusive.
    #[arg(long)]
    to: u64,
    #[arg(long)]
    per_second: u64,
}

/// Numbers that were accepted according to `text`. A line that was cut by a crash does not count.
pub fn accepted(text: &str) -> HashSet<u64> {
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.filter_map(|line| line.trim_end().parse().ok()).collect()
}

impl Offerer {
    pub async fn run(self) -> Result<()> {
        let queue = open(&self.redis)?;
        let known = accepted(&fs::read_to_string(&self.accepted).unwrap_or_default());
        let mut file = OpenOptions::new().create(true).append(true).open(&self.accepted)?;
        let left: Vec<u64> = (self.from..self.to).filter(|number| !known.contains(number)).collect();
        for numbers in left.chunks(AT_ONCE as usize) {
            let pause = sleep(Duration::from_millis(1_000 * AT_ONCE / self.per_second.max(1)));
            let mut offers = JoinSet::new();
            for &number in numbers {
                let queue = queue.clone();
                offers.spawn(async move { (number, offer(&queue, number).await) });
            }
            while let Some(offered) = offers.join_next().await {
                let (number, answer) = offered?;
                answer?;
                file.write_all(format!("{number}\n").as_bytes())?;
            }
            pause.await;
        }
        Ok(())
    }
}

async fn offer(queue: &Queue, number: u64) -> Result<()> {
    let spec = task(number)?;
    loop {
        let answer = if spec.issue.is_some() {
            let delivery = format!("delivery-{number}");
            queue.enqueue_issue(&spec, Some(&delivery)).await.map(|answer| match answer {
                IssueEnqueued::Created => true,
                IssueEnqueued::Duplicate { task } | IssueEnqueued::Delivered { task } => task == spec.id,
            })
        } else {
            queue.enqueue(&spec).await.map(|answer| match answer {
                Enqueued::Created => true,
                Enqueued::Exists { specialty } => specialty == spec.specialty,
            })
        };
        match answer {
            Ok(true) => return Ok(()),
            Ok(false) => bail!("DEFECT: {} was accepted as another task", spec.id),
            Err(error) if error.is_passing() => sleep(AGAIN).await,
            Err(error) => bail!("DEFECT: {} cannot be offered: {error}", spec.id),
        }
    }
}
