//! `events`: every transition of every task, as it happens.

use std::{collections::VecDeque, time::Duration};

use clap::Args;
use serde::Serialize;
use shared::{
    Specialty, TaskId,
    queue::{Event, Queue, QueueError, events_from},
};

use super::{known_specialty, on_queue, task_id};
use crate::{args::Global, error::CommandError, render, span};

/// How often events are looked for that are followed.
const LOOK: Duration = Duration::from_millis(250);

/// Events a read.
const PAGE: usize = 500;

#[derive(Debug, Args)]
pub struct Events {
    /// Go on with what happens from now on, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// Only of this specialty.
    #[arg(long, value_name = "NAME")]
    specialty: Option<String>,
    /// Only of this task.
    #[arg(long, value_name = "ID", value_parser = task_id)]
    task: Option<TaskId>,
    /// Begin so long ago: 90s, 30m, 2h, 7d. Without: with the oldest that is kept, and with --follow now.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    since: Option<Duration>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// The events of one specialty, read a page at a time.
struct Feed {
    specialty: Specialty,
    cursor: Option<String>,
    read: VecDeque<Event>,
}

#[derive(Serialize)]
struct Told<'a> {
    specialty: &'a Specialty,
    #[serde(flatten)]
    event: &'a Event,
}

impl Events {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        on_queue(global, async |session, queue| {
            let only = match &self.specialty {
                Some(name) => Some(known_specialty(session, queue, name).await?),
                None => None,
            };
            self.print(queue, only).await
        })
        .await
    }

    async fn print(&self, queue: &Queue, only: Option<Specialty>) -> Result<(), CommandError> {
        let mut feeds = self.begin(queue, only.as_ref()).await?;
        let from = self.from(queue).await?;
        loop {
            let specialties = match served(queue, only.as_ref()).await {
                Err(error) if self.follow && error.is_passing() => {
                    tracing::warn!(%error, "waiting for redis");
                    tokio::time::sleep(4 * LOOK).await;
                    continue;
                }
                answer => answer?,
            };
            for specialty in specialties {
                if feeds.iter().all(|feed| feed.specialty != specialty) {
                    feeds.push(Feed { specialty, cursor: from.clone(), read: VecDeque::new() });
                }
            }
            if !self.print_round(queue, &mut feeds).await? && !self.follow {
                return Ok(());
            }
            if self.follow {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Where a specialty is begun that comes to be later, or with `--since`. By Redis' clock, as the events are.
    async fn from(&self, queue: &Queue) -> Result<Option<String>, CommandError> {
        let Some(since) = self.since else { return Ok(None) };
        Ok(Some(events_from(queue.now().await?.saturating_sub(since.as_millis() as u64))))
    }

    /// With `--follow` alone, every specialty there is begins behind what it has.
    async fn begin(&self, queue: &Queue, only: Option<&Specialty>) -> Result<Vec<Feed>, CommandError> {
        let mut feeds = Vec::new();
        if self.follow && self.since.is_none() {
            for specialty in served(queue, only).await? {
                let cursor = Some(queue.events_end(&specialty).await?);
                feeds.push(Feed { specialty, cursor, read: VecDeque::new() });
            }
        }
        Ok(feeds)
    }

    /// Prints what has been kept since, in the order of time; whether there was any.
    async fn print_round(&self, queue: &Queue, feeds: &mut [Feed]) -> Result<bool, CommandError> {
        let mut any = false;
        loop {
            for feed in feeds.iter_mut().filter(|feed| feed.read.is_empty()) {
                match queue.events_after(&feed.specialty, feed.cursor.as_deref(), PAGE).await {
                    Ok(events) => feed.read.extend(events),
                    Err(error) if self.follow && error.is_passing() => return Ok(any),
                    Err(error) => return Err(error.into()),
                }
            }
            let next = feeds.iter_mut().filter(|feed| !feed.read.is_empty());
            let Some(feed) = next.min_by_key(|feed| feed.read.front().map_or(0, |event| event.at)) else {
                return Ok(any);
            };
            if let Some(event) = feed.read.pop_front() {
                any = true;
                feed.cursor = Some(event.cursor.clone());
                if self.task.as_ref().is_none_or(|task| task.as_str() == event.task) {
                    self.tell(&feed.specialty, &event)?;
                }
            }
        }
    }

    fn tell(&self, specialty: &Specialty, event: &Event) -> Result<(), CommandError> {
        if self.json {
            return render::json_line(&Told { specialty, event });
        }
        let details: Vec<String> =
            event.details.iter().map(|(name, value)| format!("{name}={value}")).collect();
        render::line(
            format!(
                "{} {specialty} {} {} {}",
                render::clock(event.at),
                event.event,
                event.task,
                details.join(" ")
            )
            .trim_end(),
        )
    }
}

async fn served(queue: &Queue, only: Option<&Specialty>) -> Result<Vec<Specialty>, QueueError> {
    match only {
        Some(specialty) => Ok(vec![specialty.clone()]),
        None => queue.specialties().await,
    }
}
