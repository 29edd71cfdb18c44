//! Redis away: 503, and on again without a restart.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::{
    client::{Answer, Delivery, get},
    ingester::Ingester,
    webhook::payload::{self, with},
};

fn delivery(number: u64) -> Delivery {
    Delivery::json("issues", &with(payload::opened(), &[("/issue/number", json!(number))]))
}

fn assert_come_again(answer: &Answer) {
    assert_eq!((answer.status, answer.text("type")), (503, "urn:claude-cluster:queue-down"), "{answer:?}");
    assert!(answer.header("retry-after").and_then(|s| s.parse::<u32>().ok()).is_some(), "{answer:?}");
}

#[tokio::test]
async fn a_stopped_redis_means_503_and_its_return_202_without_a_restart() {
    let mut ingester = Ingester::start().await;
    assert_eq!(delivery(1).post(ingester.address).await.status, 202);
    ingester.redis.kill().unwrap();

    let lost = delivery(2);
    let began = Instant::now();
    assert_come_again(&lost.post(ingester.address).await);
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_come_again(&get(ingester.address, "/ready").await);
    assert_eq!(get(ingester.address, "/health").await.status, 200);
    let ignored = Delivery::json("push", &payload::push()).post(ingester.address).await;
    assert_eq!(ignored.status, 200, "what needs no Redis does not wait for it");

    ingester.redis.restart().unwrap();
    assert_eq!(lost.post(ingester.address).await.status, 202);
    assert_eq!(get(ingester.address, "/ready").await.status, 200);
    ingester.stop().await;
}

#[tokio::test]
async fn a_redis_that_restarts_between_two_deliveries_costs_none() {
    let mut ingester = Ingester::start().await;
    assert_eq!(delivery(1).post(ingester.address).await.status, 202);
    ingester.redis.restart().unwrap();
    assert_eq!(delivery(2).post(ingester.address).await.status, 202);
    ingester.redis.restart().unwrap();
    assert_eq!(get(ingester.address, "/ready").await.status, 200);
    ingester.stop().await;
}

#[tokio::test]
async fn a_frozen_redis_means_503_in_time_and_the_issue_still_ends_in_one_task() {
    let ingester = Ingester::start().await;
    assert_eq!(delivery(1).post(ingester.address).await.status, 202);
    ingester.redis.freeze().unwrap();

    let stuck = delivery(2);
    let began = Instant::now();
    let (answer, ready) = tokio::join!(stuck.post(ingester.address), get(ingester.address, "/ready"));
    assert_come_again(&answer);
    assert_come_again(&ready);
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());

    ingester.redis.thaw().unwrap();
    // The call outlives its request, so its task may be there already.
    let again = stuck.post(ingester.address).await;
    assert!(matches!(again.status, 202 | 200), "{again:?}");
    assert!(matches!(again.text("status"), "task_created" | "duplicate"));
    assert_eq!(ingester.pending().await, 2);
    ingester.stop().await;
}

#[tokio::test]
async fn a_full_redis_means_503() {
    let ingester = Ingester::start().await;
    ingester.redis.command::<String>(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    assert_come_again(&delivery(1).post(ingester.address).await);
    ingester.redis.command::<String>(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert_eq!(delivery(1).post(ingester.address).await.status, 202);
    ingester.stop().await;
}

#[tokio::test]
async fn a_shutdown_finishes_the_request_under_way() {
    let ingester = Ingester::start().await;
    ingester.redis.freeze().unwrap();
    let address = ingester.address;
    let under_way = tokio::spawn(async move { delivery(1).post(address).await });
    // The request is with the ingester once the queue's connection is being waited for.
    tokio::time::sleep(Duration::from_millis(300)).await;
    ingester.shutdown.cancel();
    ingester.redis.thaw().unwrap();
    assert_eq!(under_way.await.unwrap().status, 202);
    ingester.stop().await;
}
