//! `/api/tasks` and what is below it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    Status, TaskId, TaskRecord, TaskSpec,
    hidden_text::strip_line,
    queue::{CancelAnswer, Enqueued, IssueEnqueued, Queue, QueueError},
};
use tracing::info;
use warp::{
    http::{HeaderValue, StatusCode, header::LOCATION},
    reply::Response,
};

use super::{
    Answer, Api, json,
    listing::{self, Cursor, ListQuery},
    new_task::{self, Draft},
    refusal::Refusal,
    task_view::TaskView,
};
use crate::trigger::short;

/// What a cancelled task says by whom.
const CANCELLED_BY: &str = "cancelled through the API";

/// Longest reason of a cancel, in bytes.
const REASON_BYTES_MAX: usize = 200;

#[derive(Serialize)]
struct Page {
    tasks: Vec<TaskView>,
    /// What `after` takes for the next page; `null` after the last.
    next: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelRequest {
    reason: Option<String>,
}

/// What became of a task that was posted.
enum Posted {
    Created(TaskView),
    Exists(TaskView),
    /// Its issue has an unsettled one of another id.
    IssueTaken(TaskView),
}

/// What became of a cancel.
enum Cancel {
    Done(TaskView),
    /// The worker that runs it has been asked.
    Requested(TaskView),
    AlreadySettled(&'static str),
    Unknown,
}

impl Api {
    pub(super) async fn tasks(&self, query: &str) -> Answer {
        let query = Arc::new(ListQuery::parse(query, &self.classifier)?);
        let page = self.queue.look(move |queue| {
            let query = Arc::clone(&query);
            async move {
                let (records, next) = listing::read(&queue, &query).await?;
                let roots = listing::workspace_roots(&queue, &records).await?;
                let view = |record: TaskRecord| {
                    let root = match &record.status {
                        Status::Active { worker, .. } => roots.get(worker).map(String::as_str),
                        _ => None,
                    };
                    TaskView::of(record, root)
                };
                Ok(Page { tasks: records.into_iter().map(view).collect(), next: next.map(Cursor::text) })
            }
        });
        Ok(json(StatusCode::OK, &page.await?))
    }

    pub(super) async fn task(&self, id: &str) -> Answer {
        let known = known_id(id)?;
        let view = self.queue.look(move |queue| {
            let known = known.clone();
            async move { TaskView::read(&queue, &known).await }
        });
        let view = view.await?.ok_or_else(|| Refusal::NoSuchTask(short(id)))?;
        Ok(json(StatusCode::OK, &view))
    }

    /// After a 503 the task may have been made all the same; with an id of one's own, posting it again is safe.
    pub(super) async fn new_task(&self, body: &[u8]) -> Answer {
        let draft = Arc::new(new_task::draft(body, &self.config, &self.classifier)?);
        let posted = self.queue.change({
            let draft = Arc::clone(&draft);
            move |queue| {
                let draft = Arc::clone(&draft);
                async move { post(&queue, &draft).await }
            }
        });
        let TaskSpec { id, specialty, priority, .. } = &draft.spec;
        match posted.await? {
            Posted::Created(view) => {
                info!(task = %id, %specialty, %priority, "task created");
                Ok(located(StatusCode::CREATED, &view))
            }
            Posted::Exists(view) => Ok(located(StatusCode::OK, &view)),
            Posted::IssueTaken(view) if !draft.own_id => Ok(located(StatusCode::OK, &view)),
            Posted::IssueTaken(view) => {
                let issue = format!("{}#{}", draft.spec.repository, draft.spec.issue.unwrap_or_default());
                Err(Refusal::IssueTaken { issue, task: view.id().clone() })
            }
        }
    }

    pub(super) async fn cancel(&self, id: &str, body: &[u8]) -> Answer {
        let known = known_id(id)?;
        let request: CancelRequest =
            if body.is_empty() { CancelRequest::default() } else { new_task::parse(body)? };
        let by = match request.reason {
            Some(reason) => format!(
                "{CANCELLED_BY}: {}",
                new_task::limited("reason", &strip_line(&reason), REASON_BYTES_MAX)?
            ),
            None => CANCELLED_BY.to_owned(),
        };
        let cancelled = self.queue.change(move |queue| {
            let (known, by) = (known.clone(), by.clone());
            async move { cancel(&queue, &known, &by).await }
        });
        match cancelled.await? {
            Cancel::Done(view) => {
                info!(task = id, "task cancelled");
                Ok(json(StatusCode::OK, &view))
            }
            Cancel::Requested(view) => {
                info!(task = id, "cancel requested");
                Ok(json(StatusCode::ACCEPTED, &view))
            }
            Cancel::AlreadySettled(status) => Err(Refusal::Settled(status)),
            Cancel::Unknown => Err(Refusal::NoSuchTask(short(id))),
        }
    }
}

async fn post(queue: &Queue, draft: &Draft) -> Result<Posted, QueueError> {
    let spec = &draft.spec;
    // A settled task of this id must not become its issue's active one.
    if draft.own_id
        && let Some(view) = TaskView::read(queue, &spec.id).await?
    {
        return Ok(Posted::Exists(view));
    }
    let named = if spec.issue.is_some() {
        match queue.enqueue_issue(spec, None).await? {
            IssueEnqueued::Duplicate { task } | IssueEnqueued::Delivered { task } if task != spec.id => {
                return Ok(Posted::IssueTaken(must_exist(queue, &task).await?));
            }
            _ => Enqueued::Created,
        }
    } else {
        queue.enqueue(spec).await?
    };
    let view = must_exist(queue, &spec.id).await?;
    match named {
        Enqueued::Exists { .. } if draft.own_id => Ok(Posted::Exists(view)),
        // An id of our own making that exists: an earlier try made it and its answer was lost.
        Enqueued::Exists { .. } | Enqueued::Created => Ok(Posted::Created(view)),
    }
}

async fn cancel(queue: &Queue, id: &TaskId, by: &str) -> Result<Cancel, QueueError> {
    Ok(match queue.cancel(id, by).await? {
        CancelAnswer::Cancelled => Cancel::Done(must_exist(queue, id).await?),
        CancelAnswer::Requested => Cancel::Requested(must_exist(queue, id).await?),
        CancelAnswer::AlreadySettled(record) => match record.status {
            Status::Cancelled { .. } => Cancel::Done(TaskView::complete(queue, *record).await?),
            status => Cancel::AlreadySettled(status.name()),
        },
        CancelAnswer::Unknown => Cancel::Unknown,
    })
}

/// A task that was there a moment ago. It is gone when Redis was flushed in between.
pub(super) async fn must_exist(queue: &Queue, id: &TaskId) -> Result<TaskView, QueueError> {
    TaskView::read(queue, id).await?.ok_or_else(|| QueueError::Unexpected {
        operation: "a task's record",
        detail: format!("task {id} has vanished"),
    })
}

/// What is no id names no task.
pub(super) fn known_id(id: &str) -> Result<TaskId, Refusal> {
    id.parse().map_err(|_| Refusal::NoSuchTask(short(id)))
}

fn located(status: StatusCode, view: &TaskView) -> Response {
    let mut response = json(status, view);
    if let Ok(place) = HeaderValue::from_str(&format!("/api/tasks/{}", view.id())) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}
