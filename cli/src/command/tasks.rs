//! `tasks`: lists tasks, shows one, and changes what becomes of it.

mod change;
mod delete;
mod list;
mod move_;
mod release;
mod retry;
mod show;
mod trim;

use clap::{Args, Subcommand};
use shared::{TaskId, queue::Asked};

use super::cancel::Cancel;
use crate::{args::Global, error::CommandError, render};

#[derive(Debug, Args)]
pub struct Tasks {
    #[command(subcommand)]
    command: TasksCommand,
}

#[derive(Debug, Subcommand)]
enum TasksCommand {
    /// List tasks, those that run first, then what waits, then what has ended.
    List(list::List),
    /// Show all about one task, and why it waits.
    Show(show::Show),
    /// Run a task again that failed or was cancelled. Its attempts begin anew.
    Retry(retry::Retry),
    /// Cancel a task; a running one is killed. The same as `cancel`.
    Cancel(Cancel),
    /// Put a held task into the queue; with --force take a running one from its worker.
    Release(release::Release),
    /// Move a waiting task to another priority or specialty; it keeps its place by age.
    Move(move_::Move),
    /// Change the text of a waiting task.
    Change(change::Change),
    /// Forget a task that has ended, or a held one, with its log.
    Delete(delete::Delete),
    /// Forget many tasks that have ended, by age or number.
    Trim(trim::Trim),
}

impl Tasks {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        match self.command {
            TasksCommand::List(command) => command.run(global).await,
            TasksCommand::Show(command) => command.run(global).await,
            TasksCommand::Retry(command) => command.run(global).await,
            TasksCommand::Cancel(command) => command.run(global).await,
            TasksCommand::Release(command) => command.run(global).await,
            TasksCommand::Move(command) => command.run(global).await,
            TasksCommand::Change(command) => command.run(global).await,
            TasksCommand::Delete(command) => command.run(global).await,
            TasksCommand::Trim(command) => command.run(global).await,
        }
    }
}

/// What a wish came to, for people and scripts.
fn tell(id: &TaskId, asked: Asked, wish: &str, json: bool) -> Result<(), CommandError> {
    match asked {
        Asked::Done if json => render::json(&serde_json::json!({ "task_id": id, "status": wish })),
        Asked::Done => render::line(format!("{id}: {wish}")),
        Asked::WrongState(record) => Err(super::wrong_state(&record, wish)),
        Asked::Unknown => Err(CommandError::NoSuchTask(id.clone())),
    }
}
