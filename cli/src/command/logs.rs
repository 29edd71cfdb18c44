//! `logs`: what the engine, the agent and the tests of a task say.

use std::time::Duration;

use clap::Args;
use shared::{
    TaskId,
    queue::{LogEntry, Queue},
};

use super::task_id;
use crate::{
    args::Global,
    embedded_redis::Need,
    error::CommandError,
    render,
    session::{Log, Session},
};

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Lines a read.
const PAGE: usize = 500;

#[derive(Debug, Args)]
pub struct Logs {
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    /// Go on until the task has ended.
    #[arg(short, long)]
    follow: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Logs {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let session = Session::start(global, Vec::new(), Log::OneShot)?;
        let connection = session.connect(Need::Read)?;
        let result = self.print(&connection.queue).await;
        connection.close();
        result
    }

    async fn print(&self, queue: &Queue) -> Result<(), CommandError> {
        let mut cursor: Option<String> = None;
        let mut seen = 0;
        loop {
            // The record first: what is logged before the end is then read in this round.
            let record = match queue.task(&self.id).await {
                Ok(Some(record)) => record,
                Ok(None) => return Err(CommandError::NoSuchTask(self.id.clone())),
                Err(error) if self.follow && error.is_passing() => {
                    tracing::warn!(%error, "waiting for redis");
                    tokio::time::sleep(4 * LOOK).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            loop {
                let entries = queue.read_log(&self.id, cursor.as_deref(), PAGE).await?;
                for entry in &entries {
                    if entry.seq > seen + 1 && !self.json {
                        render::line(format!("({} lines are no longer kept)", entry.seq - seen - 1))?;
                    }
                    seen = entry.seq;
                    self.print_entry(entry)?;
                }
                let Some(last) = entries.last() else { break };
                cursor = Some(last.cursor.clone());
            }
            if !self.follow || record.status.is_settled() {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn print_entry(&self, entry: &LogEntry) -> Result<(), CommandError> {
        if self.json {
            return render::json_line(entry);
        }
        render::line(text_of(entry))
    }
}

/// An entry as a line for people.
pub fn text_of(entry: &LogEntry) -> String {
    format!("{} {:<6} {}", render::clock(entry.at), entry.line.stream.as_str(), entry.line.text)
}
