//! `/health` says that the process lives, `/ready` that webhooks can become tasks.

use serde::Serialize;
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
}

/// Always 200: a process that restarts cannot mend Redis.
pub fn health() -> Response {
    warp::reply::json(&Health { status: "ok", version: env!("CARGO_PKG_VERSION") }).into_response()
}

/// 200 while Redis answers, else 503 with what is wrong.
pub async fn ready(queue: BoundedQueue) -> Response {
    match queue.check().await {
        Ok(facts) => warp::reply::json(&Ready { status: "ready", redis: facts.version }).into_response(),
        Err(error) => Rejection::QueueDown(error.to_string()).into_response(),
    }
}
