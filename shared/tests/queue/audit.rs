//! The audit of the whole state, which the model and the chaos suite rest on: it finds what is wrong, and
//! nothing where nothing is.

use std::time::Duration;

use shared::{
    Failure, Outcome, Priority, TaskSpec,
    queue::{ClaimHeld, Expense},
    task_log::{LogLine, LogStream},
};

use crate::setting::{Setting, backend, holder, task};

/// One task in each place that a task can be in.
async fn every_state() -> Setting {
    let s = Setting::with(|q| q.lease_ms = 600_000);
    let w = holder("w1");
    for id in ["active", "delayed", "returned", "completed", "failed", "cancelled"] {
        s.enqueued(id).await;
    }
    let tasks: Vec<_> = s.claim(&w, 6).await.into_iter().map(|claimed| claimed.lease).collect();
    let cost = Expense { number: 1, micro_usd: 10 };
    s.queue.charge(&tasks[0], Some("team"), cost).await.unwrap();
    let line = LogLine::new(LogStream::Agent, "a line");
    s.queue.append_log(&tasks[0], 1, &[line.into()]).await.unwrap();
    s.queue.retry(&tasks[1], &Failure::transient("x"), Duration::from_secs(600)).await.unwrap();
    s.queue.release(&tasks[2], "shutdown").await.unwrap();
    s.queue.complete(&tasks[3], &Outcome::NoChange { answer: String::new() }).await.unwrap();
    s.queue.fail(&tasks[4], &Failure::task("red")).await.unwrap();
    s.queue.cancel(&tasks[5].id, "ada").await.unwrap();
    s.queue.release(&tasks[5], "cancelled").await.unwrap();
    for id in ["held", "direct", "given"] {
        s.queue.hold(&task(id, "backend")).await.unwrap();
    }
    let direct = s.queue.claim_held(&w, &"direct".parse().unwrap(), "n").await.unwrap();
    assert!(matches!(direct, ClaimHeld::Claimed(_)));
    s.queue.release_held(&"given".parse().unwrap()).await.unwrap();
    let issue = TaskSpec { priority: Priority::Low, issue: Some(7), ..task("waiting", "backend") };
    s.queue.enqueue_issue(&issue, Some("delivery")).await.unwrap();
    s.queue.sweep(&backend()).await.unwrap();
    s
}

#[tokio::test]
async fn nothing_is_found_where_every_task_is_where_it_belongs() {
    let s = every_state().await;
    let audit = s.audit();
    audit.assert_sound();
    let counts: Vec<_> = audit.tasks.iter().map(|(status, count)| (status.as_str(), *count)).collect();
    let expected = [
        ("active", 2),
        ("cancelled", 1),
        ("completed", 1),
        ("delayed", 1),
        ("failed", 1),
        ("held", 1),
        ("pending", 3),
    ];
    assert_eq!(counts, expected);
    assert_eq!((audit.under_way(), audit.outbox, audit.never_enqueued.len()), (7, 0, 0));
}

#[tokio::test]
async fn each_thing_that_is_out_of_place_is_found() {
    let damages = [
        ("a lease that is gone", "ZREM $:{backend}:leases active"),
        ("a lease of nobody", "ZADD $:{backend}:leases 1 nobody"),
        ("a lease of a settled task", "ZADD $:{backend}:leases 1 failed"),
        ("a returned task that left its line", "ZREM $:{backend}:again returned"),
        ("a returned task in the wrong place", "ZADD $:{backend}:again 1 returned"),
        ("a retry that never comes due", "ZREM $:{backend}:delayed delayed"),
        ("a retry that comes at another time", "ZADD $:{backend}:delayed 1 delayed"),
        ("a held task that nobody lists", "ZREM $:{backend}:held held"),
        ("a direct task that is not counted", "SREM $:{backend}:direct direct"),
        ("a settled task in two indexes", "ZADD $:{backend}:finished 1 failed"),
        ("a status that does not exist", "HSET $:{backend}:task:active status lost"),
        ("a status that the indexes deny", "HSET $:{backend}:task:active status pending"),
        ("an entry at another worker", "HSET $:{backend}:task:active worker w2"),
        ("an entry that no record names", "XADD $:{backend}:tasks:high * task nobody spec x"),
        ("a second entry of a task", "XADD $:{backend}:tasks:high * task waiting spec x"),
        ("entries that are gone", "DEL $:{backend}:tasks:medium"),
        ("an entry in nobody's hands", "XGROUP CREATE $:{backend}:tasks:low workers 9999999999999-0"),
        ("a group that is gone", "XGROUP DESTROY $:{backend}:tasks:medium workers"),
        ("a specification that is gone", "DEL $:{backend}:spec:failed"),
        ("a specification without a task", "SET $:{backend}:spec:nobody x"),
        ("a locator that is gone", "DEL $:task:active"),
        ("a locator to another specialty", "SET $:task:active frontend"),
        ("a locator that ends too early", "PEXPIRE $:task:active 60000"),
        ("a locator that never ends", "PERSIST $:task:failed"),
        ("an issue that is never free again", "SET $:issue:octo/cat#8 failed"),
        ("a delivery that never ends", "PERSIST $:delivery:delivery"),
        ("a log that never ends", "PERSIST $:{backend}:log:active"),
        ("a counter that does not add up", "HINCRBY $:{backend}:stats completed 1"),
        ("a specialty that nobody lists", "SREM $:specialties backend"),
        ("a cost that nobody charged", "HSET $:{backend}:task:failed micro_usd 5"),
        ("a cost that a later lease charged", "HSET $:{backend}:task:active charged 9999999999999999:1"),
        ("an account's day that never ends", "PERSIST $:account:{$:account:team:limited}:spent"),
        ("an account's day that is no sum", "HSET $:account:{$:account:team:limited}:spent micro_usd x"),
        ("a key of the specialty that nobody knows", "SET $:{backend}:other x"),
        ("a key that nobody knows", "SET $:other x"),
    ];
    let s = every_state().await;
    for (what, damage) in damages {
        let before = s.dump();
        s.redis::<redis::Value>(damage);
        assert!(!s.audit().findings.is_empty(), "{what} is not found: {damage}");
        s.restore(&before);
    }
    s.audit().assert_sound();
}

#[tokio::test]
async fn what_exceeds_its_limit_is_found() {
    let s = Setting::with(|q| (q.finished_count_max, q.events_count_max) = (2, 1));
    for i in 0..3 {
        s.redis::<u64>(&format!("HSET $:{{backend}}:task:t{i} status completed"));
        s.redis::<u64>(&format!("ZADD $:{{backend}}:finished 1 t{i}"));
    }
    for _ in 0..102 {
        s.redis::<String>("XADD $:{backend}:events * event pending");
    }
    let findings = s.audit().findings.join("\n");
    assert!(findings.contains("completed tasks: 3 is more than 2"), "{findings}");
    assert!(findings.contains("events: 102 is more than 101"), "{findings}");
}

#[tokio::test]
async fn an_id_that_was_taken_and_never_enqueued_is_told_apart() {
    let s = Setting::new();
    s.redis::<()>("SET $:task:a backend");
    let audit = s.audit();
    assert_eq!(audit.assert_settled().never_enqueued, ["a"]);
}
