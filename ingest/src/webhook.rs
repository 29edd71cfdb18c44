//! `POST /webhook/github`: a delivery in, a task or a reason why not out.
//!
//! The order is size, signature, form, event and action; then the gate: repository, own events and bots, trust.
//! Only what has passed all of them is classified and enqueued.

use std::sync::Arc;

use futures_util::Stream;
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::{debug, error, warn};
use warp::{
    Buf, Reply,
    http::{HeaderMap, StatusCode, header::ORIGIN},
    reply::Response,
};

use crate::{
    body::{Bodies, is_json},
    event::IssueEvent,
    gate::{Gate, Verdict},
    payload::Envelope,
    rejection::Rejection,
    signature::{self, SigningKey},
};

/// Longest `X-GitHub-Delivery` that is believed to be one; GitHub sends a UUID.
const DELIVERY_BYTES_MAX: usize = 100;

/// How deliveries are proven to come from the forge.
pub enum Proof {
    Signed(SigningKey),
    /// Not at all: `ingest.insecure_webhooks`.
    Unsigned,
}

/// What a delivery is proven by, and what judges it then.
pub struct Webhook {
    pub proof: Proof,
    pub bodies: Bodies,
    pub gate: Arc<Gate>,
}

/// What is answered to a delivery that was taken.
#[derive(Debug)]
enum Answer {
    Verdict(Verdict),
    Pong,
}

impl Reply for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Pong => warp::reply::json(&json!({"status": "pong"})).into_response(),
            Self::Verdict(verdict) => {
                let created = matches!(verdict, Verdict::TaskCreated { .. });
                let status = if created { StatusCode::ACCEPTED } else { StatusCode::OK };
                warp::reply::with_status(warp::reply::json(&verdict), status).into_response()
            }
        }
    }
}

impl Webhook {
    /// Answers one delivery. Never a 5xx but 503, and that only while the queue, or GitHub, cannot be used.
    pub async fn receive<B: Buf, E>(
        &self,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Response {
        match self.judge(headers, body).await {
            Ok(answer) => answer.into_response(),
            Err(rejection) => {
                if matches!(rejection, Rejection::QueueDown(_) | Rejection::GithubDown(_)) {
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
        if name == "ping" {
            return Ok(Answer::Pong);
        }
        let event = IssueEvent::of_webhook(name, &envelope, || parse(body.bytes()), delivery(headers))?;
        // The body's share of the memory is free again while the queue and GitHub are waited for.
        drop(body);
        match event {
            Ok(event) => Ok(Answer::Verdict(self.gate.pass(&event).await?)),
            Err(ignored) => {
                debug!(%ignored, "webhook ignored");
                Ok(Answer::Verdict(Verdict::Ignored { reason: ignored.to_string() }))
            }
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    serde_json::from_slice(body).map_err(Rejection::malformed)
}

fn delivery(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-github-delivery")?.to_str().ok()?;
    let fits = (1..=DELIVERY_BYTES_MAX).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| value.to_owned())
}

#[cfg(test)]
mod fuzz;
