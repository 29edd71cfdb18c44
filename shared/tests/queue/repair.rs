//! Keys that were changed by hand, a group that is gone, entries that nobody knows of: one broken thing stops
//! nobody else's tasks, and what can be mended is.

use std::{collections::HashMap, time::Duration};

use shared::{
    Failure, Outcome, Status,
    queue::{Renewal, Settlement, Swept},
};

use crate::setting::{LEASE_MS, Setting, backend, holder};

fn done() -> Outcome {
    Outcome::NoChange { answer: String::new() }
}

async fn ids(s: &Setting, node: &str) -> Vec<String> {
    s.claim(&holder(node), 9).await.into_iter().map(|claimed| claimed.lease.id.to_string()).collect()
}

/// Sweeps like a living fleet until `reached`.
async fn swept_until(s: &Setting, mut reached: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !reached().await {
        assert!(tokio::time::Instant::now() < deadline, "swept in vain");
        s.queue.sweep(&backend()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_group_that_was_destroyed_is_made_again_and_no_task_is_lost_or_taken_twice() {
    let s = Setting::new();
    for id in ["active", "released", "delayed"] {
        s.enqueued(id).await;
    }
    let tasks = s.claim(&holder("w1"), 3).await;
    let [active, released, delayed] = tasks.as_slice() else { panic!("three") };
    let failure = Failure::transient("x");
    s.queue.retry(&delayed.lease, &failure, Duration::from_secs(60)).await.unwrap();
    s.enqueued("pending").await;
    s.redis::<u64>("XGROUP DESTROY $:{backend}:tasks:medium workers");
    assert_eq!(s.queue.release(&released.lease, "shutdown").await.unwrap(), Settlement::Done);
    s.redis::<u64>("XGROUP DESTROY $:{backend}:tasks:medium workers");
    assert_eq!(ids(&s, "w2").await, ["released", "pending"]);
    assert_eq!(ids(&s, "w3").await, [""; 0]);
    assert_eq!(s.queue.renew(std::slice::from_ref(&active.lease)).await.unwrap(), [Renewal::Held]);
    // Its entry is at its worker again: given back, it goes to another with its specification.
    assert_eq!(s.queue.holding(&holder("w1"), &backend()).await.unwrap().len(), 1);
    s.queue.release(&active.lease, "shutdown").await.unwrap();
    let again = s.claimed(&holder("w3")).await;
    assert_eq!((again.lease.id.as_str(), again.spec.unwrap().body.as_str()), ("active", "the body"));
    let counts = s.queue.counts(&backend()).await.unwrap();
    assert_eq!((counts.pending, counts.active, counts.delayed), (0, 3, 1));
}

#[tokio::test]
async fn a_broken_record_stops_neither_the_claim_nor_the_renewal_nor_the_sweep_of_others() {
    let s = Setting::with(|q| q.sweep_ms = LEASE_MS);
    for id in ["a", "b", "c"] {
        s.enqueued(id).await;
    }
    s.redis::<u64>("DEL $:{backend}:task:b");
    s.redis::<()>("SET $:{backend}:task:b junk");
    s.redis::<u64>("HSET $:{backend}:task:c fence junk attempts junk runs junk");
    let tasks = s.claim(&holder("w1"), 3).await;
    assert_eq!(tasks.iter().map(|t| t.lease.id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    s.redis::<u64>("DEL $:{backend}:task:a");
    s.redis::<()>("SET $:{backend}:task:a junk");
    s.redis::<u64>("HDEL $:{backend}:task:c priority created_at worker");
    let leases: Vec<_> = tasks.into_iter().map(|task| task.lease).collect();
    assert_eq!(s.queue.renew(&leases).await.unwrap(), [Renewal::Lost, Renewal::Held]);
    assert_eq!(s.queue.release(&leases[1], "shutdown").await.unwrap(), Settlement::Done);
    assert_eq!(ids(&s, "w2").await, ["c"]);
    assert!(matches!(s.queue.sweep(&backend()).await.unwrap(), Swept::Done { .. }));
}

#[tokio::test]
async fn events_and_counters_of_the_wrong_type_stop_no_task() {
    let s = Setting::new();
    for key in ["events", "stats", "wake"] {
        s.redis::<()>(&format!("SET $:{{backend}}:{key} junk"));
    }
    let id = s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    s.queue.release(&lease, "shutdown").await.unwrap();
    let lease = s.claimed(&holder("w1")).await.lease;
    assert_eq!(s.queue.complete(&lease, &done()).await.unwrap(), Settlement::Done);
    assert_eq!(s.status(&id).await, "completed");
    s.assert_drained();
}

#[tokio::test]
async fn an_entry_that_was_delivered_and_leased_to_nobody_is_found_by_sweeps() {
    let s = Setting::new();
    s.enqueued("first").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    s.queue.complete(&lease, &done()).await.unwrap();
    for id in ["a", "b"] {
        s.enqueued(id).await;
    }
    s.redis::<redis::Value>("XREADGROUP GROUP workers ghost COUNT 1 STREAMS $:{backend}:tasks:medium >");
    assert_eq!(ids(&s, "w1").await, ["b"], "a is in nobody's hands");
    swept_until(&s, async || ids(&s, "w1").await == ["a"]).await;
}

#[tokio::test]
async fn an_active_task_without_a_lease_gets_one_so_that_it_can_run_out() {
    let s = Setting::new();
    s.enqueued("a").await;
    s.claimed(&holder("w1")).await;
    s.redis::<u64>("ZREM $:{backend}:leases a");
    swept_until(&s, async || s.redis::<u64>("ZCARD $:{backend}:leases") == 1).await;
}

#[tokio::test]
async fn a_returned_task_whose_entry_was_removed_by_hand_is_handed_out_to_be_failed() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    s.queue.release(&lease, "shutdown").await.unwrap();
    s.redis::<u64>("DEL $:{backend}:tasks:medium");
    let claimed = s.claimed(&holder("w2")).await;
    let why = claimed.spec.unwrap_err();
    assert!(why.contains("missing"), "{why}");
    s.queue.fail(&claimed.lease, &Failure::configuration(why)).await.unwrap();
    assert!(matches!(s.queue.task(&id).await.unwrap().unwrap().status, Status::Failed { .. }));
    s.assert_drained();
}

#[tokio::test]
async fn consumers_of_workers_that_are_gone_for_long_are_forgotten_unless_they_hold_something() {
    // A hundred leases are long: a tenth of a second here.
    let s = Setting::with(|q| (q.lease_ms, q.sweep_ms) = (1, 1));
    s.enqueued("a").await;
    let lease = s.claimed(&holder("gone")).await.lease;
    s.queue.complete(&lease, &done()).await.unwrap();
    s.enqueued("b").await;
    s.redis::<redis::Value>("XREADGROUP GROUP workers holds COUNT 1 STREAMS $:{backend}:tasks:medium >");
    tokio::time::sleep(Duration::from_millis(150)).await;
    let consumers = || {
        let consumers: Vec<HashMap<String, redis::Value>> =
            s.redis("XINFO CONSUMERS $:{backend}:tasks:medium workers");
        let name = |c: &HashMap<String, redis::Value>| redis::from_redis_value_ref(&c["name"]).unwrap();
        consumers.iter().map(name).collect::<Vec<String>>()
    };
    assert_eq!(consumers(), ["gone", "holds"]);
    swept_until(&s, async || !consumers().contains(&"gone".to_owned())).await;
    // What it held waits for others; then it is forgotten too.
    swept_until(&s, async || consumers() == ["-"]).await;
    assert_eq!(ids(&s, "w1").await, ["b"]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_keeps_neither_a_dead_worker_s_task_nor_a_retry_for_that_long() {
    let s = Setting::with(|q| q.sweep_ms = 20);
    for id in ["dead", "retried"] {
        s.enqueued(id).await;
    }
    let tasks = s.claim(&holder("w1"), 2).await;
    s.queue.retry(&tasks[1].lease, &Failure::transient("x"), Duration::from_secs(1)).await.unwrap();
    // All times written so far lie an hour ahead of a clock that was set back.
    let ahead = 3_600_000 + s.redis::<(u64, u64)>("TIME").0 * 1_000;
    s.redis::<u64>(&format!("HSET $:{{backend}}:sweep at {ahead} next {ahead}"));
    s.redis::<u64>(&format!("ZADD $:{{backend}}:leases {} dead", ahead + LEASE_MS));
    s.redis::<u64>(&format!("ZADD $:{{backend}}:delayed {} retried", ahead + 100));
    swept_until(&s, async || s.queue.counts(&backend()).await.unwrap().pending == 2).await;
}
