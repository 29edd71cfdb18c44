//! `wait`: until a task has ended. The exit code tells how.

use std::time::Duration;

use clap::Args;
use shared::{Status, TaskId, TaskRecord, queue::Queue};
use tokio::time::Instant;

use super::{on_queue, task_id};
use crate::{args::Global, error::CommandError, render, span};

/// How often the task is looked at.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub struct Wait {
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    /// Give up after this: 90s, 30m, 2h, 7d. The task goes on.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    timeout: Option<Duration>,
    #[arg(long)]
    json: bool,
}

impl Wait {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let record = on_queue(global, async |_, queue| self.ended(queue).await).await?;
        if self.json {
            render::json(&record)?;
        }
        match record.status {
            Status::Failed { class, message, .. } => {
                Err(CommandError::TaskFailed(format!("{class}: {message}")))
            }
            Status::Cancelled { reason, .. } => Err(CommandError::TaskCancelled(reason)),
            _ if self.json => Ok(()),
            Status::Completed { result, .. } => {
                let result = result.url.or(result.branch).unwrap_or(result.outcome);
                render::line(format!("{}: completed: {result}", record.id))
            }
            status => render::line(format!("{}: {}", record.id, status.name())),
        }
    }

    async fn ended(&self, queue: &Queue) -> Result<TaskRecord, CommandError> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        loop {
            match queue.task(&self.id).await {
                Ok(None) => return Err(CommandError::NoSuchTask(self.id.clone())),
                Ok(Some(record)) if record.status.is_settled() => return Ok(record),
                Ok(Some(record)) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    let message = format!("task {} is still {}", record.id, record.status.name());
                    return Err(CommandError::TimedOut(message));
                }
                Ok(Some(_)) => {}
                Err(error)
                    if error.is_passing() && deadline.is_none_or(|deadline| Instant::now() < deadline) =>
                {
                    tracing::warn!(%error, "waiting for redis");
                    tokio::time::sleep(4 * LOOK).await;
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
