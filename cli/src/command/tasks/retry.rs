//! `tasks retry`: run a task again.

use clap::Args;
use shared::{TaskId, queue::RerunAnswer};

use crate::{
    args::Global,
    command::{on_queue, task_id, wrong_state},
    environment,
    error::CommandError,
    render,
};

#[derive(Debug, Args)]
pub struct Retry {
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    #[arg(long)]
    json: bool,
}

impl Retry {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let by = environment::user();
        let answer = on_queue(global, async |_, queue| Ok(queue.rerun(&self.id, &by).await?)).await?;
        let id = &self.id;
        match answer {
            RerunAnswer::Pending if self.json => {
                render::json(&serde_json::json!({ "task_id": id, "status": "pending" }))
            }
            RerunAnswer::Pending => render::line(format!("{id}: pending")),
            RerunAnswer::WrongState(record) if record.status.name() == "completed" => {
                let message = format!("task {id} is completed; make a new one to do more");
                Err(CommandError::WrongState(message))
            }
            RerunAnswer::WrongState(record) => Err(wrong_state(&record, "retried")),
            RerunAnswer::NoSpec => Err(CommandError::WrongState(format!(
                "what task {id} was to do is not kept any more; make a new one"
            ))),
            RerunAnswer::IssueTaken { task } => Err(CommandError::WrongState(format!(
                "the issue of task {id} has another task by now: {task}"
            ))),
            RerunAnswer::Unknown => Err(CommandError::NoSuchTask(self.id)),
        }
    }
}
