//! Redis away: 503, and on again without a restart.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::{api::call::Call, client::Answer, ingester::Ingester};

fn assert_come_again(answer: &Answer) {
    assert_eq!((answer.status, answer.problem()), (503, "queue-down"), "{answer:?}");
    assert!(answer.header("retry-after").and_then(|s| s.parse::<u32>().ok()).is_some(), "{answer:?}");
}

fn post(id: &str) -> Call {
    Call::post("/api/tasks", &json!({"task_id": id, "repository": "acme/shop"}))
}

#[tokio::test]
async fn a_stopped_redis_means_503_for_everything_that_needs_it() {
    let mut ingester = Ingester::start().await;
    assert_eq!(post("t-1").send(ingester.api).await.status, 201);
    ingester.redis.kill().unwrap();
    for path in [
        "/ready",
        "/status",
        "/api/cluster/status",
        "/api/queue/status",
        "/api/agents",
        "/api/tasks",
        "/api/tasks/t-1",
    ] {
        assert_come_again(&Call::get(path).send(ingester.api).await);
    }
    let cancel = Call::post("/api/tasks/t-1/cancel", &json!({}));
    let lost = post("t-2");
    let (posted, cancelled) = tokio::join!(lost.send(ingester.api), cancel.send(ingester.api));
    assert_come_again(&posted);
    assert_come_again(&cancelled);
    assert_eq!(Call::get("/health").send(ingester.api).await.status, 200);
    assert_eq!(Call::post("/api/tasks", &json!({})).send(ingester.api).await.status, 422);

    ingester.redis.restart().unwrap();
    assert_eq!(lost.send(ingester.api).await.status, 201);
    assert_eq!(Call::get("/api/tasks/t-1").send(ingester.api).await.text("status"), "pending");
    ingester.stop().await;
}

#[tokio::test]
async fn a_redis_that_restarts_between_two_requests_costs_none() {
    let mut ingester = Ingester::start().await;
    assert_eq!(post("t-1").send(ingester.api).await.status, 201);
    ingester.redis.restart().unwrap();
    assert_eq!(post("t-2").send(ingester.api).await.status, 201);
    ingester.redis.restart().unwrap();
    assert_eq!(Call::get("/api/tasks/t-2").send(ingester.api).await.status, 200);
    ingester.stop().await;
}

#[tokio::test]
async fn a_frozen_redis_means_503_in_time_and_the_task_still_comes_to_be_once() {
    let ingester = Ingester::start().await;
    assert_eq!(post("t-1").send(ingester.api).await.status, 201);
    ingester.redis.freeze().unwrap();
    let began = Instant::now();
    let (stuck, read) = (post("t-2"), Call::get("/api/tasks/t-1"));
    let (posted, read) = tokio::join!(stuck.send(ingester.api), read.send(ingester.api));
    assert_come_again(&posted);
    assert_come_again(&read);
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    ingester.redis.thaw().unwrap();
    assert!(matches!(stuck.send(ingester.api).await.status, 200 | 201));
    assert_eq!(ingester.pending().await, 2);
    ingester.stop().await;
}

#[tokio::test]
async fn a_full_redis_takes_no_task_and_still_shows_what_there_is() {
    let ingester = Ingester::start().await;
    assert_eq!(post("t-1").send(ingester.api).await.status, 201);
    ingester.redis.command::<String>(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    assert_come_again(&post("t-2").send(ingester.api).await);
    for path in ["/api/tasks/t-1", "/api/tasks", "/api/queue/status", "/api/cluster/status", "/status"] {
        assert_eq!(Call::get(path).send(ingester.api).await.status, 200, "{path}");
    }
    let cancelled = Call::post("/api/tasks/t-1/cancel", &json!({})).send(ingester.api).await;
    assert_eq!((cancelled.status, cancelled.text("status")), (200, "cancelled"));
    ingester.stop().await;
}
