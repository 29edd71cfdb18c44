//! `tasks show`: all about one task.

use clap::Args;
use shared::TaskId;

use crate::{
    args::Global,
    command::{on_queue, status, task_id},
    error::CommandError,
};

#[derive(Debug, Args)]
pub struct Show {
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    #[arg(long)]
    json: bool,
}

impl Show {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        on_queue(global, async |_, queue| status::show(queue, &self.id, self.json).await).await
    }
}
