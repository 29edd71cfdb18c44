//! `tasks move`: a waiting task goes to another priority, another specialty, or both.

use clap::Args;
use shared::{Priority, TaskId, queue::Asked};

use super::tell;
use crate::{
    args::Global,
    command::{known_specialty, on_queue, task_id},
    environment,
    error::CommandError,
};

#[derive(Debug, Args)]
#[group(id = "target", required = true, multiple = true)]
pub struct Move {
    #[arg(value_name = "ID", value_parser = task_id, group = "task")]
    id: TaskId,
    /// high, medium or low.
    #[arg(long, group = "target")]
    priority: Option<Priority>,
    /// A specialty or an alias of one.
    #[arg(long, value_name = "NAME", group = "target")]
    specialty: Option<String>,
    #[arg(long)]
    json: bool,
}

impl Move {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let by = environment::user();
        let asked = on_queue(global, async |session, queue| {
            let mut asked = Asked::Done;
            if let Some(name) = &self.specialty {
                let target = known_specialty(session, queue, name).await?;
                asked = queue.move_specialty(&self.id, &target, &by).await?;
            }
            if let Some(priority) = self.priority
                && asked == Asked::Done
            {
                asked = queue.move_priority(&self.id, priority, &by).await?;
            }
            Ok(asked)
        });
        tell(&self.id, asked.await?, "moved", self.json)
    }
}
