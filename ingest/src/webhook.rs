//! `POST /webhook/github`: a delivery in, a task or a reason why not out.
//!
//! The order is size, signature, form, event and action, repository, own events and bots, trust. Only what
//! has passed all of them is classified and enqueued.

use std::sync::Arc;

use futures_util::Stream;
use serde::{Serialize, de::DeserializeOwned};
use shared::{
    Priority, RepositoryName, Specialty, TaskId, config::Config, queue::IssueEnqueued, task::Trigger,
};
use tracing::{debug, error, info, warn};
use warp::{
    Buf, Reply,
    http::{HeaderMap, StatusCode, header::ORIGIN},
    reply::Response,
};

use crate::{
    body::{Bodies, is_json},
    bounded_queue::BoundedQueue,
    classify::Classifier,
    event::{Envelope, IssuesEvent},
    rejection::Rejection,
    signature::{self, SigningKey},
    snapshot,
    trigger::{self, Ignored},
    trust,
};

/// Longest `X-GitHub-Delivery` that is believed to be one; GitHub sends a UUID.
const DELIVERY_BYTES_MAX: usize = 100;

/// How deliveries are proven to come from the forge.
pub enum Proof {
    Signed(SigningKey),
    /// Not at all: `ingest.insecure_webhooks`.
    Unsigned,
}

/// What a delivery is judged by and where its task goes.
pub struct Webhook {
    pub config: Arc<Config>,
    pub proof: Proof,
    pub bodies: Bodies,
    pub classifier: Arc<Classifier>,
    pub queue: BoundedQueue,
}

/// What became of a delivery that was taken.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Answer {
    TaskCreated { task_id: TaskId, specialty: Specialty, priority: Priority },
    Duplicate { task_id: TaskId },
    Ignored { reason: String },
    Pong,
}

impl Reply for Answer {
    fn into_response(self) -> Response {
        let created = matches!(self, Self::TaskCreated { .. });
        let status = if created { StatusCode::ACCEPTED } else { StatusCode::OK };
        warp::reply::with_status(warp::reply::json(&self), status).into_response()
    }
}

impl Webhook {
    /// Answers one delivery. Never a 5xx but 503, and that only while the queue cannot be used.
    pub async fn receive<B: Buf, E>(
        &self,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Response {
        match self.judge(headers, body).await {
            Ok(answer) => answer.into_response(),
            Err(rejection) => {
                if matches!(rejection, Rejection::QueueDown(_)) {
                    error!(%rejection, "webhook not taken");
                } else {
                    warn!(%rejection, "webhook refused");
                }
                rejection.into_response()
            }
        }
    }

    async fn judge<B: Buf, E>(
        &self,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Result<Answer, Rejection> {
        let body = match &self.proof {
            Proof::Signed(key) => {
                let mut check = key.check();
                let body = self.bodies.read(headers, body, |bytes| check.update(bytes)).await?;
                check.verify(headers.get(signature::HEADER))?;
                body
            }
            Proof::Unsigned => {
                let body = self.bodies.read(headers, body, |_| ()).await?;
                // Every browser sends this with a POST: no page that somebody visits may start a task.
                if headers.contains_key(ORIGIN) {
                    return Err(Rejection::FromBrowser);
                }
                body
            }
        };
        // Also where no signature is asked for.
        if !is_json(headers) {
            return Err(Rejection::NotJson);
        }
        let name = headers.get("x-github-event").and_then(|name| name.to_str().ok());
        let name = name.ok_or_else(|| Rejection::malformed("the header X-GitHub-Event is missing"))?;
        let envelope: Envelope = parse(body.bytes())?;
        let answer = match name {
            "ping" => return Ok(Answer::Pong),
            "issues" => self.issues(&envelope, body.bytes(), delivery(headers)).await?,
            other => Err(Ignored::event(other)),
        };
        Ok(answer.unwrap_or_else(|ignored| {
            // Somebody waits for the one kind and wonders; the other comes with every click.
            if ignored.is_refusal() {
                info!(%ignored, "webhook ignored");
            } else {
                debug!(%ignored, "webhook ignored");
            }
            Answer::Ignored { reason: ignored.to_string() }
        }))
    }

    async fn issues(
        &self,
        envelope: &Envelope,
        body: &[u8],
        delivery: Option<String>,
    ) -> Result<Result<Answer, Ignored>, Rejection> {
        let trigger = match trigger::of_action(envelope, &self.config.github) {
            Ok(trigger) => trigger,
            Err(ignored) => return Ok(Err(ignored)),
        };
        let event: IssuesEvent = parse(body)?;
        let repository = repository_of(&event)?;
        match self.admit(&trigger, &event, &repository) {
            Ok(()) => self.enqueue(trigger, &event, repository, delivery).await.map(Ok),
            Err(ignored) => Ok(Err(ignored)),
        }
    }

    /// Whether this event, which is understood, may make a task.
    fn admit(
        &self,
        trigger: &Trigger,
        event: &IssuesEvent,
        repository: &RepositoryName,
    ) -> Result<(), Ignored> {
        trigger::check(trigger, event, &self.config.github)?;
        if self.config.repository_entry(repository).is_err() {
            return Err(Ignored::RepositoryNotAllowed(trigger::short(&repository.to_string())));
        }
        trust::check(trigger, event, &self.config.github)
    }

    async fn enqueue(
        &self,
        trigger: Trigger,
        event: &IssuesEvent,
        repository: RepositoryName,
        delivery: Option<String>,
    ) -> Result<Answer, Rejection> {
        let spec = snapshot::task_spec(trigger, repository, &event.issue, &self.classifier);
        let (task_id, specialty, priority) = (spec.id.clone(), spec.specialty.clone(), spec.priority);
        let subject = format!("{}#{}", spec.repository, event.issue.number);
        let enqueued = self.queue.enqueue_issue(spec, delivery).await;
        match enqueued.map_err(|error| Rejection::QueueDown(error.to_string()))? {
            IssueEnqueued::Created => {
                info!(task = %task_id, issue = subject, %specialty, %priority, "task created");
                Ok(Answer::TaskCreated { task_id, specialty, priority })
            }
            IssueEnqueued::Duplicate { task } | IssueEnqueued::Delivered { task } => {
                info!(%task, issue = subject, "webhook repeats a task");
                Ok(Answer::Duplicate { task_id: task })
            }
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    serde_json::from_slice(body).map_err(Rejection::malformed)
}

/// The repository's name. A path or URL would be valid for a task, but no forge calls a repository so.
fn repository_of(event: &IssuesEvent) -> Result<RepositoryName, Rejection> {
    let name: Option<RepositoryName> = event.repository.full_name.parse().ok();
    name.filter(|name| name.forge().is_some())
        .ok_or_else(|| Rejection::malformed("repository.full_name is not owner/name"))
}

fn delivery(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-github-delivery")?.to_str().ok()?;
    let fits = (1..=DELIVERY_BYTES_MAX).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| value.to_owned())
}
