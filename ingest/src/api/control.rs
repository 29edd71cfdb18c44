//! What is asked of specialties and workers, and the retry of a task.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    Specialty, TaskId,
    hidden_text::strip_line,
    queue::{DRAIN_LIFE, Queue, QueueError, RerunAnswer, Stopped},
    worker_info::WorkerState,
};
use tracing::info;
use warp::http::StatusCode;

use super::{
    Answer, Api, json, new_task,
    refusal::Refusal,
    task_view::TaskView,
    tasks::{known_id, must_exist},
    timestamp::Timestamp,
};
use crate::trigger::short;

/// Who did it, as events and reasons say.
pub(super) const BY: &str = "the API";

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 200;

/// Longest pause that ends by itself.
const PAUSE_SECONDS_MAX: u64 = 3_650 * 86_400;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopRequest {
    reason: Option<String>,
    /// `None`: until somebody ends it, or, of a drain, for 30 days.
    seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Serialize)]
struct PauseView {
    specialty: Specialty,
    paused: Option<StoppedView>,
}

#[derive(Serialize)]
struct DrainView {
    id: String,
    drained: Option<StoppedView>,
}

/// Who stopped something, and why.
#[derive(Serialize)]
pub struct StoppedView {
    by: String,
    reason: String,
    since: Timestamp,
    until: Option<Timestamp>,
}

impl From<Stopped> for StoppedView {
    fn from(stopped: Stopped) -> Self {
        Self {
            by: stopped.by,
            reason: stopped.reason,
            since: Timestamp(stopped.at),
            until: stopped.until.map(Timestamp),
        }
    }
}

/// A task as it is now, or why it is not as asked for.
pub(super) type Changed = Result<TaskView, Refused>;

pub(super) enum Refused {
    State(&'static str),
    NoSpec,
    IssueTaken { issue: String, task: TaskId },
    Unknown,
}

impl Api {
    pub(super) async fn retry(&self, id: &str, body: &[u8]) -> Answer {
        let known = known_id(id)?;
        empty(body)?;
        let changed = self.queue.change(move |queue| {
            let known = known.clone();
            async move { rerun(&queue, &known).await }
        });
        answer(id, "retried", changed.await?)
    }

    pub(super) async fn pause(&self, name: &str, body: &[u8]) -> Answer {
        let (reason, life) = stop_request(body, Duration::from_secs(PAUSE_SECONDS_MAX))?;
        let specialty = self.specialty(name).await?;
        let view = self.queue.change(move |queue| {
            let (specialty, reason) = (specialty.clone(), reason.clone());
            async move {
                queue.pause(&specialty, BY, &reason, life).await?;
                pause_view(&queue, specialty).await
            }
        });
        let view = view.await?;
        info!(specialty = %view.specialty, "specialty paused");
        Ok(json(StatusCode::OK, &view))
    }

    pub(super) async fn resume(&self, name: &str, body: &[u8]) -> Answer {
        empty(body)?;
        let specialty = self.specialty(name).await?;
        let view = self.queue.change(move |queue| {
            let specialty = specialty.clone();
            async move {
                queue.resume(&specialty, BY).await?;
                pause_view(&queue, specialty).await
            }
        });
        let view = view.await?;
        info!(specialty = %view.specialty, "specialty resumed");
        Ok(json(StatusCode::OK, &view))
    }

    pub(super) async fn drain(&self, id: &str, body: &[u8]) -> Answer {
        let (reason, life) = stop_request(body, DRAIN_LIFE)?;
        let worker = self.worker_id(id).await?;
        let view = self.queue.change(move |queue| {
            let (worker, reason) = (worker.clone(), reason.clone());
            async move {
                queue.drain_worker(&worker, BY, &reason, life).await?;
                drain_view(&queue, worker).await
            }
        });
        let view = view.await?;
        info!(worker = view.id, "worker drained");
        Ok(json(StatusCode::OK, &view))
    }

    pub(super) async fn undrain(&self, id: &str, body: &[u8]) -> Answer {
        empty(body)?;
        let worker = id.to_owned();
        let view = self.queue.change(move |queue| {
            let worker = worker.clone();
            async move {
                queue.undrain_worker(&worker).await?;
                drain_view(&queue, worker).await
            }
        });
        let view = view.await?;
        info!(worker = view.id, "worker undrained");
        Ok(json(StatusCode::OK, &view))
    }

    /// What `name` or an alias of it means, where the classifier or the queue knows it.
    async fn specialty(&self, name: &str) -> Result<Specialty, Refusal> {
        if let Some(known) = self.classifier.resolve_alias(name) {
            return Ok(known);
        }
        let all = self.queue.look(|queue| async move { queue.specialties().await }).await?;
        let known = all.into_iter().find(|known| known.as_str() == name);
        known.ok_or_else(|| Refusal::NoSuch { what: "specialty", name: short(name) })
    }

    async fn worker_id(&self, id: &str) -> Result<String, Refusal> {
        let workers = self.queue.look(|queue| async move { queue.workers().await }).await?;
        let known = workers.iter().map(WorkerState::id).find(|known| *known == id);
        known.map(str::to_owned).ok_or_else(|| Refusal::NoSuch { what: "agent", name: short(id) })
    }
}

async fn rerun(queue: &Queue, id: &TaskId) -> Result<Changed, QueueError> {
    Ok(match queue.rerun(id, BY).await? {
        RerunAnswer::Pending => Ok(must_exist(queue, id).await?),
        RerunAnswer::WrongState(record) => Err(Refused::State(record.status.name())),
        RerunAnswer::NoSpec => Err(Refused::NoSpec),
        RerunAnswer::IssueTaken { task } => {
            let record = queue.task(id).await?;
            let issue = record.and_then(|record| Some(format!("{}#{}", record.repository, record.issue?)));
            Err(Refused::IssueTaken { issue: issue.unwrap_or_default(), task })
        }
        RerunAnswer::Unknown => Err(Refused::Unknown),
    })
}

pub(super) fn answer(id: &str, what: &'static str, changed: Changed) -> Answer {
    match changed {
        Ok(view) => {
            info!(task = id, "task {what}");
            Ok(json(StatusCode::OK, &view))
        }
        Err(Refused::State(status)) => Err(Refusal::WrongState { status, what }),
        Err(Refused::NoSpec) => Err(Refusal::NoSpec),
        Err(Refused::IssueTaken { issue, task }) => Err(Refusal::IssueTaken { issue, task }),
        Err(Refused::Unknown) => Err(Refusal::NoSuchTask(short(id))),
    }
}

async fn pause_view(queue: &Queue, specialty: Specialty) -> Result<PauseView, QueueError> {
    let paused = queue.paused(&specialty).await?.map(StoppedView::from);
    Ok(PauseView { specialty, paused })
}

async fn drain_view(queue: &Queue, id: String) -> Result<DrainView, QueueError> {
    let drained = queue.drained_workers().await?.remove(&id).map(StoppedView::from);
    Ok(DrainView { id, drained })
}

pub(super) fn empty(body: &[u8]) -> Result<(), Refusal> {
    let Nothing {} = if body.is_empty() { Nothing {} } else { new_task::parse(body)? };
    Ok(())
}

fn stop_request(body: &[u8], longest: Duration) -> Result<(String, Option<Duration>), Refusal> {
    let request: StopRequest = if body.is_empty() { StopRequest::default() } else { new_task::parse(body)? };
    let reason = strip_line(&request.reason.unwrap_or_default());
    new_task::limited("reason", &reason, REASON_BYTES_MAX)?;
    let life = request.seconds.map(Duration::from_secs);
    if life.is_some_and(|life| life.is_zero() || life > longest) {
        return Err(Refusal::Unprocessable(format!("seconds is 1 to {}", longest.as_secs())));
    }
    Ok((reason.clone(), life))
}
