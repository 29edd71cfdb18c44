//! `tasks delete`: forget one task.

use clap::Args;
use shared::TaskId;

use super::tell;
use crate::{
    args::Global,
    command::{on_queue, task_id},
    environment,
    error::CommandError,
};

#[derive(Debug, Args)]
pub struct Delete {
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    #[arg(long)]
    json: bool,
}

impl Delete {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let by = environment::user();
        let asked = on_queue(global, async |_, queue| Ok(queue.delete(&self.id, &by).await?)).await?;
        tell(&self.id, asked, "deleted", self.json)
    }
}
