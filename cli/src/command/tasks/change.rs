//! `tasks change`: another text for a waiting task.

use std::path::PathBuf;

use clap::Args;
use shared::{TaskId, queue};

use super::tell;
use crate::{
    args::Global,
    command::{on_queue, task_id},
    environment,
    error::CommandError,
    issue_file,
};

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true)]
pub struct Change {
    #[arg(value_name = "ID", value_parser = task_id, group = "task")]
    id: TaskId,
    #[arg(long, value_name = "TEXT", group = "what")]
    title: Option<String>,
    /// Title and text anew, as `create-task` reads them; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "what", conflicts_with = "title")]
    issue_file: Option<PathBuf>,
    /// All labels, by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', group = "what")]
    labels: Option<Vec<String>>,
    #[arg(long)]
    json: bool,
}

impl Change {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let mut change = queue::Change {
            title: self.title.clone(),
            labels: self.labels.clone(),
            ..queue::Change::default()
        };
        if let Some(path) = &self.issue_file {
            let issue = issue_file::read(path, None)?;
            change.title = Some(issue.title);
            change.body = Some(issue.body);
        }
        let by = environment::user();
        let asked =
            on_queue(global, async |_, queue| Ok(queue.change(&self.id, &change, &by).await?)).await?;
        tell(&self.id, asked, "changed", self.json)
    }
}
