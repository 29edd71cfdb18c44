//! A waiting task becomes another one: its priority, its specialty, its text. Or it goes.

use serde::Deserialize;
use shared::{
    Priority, TaskId,
    hidden_text::{strip, strip_line},
    queue::{Asked, Change, Queue, QueueError},
    task::{BODY_BYTES_MAX, TITLE_BYTES_MAX},
};
use tracing::info;
use warp::{Reply, http::StatusCode};

use super::{
    Answer, Api,
    control::{BY, Changed, Refused, answer, empty},
    new_task::{self, limited},
    refusal::Refusal,
    tasks::{known_id, must_exist},
};
use crate::trigger::short;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriorityRequest {
    priority: Priority,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecialtyRequest {
    specialty: String,
}

/// What is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeRequest {
    title: Option<String>,
    description: Option<String>,
    labels: Option<Vec<String>>,
    requirements: Option<Vec<String>>,
}

impl Api {
    pub(super) async fn set_priority(&self, id: &str, body: &[u8]) -> Answer {
        let known = known_id(id)?;
        let PriorityRequest { priority } = new_task::parse(body)?;
        let changed = self.queue.change(move |queue| {
            let known = known.clone();
            async move { asked(&queue, &known, queue.move_priority(&known, priority, BY).await?).await }
        });
        answer(id, "moved to another priority", changed.await?)
    }

    pub(super) async fn set_specialty(&self, id: &str, body: &[u8]) -> Answer {
        let known = known_id(id)?;
        let SpecialtyRequest { specialty } = new_task::parse(body)?;
        let target = new_task::resolve(&specialty, &self.classifier)?;
        let changed = self.queue.change(move |queue| {
            let (known, target) = (known.clone(), target.clone());
            async move { asked(&queue, &known, queue.move_specialty(&known, &target, BY).await?).await }
        });
        answer(id, "moved to another specialty", changed.await?)
    }

    pub(super) async fn change_task(&self, id: &str, body: &[u8]) -> Answer {
        let known = known_id(id)?;
        let change = change(new_task::parse(body)?)?;
        let changed = self.queue.change(move |queue| {
            let (known, change) = (known.clone(), change.clone());
            async move { asked(&queue, &known, queue.change(&known, &change, BY).await?).await }
        });
        answer(id, "changed", changed.await?)
    }

    /// After a 503 the task may be gone all the same; asking again then answers that there is none.
    pub(super) async fn delete_task(&self, id: &str, body: &[u8]) -> Answer {
        let known = known_id(id)?;
        empty(body)?;
        let deleted = self.queue.change(move |queue| {
            let known = known.clone();
            async move { queue.delete(&known, BY).await }
        });
        match deleted.await? {
            Asked::Done => {
                info!(task = id, "task deleted");
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            Asked::WrongState(record) => {
                Err(Refusal::WrongState { status: record.status.name(), what: "deleted" })
            }
            Asked::Unknown => Err(Refusal::NoSuchTask(short(id))),
        }
    }
}

async fn asked(queue: &Queue, id: &TaskId, asked: Asked) -> Result<Changed, QueueError> {
    Ok(match asked {
        Asked::Done => Ok(must_exist(queue, id).await?),
        Asked::WrongState(record) => Err(Refused::State(record.status.name())),
        Asked::Unknown => Err(Refused::Unknown),
    })
}

/// Texts are taken as those of a new task are.
fn change(request: ChangeRequest) -> Result<Change, Refusal> {
    let title = match &request.title {
        Some(title) => Some(strip_line(limited("title", title, TITLE_BYTES_MAX)?)),
        None => None,
    };
    if title.as_deref() == Some("") {
        return Err(Refusal::Unprocessable("title is empty".to_owned()));
    }
    let body = match &request.description {
        Some(text) => Some(strip(limited("description", text, BODY_BYTES_MAX)?)),
        None => None,
    };
    let words = |name, given: Option<_>| given.map(|given| new_task::words(name, Some(given))).transpose();
    let (labels, requirements) =
        (words("labels", request.labels)?, words("requirements", request.requirements)?);
    let change = Change { title, body, labels, requirements };
    if change == Change::default() {
        let nothing = "nothing is to change; send title, description, labels or requirements";
        return Err(Refusal::Unprocessable(nothing.to_owned()));
    }
    Ok(change)
}
