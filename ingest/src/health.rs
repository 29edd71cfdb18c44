//! `/health` says that the process lives, `/ready` that webhooks can become tasks.

use serde::Serialize;
use shared::queue::ServerFacts;
use warp::{Reply, reply::Response};

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

/// 200 while Redis answers, else 503 with what is wrong.
pub async fn ready(queue: BoundedQueue, github_requests_left: Option<u64>) -> Response {
    match queue.check().await {
        Ok(facts) => {
            let ready = Ready { status: "ready", redis: version(facts), github_requests_left };
            warp::reply::json(&ready).into_response()
        }
        Err(error) => Rejection::QueueDown(error.to_string()).into_response(),
    }
}
