//! A task's log: one capped stream, readable from any PC.

use std::time::Duration;

use super::{Lease, Queue, QueueError};
use crate::{
    TaskId,
    lifecycle::UnixMs,
    task_log::{LogLine, LogStream},
};

/// Most lines that one read returns.
const READ_LINES_MAX: usize = 1_000;

/// A line that waited for its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgedLine {
    pub line: LogLine,
    /// How long ago it came to be.
    pub age: Duration,
}

impl From<LogLine> for AgedLine {
    /// A line of this moment.
    fn from(line: LogLine) -> Self {
        Self { line, age: Duration::ZERO }
    }
}

/// A line as it was kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LogEntry {
    /// Where to read on: pass it as `after`.
    pub cursor: String,
    /// Which line of the task's log it is, from 1; a step of more than one means lines that are no longer kept.
    pub seq: u64,
    /// When it came to be, by Redis' clock.
    pub at: UnixMs,
    /// Which claim of the task wrote it, from 1.
    pub run: u32,
    #[serde(flatten)]
    pub line: LogLine,
}

impl Queue {
    /// Appends lines of run number `run`.
    pub async fn append_log(&self, lease: &Lease, run: u32, lines: &[AgedLine]) -> Result<(), QueueError> {
        if lines.is_empty() {
            return Ok(());
        }
        let settings = self.settings();
        let mut args = vec![
            lease.id.to_string(),
            settings.log_lines_max.to_string(),
            (settings.log_ttl_hours * 3_600_000).to_string(),
            run.to_string(),
        ];
        for AgedLine { line, age } in lines {
            args.extend([age.as_millis().to_string(), line.stream.to_string(), line.text.clone()]);
        }
        let keys = self.keys().specialty(&lease.specialty);
        self.inner.scripts.log.call::<u64>(&self.inner.connections, keys.base(), args).await?;
        Ok(())
    }

    /// Up to `count` lines after the cursor `after`, or from the beginning; empty for an unknown task.
    pub async fn read_log(
        &self,
        id: &TaskId,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<LogEntry>, QueueError> {
        let Some(specialty) = self.locate(id).await? else { return Ok(Vec::new()) };
        let key = self.keys().specialty(&specialty).log(id);
        let entries = self.read_stream(&key, after, count.min(READ_LINES_MAX)).await?;
        let lines = entries.into_iter().map(|(cursor, fields)| LogEntry {
            seq: fields.get("seq").and_then(|seq| seq.parse().ok()).unwrap_or(0),
            at: fields.get("at").and_then(|at| at.parse().ok()).unwrap_or(0),
            run: fields.get("run").and_then(|run| run.parse().ok()).unwrap_or(0),
            line: LogLine {
                stream: fields.get("stream").and_then(|s| s.parse().ok()).unwrap_or(LogStream::Engine),
                text: fields.get("text").cloned().unwrap_or_default(),
            },
            cursor,
        });
        Ok(lines.collect())
    }
}
