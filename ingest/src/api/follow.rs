//! What goes on: a task's log in pages, and every transition as a stream of server-sent events.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use shared::{
    Specialty, TaskId,
    lifecycle::UnixMs,
    queue::{Event, LogEntry, Queue, QueueError, events_from},
};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};
use tokio_util::sync::CancellationToken;
use warp::{
    Reply,
    http::{HeaderMap, StatusCode},
    sse,
};

use super::{Answer, Api, json, refusal::Refusal, tasks::known_id, timestamp::Timestamp};
use crate::{
    bounded_queue::{BoundedQueue, Unavailable},
    trigger::short,
};

/// Lines of a log, unless another number is asked for, and at most.
const LINES_DEFAULT: usize = 200;
const LINES_MAX: usize = 1_000;

/// How often a stream looks for events, and when Redis is away.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_WHILE_AWAY: Duration = Duration::from_secs(2);

/// Events of one specialty that a look reads.
const EVENTS_A_LOOK: usize = 200;

/// Streams at a time.
pub const STREAMS_MAX: usize = 32;

/// The header by which a client that lost its stream says what it got last.
const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventQuery {
    specialty: Option<String>,
    task: Option<TaskId>,
    after: Option<String>,
}

#[derive(Serialize)]
struct LogPage {
    lines: Vec<LineView>,
    /// What `after` takes to read on, also for what is yet to come.
    next: Option<String>,
    /// Whether there was more at once.
    more: bool,
}

#[derive(Serialize)]
struct LineView {
    cursor: String,
    at: Timestamp,
    run: u32,
    stream: &'static str,
    text: String,
}

#[derive(Serialize)]
struct EventView<'a> {
    at: Timestamp,
    specialty: &'a Specialty,
    event: &'a str,
    task: &'a str,
    details: &'a BTreeMap<String, String>,
}

/// A client's stream.
struct Feed {
    queue: BoundedQueue,
    closing: CancellationToken,
    only: Option<Specialty>,
    task: Option<TaskId>,
    /// Where a specialty is begun that has not been read yet.
    from: String,
    cursors: BTreeMap<Specialty, String>,
    ready: VecDeque<(Specialty, Event)>,
    _permit: OwnedSemaphorePermit,
}

impl Api {
    pub(super) async fn logs(&self, id: &str, query: &str) -> Answer {
        let known = known_id(id)?;
        let LogQuery { after, limit } = parse(query)?;
        let limit = limit.unwrap_or(LINES_DEFAULT);
        if !(1..=LINES_MAX).contains(&limit) {
            return Err(Refusal::BadQuery(format!("limit is 1 to {LINES_MAX}")));
        }
        let after = after.filter(|text| !text.is_empty()).map(cursor).transpose()?;
        let before = after.clone();
        let page = self.queue.look(move |queue| {
            let (known, after) = (known.clone(), after.clone());
            async move {
                if queue.task(&known).await?.is_none() {
                    return Ok(None);
                }
                queue.read_log(&known, after.as_deref(), limit).await.map(Some)
            }
        });
        let lines = page.await?.ok_or_else(|| Refusal::NoSuchTask(short(id)))?;
        let next = lines.last().map(|line| line.cursor.clone()).or(before);
        let more = lines.len() == limit;
        let page = LogPage { lines: lines.into_iter().map(LineView::from).collect(), next, more };
        Ok(json(StatusCode::OK, &page))
    }

    pub(super) async fn events(&self, query: &str, headers: &HeaderMap) -> Answer {
        let EventQuery { specialty, task, after } = parse(query)?;
        let only = specialty.filter(|name| !name.is_empty()).map(|name| {
            let known = self.classifier.resolve_alias(&name).or_else(|| name.parse().ok());
            known.ok_or_else(|| Refusal::BadQuery(format!("there is no specialty '{}'", short(&name))))
        });
        let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let only = only.transpose()?;
        let (from, cursors) = if let Some(text) = last.or(after).filter(|text| !text.is_empty()) {
            // Of the same millisecond others may not have been told: better twice than never.
            (events_from(ms_of(&cursor(text)?)), BTreeMap::new())
        } else {
            let only = only.clone();
            let ends = self.queue.look(move |queue| {
                let only = only.clone();
                async move { ends(&queue, only.as_ref()).await }
            });
            (events_from(0), ends.await?)
        };
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::QueueDown(Unavailable::Crowded))?;
        let feed = Feed {
            queue: self.queue.clone(),
            closing: self.closing.clone(),
            only,
            task,
            from,
            cursors,
            ready: VecDeque::new(),
            _permit: permit,
        };
        Ok(sse::reply(sse::keep_alive().stream(feed.stream())).into_response())
    }
}

impl Feed {
    /// Ends when the server does. An outage of Redis is waited out.
    fn stream(self) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send + 'static {
        stream::unfold(self, async |mut feed| {
            let event = feed.closing.clone().run_until_cancelled(feed.next()).await?;
            Some((Ok(event), feed))
        })
    }

    async fn next(&mut self) -> sse::Event {
        loop {
            while let Some((specialty, event)) = self.ready.pop_front() {
                if self.task.as_ref().is_none_or(|task| task.as_str() == event.task) {
                    return told(&specialty, &event);
                }
            }
            let pause = match self.look().await {
                Ok(()) if !self.ready.is_empty() => continue,
                Ok(()) => LOOK,
                Err(_) => LOOK_WHILE_AWAY,
            };
            sleep(pause).await;
        }
    }

    async fn look(&mut self) -> Result<(), Unavailable> {
        let (only, from, cursors) = (self.only.clone(), self.from.clone(), self.cursors.clone());
        let seen = Arc::new((only, from, cursors));
        let read = self.queue.look(move |queue| {
            let seen = Arc::clone(&seen);
            async move { read(&queue, seen.0.as_ref(), &seen.1, &seen.2).await }
        });
        let mut events = read.await?;
        for (specialty, event) in &events {
            self.cursors.insert(specialty.clone(), event.cursor.clone());
        }
        events.sort_by_key(|(_, event)| event.at);
        self.ready.extend(events);
        Ok(())
    }
}

async fn served(queue: &Queue, only: Option<&Specialty>) -> Result<Vec<Specialty>, QueueError> {
    match only {
        Some(specialty) => Ok(vec![specialty.clone()]),
        None => queue.specialties().await,
    }
}

/// Where the events of each specialty end now.
async fn ends(queue: &Queue, only: Option<&Specialty>) -> Result<BTreeMap<Specialty, String>, QueueError> {
    let mut ends = BTreeMap::new();
    for specialty in served(queue, only).await? {
        let end = queue.events_end(&specialty).await?;
        ends.insert(specialty, end);
    }
    Ok(ends)
}

async fn read(
    queue: &Queue,
    only: Option<&Specialty>,
    from: &str,
    cursors: &BTreeMap<Specialty, String>,
) -> Result<Vec<(Specialty, Event)>, QueueError> {
    let mut events = Vec::new();
    for specialty in served(queue, only).await? {
        let after = cursors.get(&specialty).map_or(from, String::as_str);
        let read = queue.events_after(&specialty, Some(after), EVENTS_A_LOOK).await?;
        events.extend(read.into_iter().map(|event| (specialty.clone(), event)));
    }
    Ok(events)
}

fn told(specialty: &Specialty, event: &Event) -> sse::Event {
    let view = EventView {
        at: Timestamp(event.at),
        specialty,
        event: &event.event,
        task: &event.task,
        details: &event.details,
    };
    let data = serde_json::to_string(&view).unwrap_or_default();
    sse::Event::default().id(&event.cursor).event(&event.event).data(data)
}

impl From<LogEntry> for LineView {
    fn from(entry: LogEntry) -> Self {
        Self {
            cursor: entry.cursor,
            at: Timestamp(entry.at),
            run: entry.run,
            stream: entry.line.stream.as_str(),
            text: entry.line.text,
        }
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Refusal> {
    serde_urlencoded::from_str(query).map_err(|error| Refusal::BadQuery(short(&error.to_string())))
}

/// A place in a stream. Strict: it goes to Redis as it is.
fn cursor(text: String) -> Result<String, Refusal> {
    let parts = text.split_once('-');
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok();
    let fits = parts.is_some_and(|(ms, n)| number(ms) && number(n));
    if fits { Ok(text) } else { Err(Refusal::BadQuery("after is a cursor of an answer before".to_owned())) }
}

fn ms_of(cursor: &str) -> UnixMs {
    cursor.split_once('-').and_then(|(ms, _)| ms.parse().ok()).unwrap_or_default()
}
