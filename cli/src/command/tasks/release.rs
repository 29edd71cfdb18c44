//! `tasks release`: a held task goes into the queue; a running one is taken from its worker.

use clap::Args;
use shared::{
    Status, TaskId, TaskRecord,
    queue::{ForceReleaseAnswer, Queue, ReleaseHeldAnswer},
};

use crate::{
    args::Global,
    command::{on_queue, task_id, wrong_state},
    environment,
    error::CommandError,
    render,
};

#[derive(Debug, Args)]
pub struct Release {
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    /// Take the task from the worker that runs it, for one that is stuck though it beats: the worker loses it with its
    /// next beat and publishes nothing, and the task is next in line.
    #[arg(long)]
    force: bool,
    #[arg(long)]
    json: bool,
}

impl Release {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let said = on_queue(global, async |_, queue| {
            let record = queue.task(&self.id).await?;
            let record = record.ok_or_else(|| CommandError::NoSuchTask(self.id.clone()))?;
            match record.status {
                Status::Active { .. } if self.force => self.take(queue, record).await,
                _ => self.release(queue).await,
            }
        });
        let said = said.await?;
        if self.json {
            return render::json(&serde_json::json!({ "task_id": self.id, "status": said }));
        }
        render::line(format!("{}: {said}", self.id))
    }

    async fn release(&self, queue: &Queue) -> Result<&'static str, CommandError> {
        match queue.release_held(&self.id).await? {
            ReleaseHeldAnswer::Released => Ok("pending"),
            // What was to be reached is reached.
            ReleaseHeldAnswer::NotHeld(record) if record.status == Status::Pending => Ok("pending"),
            ReleaseHeldAnswer::NotHeld(record) => Err(wrong_state(&record, "released")),
            ReleaseHeldAnswer::Unknown => Err(CommandError::NoSuchTask(self.id.clone())),
        }
    }

    async fn take(&self, queue: &Queue, record: TaskRecord) -> Result<&'static str, CommandError> {
        let Status::Active { fence, .. } = record.status else { return self.release(queue).await };
        match queue.force_release(&self.id, fence, &environment::user()).await? {
            ForceReleaseAnswer::Released => Ok("pending"),
            ForceReleaseAnswer::Cancelled => Ok("cancelled"),
            ForceReleaseAnswer::NotActive(record) => Err(wrong_state(&record, "taken from its worker")),
            ForceReleaseAnswer::Unknown => Err(CommandError::NoSuchTask(self.id.clone())),
        }
    }
}
