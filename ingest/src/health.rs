//! `/health` says that the process lives, `/ready` that webhooks can become tasks, `/metrics` what is measured.

use serde::Serialize;
use shared::{
    github::{METRICS_TYPE, Rate},
    queue::ServerFacts,
};
use warp::{Reply, http::header::CONTENT_TYPE, reply::Response};

use crate::{bounded_queue::BoundedQueue, rejection::Rejection};

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Ready {
    status: &'static str,
    redis: String,
    /// Of GitHub's rate limit, as its last answer said.
    #[serde(skip_serializing_if = "Option::is_none")]
    github_requests_left: Option<u64>,
}

/// As it is shown.
pub fn version(facts: ServerFacts) -> String {
    facts.version.unwrap_or_else(|| "unknown: its user may not ask".to_owned())
}

/// Always 200: a process that restarts cannot mend Redis.
pub fn health() -> Response {
    warp::reply::json(&Health { status: "ok", version: env!("CARGO_PKG_VERSION") }).into_response()
}

/// What is measured here, as Prometheus reads it.
pub fn metrics(rate: Option<Rate>) -> Response {
    let text = Rate::metrics(rate);
    warp::reply::with_header(text, CONTENT_TYPE, METRICS_TYPE).into_response()
}

/// 200 while Redis answers, else 503 with what is wrong.
pub async fn ready(queue: BoundedQueue, rate: Option<Rate>) -> Response {
    let github_requests_left = rate.map(|rate| rate.remaining);
    match queue.check().await {
        Ok(facts) => {
            let ready = Ready { status: "ready", redis: version(facts), github_requests_left };
            warp::reply::json(&ready).into_response()
        }
        Err(error) => Rejection::QueueDown(error.to_string()).into_response(),
    }
}
