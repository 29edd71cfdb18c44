//! How a run goes: a bar on a terminal, lines elsewhere.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use shared::{TaskId, lifecycle::Status, queue::Queue};
use tokio_util::sync::CancellationToken;

use crate::{command::logs::text_of, error::CommandError, render};

/// How often the task is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Log lines a look.
const PAGE: usize = 500;

/// The phases of a run in their order, as the first word of what the record says.
const PHASES: [&str; 4] = ["preparing", "agent", "testing", "publishing"];

/// Shows one task's run.
pub struct Progress {
    queue: Queue,
    id: TaskId,
    show: Show,
    cursor: Option<String>,
}

enum Show {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    pub fn new(queue: Queue, id: TaskId, quiet: bool) -> Self {
        let show = if quiet {
            Show::Nothing
        } else if io::stderr().is_terminal() {
            Show::Bar(bar())
        } else {
            Show::Lines
        };
        Self { queue, id, show, cursor: None }
    }

    /// Shows what comes until `over`, and then what is left.
    pub async fn show(mut self, over: CancellationToken) -> Result<(), CommandError> {
        if matches!(self.show, Show::Lines) {
            render::line(format!("task {}", self.id))?;
        }
        while !over.is_cancelled() {
            self.look().await?;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = over.cancelled() => {}
            }
        }
        self.look().await?;
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), CommandError> {
        if matches!(self.show, Show::Nothing) {
            return Ok(());
        }
        // Redis may be away for a moment; the run goes on, and so does this.
        if let Show::Bar(bar) = &self.show
            && let Ok(Some(record)) = self.queue.task(&self.id).await
            && let Status::Active { phase, .. } = &record.status
        {
            let word = phase.split(' ').next().unwrap_or_default();
            if let Some(place) = PHASES.iter().position(|known| *known == word) {
                bar.set_position(place as u64);
            }
            bar.set_prefix(phase.clone());
        }
        while let Ok(entries) = self.queue.read_log(&self.id, self.cursor.as_deref(), PAGE).await {
            for entry in &entries {
                match &self.show {
                    Show::Bar(bar) => bar.set_message(entry.line.text.clone()),
                    Show::Lines => render::line(text_of(entry))?,
                    Show::Nothing => {}
                }
            }
            let Some(last) = entries.last() else { break };
            self.cursor = Some(last.cursor.clone());
        }
        Ok(())
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(PHASES.len() as u64);
    let style = ProgressStyle::with_template("{spinner} [{bar:16}] {prefix} {elapsed}  {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar.set_prefix("starting");
    bar
}
