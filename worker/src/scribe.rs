//! Carries what a run tells into the task's log and record.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use shared::{
    queue::{AgedLine, Lease, Queue},
    task_log::{LogLine, LogStream},
};
use tokio::{sync::mpsc, time::timeout};

use crate::run::Report;

/// Lines sent in one command.
const BATCH_LINES_MAX: usize = 100;

/// Lines kept while Redis is away; beyond, the oldest go and their number is told.
const KEPT_LINES_MAX: usize = 2_000;

/// How long lines are gathered: a person who follows the log notices no delay below this.
const GATHER: Duration = Duration::from_millis(100);

/// The scribe of one run.
pub struct Scribe {
    queue: Queue,
    lease: Lease,
    run: u32,
    kept: VecDeque<(Instant, LogLine)>,
    dropped: u64,
}

impl Scribe {
    pub fn new(queue: Queue, lease: Lease, run: u32) -> Self {
        Self { queue, lease, run, kept: VecDeque::new(), dropped: 0 }
    }

    /// Carries reports until the run has dropped its sender, then what is left. Never holds the run up for
    /// longer than one command, whatever Redis does.
    pub async fn run(mut self, mut reports: mpsc::Receiver<Report>) {
        while let Some(first) = reports.recv().await {
            self.take(first).await;
            // More of the same moment travels in the same command.
            while self.kept.len() < BATCH_LINES_MAX {
                match timeout(GATHER, reports.recv()).await {
                    Ok(Some(report)) => self.take(report).await,
                    Ok(None) | Err(_) => break,
                }
            }
            self.flush().await;
        }
        while !self.kept.is_empty() && self.flush().await {}
    }

    async fn take(&mut self, report: Report) {
        match report {
            Report::Line(line) => {
                if self.kept.len() == KEPT_LINES_MAX {
                    self.kept.pop_front();
                    self.dropped += 1;
                }
                self.kept.push_back((Instant::now(), line));
            }
            Report::Phase(phase) => {
                let phase = phase.to_string();
                tracing::info!(task = %self.lease.id, phase, "phase");
                if let Err(error) = self.queue.set_phase(&self.lease, &phase).await {
                    tracing::debug!(%error, task = %self.lease.id, "the phase could not be noted");
                }
            }
        }
    }

    /// Sends one batch; whether it went.
    async fn flush(&mut self) -> bool {
        if self.kept.is_empty() {
            return false;
        }
        let oldest = self.kept.iter().take(BATCH_LINES_MAX);
        let mut batch: Vec<AgedLine> =
            oldest.map(|(at, line)| AgedLine { line: line.clone(), age: at.elapsed() }).collect();
        let taken = batch.len();
        if self.dropped > 0 {
            let text = format!("{} lines were lost while redis was away", self.dropped);
            batch.insert(0, LogLine::new(LogStream::Engine, &text).into());
        }
        match self.queue.append_log(&self.lease, self.run, &batch).await {
            Ok(()) => {
                self.kept.drain(..taken);
                self.dropped = 0;
                true
            }
            Err(error) => {
                tracing::debug!(%error, task = %self.lease.id, "log lines wait");
                false
            }
        }
    }
}
