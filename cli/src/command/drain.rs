//! `drain` and `undrain`: a worker claims nothing more, wherever it runs.

use std::time::Duration;

use clap::Args;
use shared::queue::{DRAIN_LIFE, Queue};

use super::on_queue;
use crate::{args::Global, environment, error::CommandError, render, span};

#[derive(Debug, Args)]
pub struct Drain {
    /// The worker's name, as `agents` shows it.
    #[arg(value_name = "WORKER")]
    worker: String,
    /// Shown in `agents`.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Claim again by itself after this: 90s, 30m, 2h, 7d; at most 30d, which is what it is without.
    #[arg(long = "for", value_name = "SPAN", value_parser = span::parse)]
    life: Option<Duration>,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Undrain {
    /// The worker's name, as `agents` shows it.
    #[arg(value_name = "WORKER")]
    worker: String,
    #[arg(long)]
    json: bool,
}

impl Drain {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        if self.life.is_some_and(|life| life > DRAIN_LIFE) {
            return Err(CommandError::Usage("a drain lasts 30d at most".to_owned()));
        }
        let by = environment::user();
        on_queue(global, async |_, queue| {
            known(queue, &self.worker).await?;
            Ok(queue.drain_worker(&self.worker, &by, &self.reason, self.life).await?)
        })
        .await?;
        if self.json {
            return render::json(&serde_json::json!({ "worker": self.worker, "drained": true }));
        }
        render::line(format!(
            "{}: claims nothing more from its next beat on, also after a restart; what it runs goes on",
            self.worker
        ))
    }
}

impl Undrain {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let was = on_queue(global, async |_, queue| Ok(queue.undrain_worker(&self.worker).await?)).await?;
        if self.json {
            return render::json(
                &serde_json::json!({ "worker": self.worker, "drained": false, "was_drained": was }),
            );
        }
        render::line(format!("{}: {}", self.worker, if was { "may claim again" } else { "was not drained" }))
    }
}

/// A name that nobody has is a mistake.
async fn known(queue: &Queue, worker: &str) -> Result<(), CommandError> {
    let workers = queue.workers().await?;
    if workers.iter().any(|known| known.id() == worker) {
        return Ok(());
    }
    let names: Vec<&str> = workers.iter().map(shared::worker_info::WorkerState::id).collect();
    let there =
        if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) };
    Err(CommandError::Usage(format!("no worker '{worker}' has been here within a day; {there}")))
}
