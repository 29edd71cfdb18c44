//! Workers that die, freeze, or are declared dead: who holds the task, and what their late words do.

use std::time::Duration;

use shared::{
    FailureClass, Outcome, Status, TaskId,
    queue::{Holder, Renewal, Settlement, Swept},
};

use crate::setting::{LEASE_MS, Setting, backend, holder, task};

/// Three of these are a gap; a busy machine must not make one by itself.
const CALM_SWEEP_MS: u64 = 400;

/// Sweeps like a living fleet until leases have run out; returns how many.
async fn leases_run_out(s: &Setting) -> u64 {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while tokio::time::Instant::now() < deadline {
        if let Swept::Done { lost: lost @ 1.., .. } = s.queue.sweep(&backend()).await.unwrap() {
            return lost;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    0
}

async fn lost_of(s: &Setting, id: &TaskId) -> u32 {
    s.queue.task(id).await.unwrap().unwrap().lost
}

#[tokio::test]
async fn a_silent_worker_loses_its_task_and_its_late_words_change_nothing() {
    let s = Setting::with(|q| q.sweep_ms = CALM_SWEEP_MS);
    s.enqueued("a").await;
    let dead = s.claimed(&holder("w1")).await.lease;
    assert_eq!(leases_run_out(&s).await, 1);
    let living = s.claimed(&holder("w2")).await.lease;
    assert_eq!(living.id, dead.id);
    assert!(living.fence > dead.fence);
    assert_eq!(s.queue.renew(std::slice::from_ref(&dead)).await.unwrap(), [Renewal::Lost]);
    assert!(!s.queue.still_held(&dead).await.unwrap());
    assert!(!s.queue.set_phase(&dead, "publishing").await.unwrap());
    let outcome = Outcome::NoChange { answer: "late".to_owned() };
    assert_eq!(s.queue.complete(&dead, &outcome).await.unwrap(), Settlement::Stale);
    assert_eq!(s.queue.renew(std::slice::from_ref(&living)).await.unwrap(), [Renewal::Held]);
    assert_eq!(s.queue.complete(&living, &outcome).await.unwrap(), Settlement::Done);
    s.assert_drained();
}

#[tokio::test]
async fn a_renewed_lease_is_never_swept() {
    let s = Setting::with(|q| q.sweep_ms = CALM_SWEEP_MS);
    let id = s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    for _ in 0..8 {
        assert_eq!(s.queue.renew(std::slice::from_ref(&lease)).await.unwrap(), [Renewal::Held]);
        s.queue.sweep(&backend()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(LEASE_MS / 4)).await;
    }
    assert_eq!(s.status(&id).await, "active");
}

#[tokio::test]
async fn a_worker_frozen_beyond_its_lease_goes_on_when_nobody_took_its_task() {
    let s = Setting::with(|q| q.sweep_ms = CALM_SWEEP_MS);
    let id = s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    assert_eq!(leases_run_out(&s).await, 1);
    assert_eq!((s.status(&id).await.as_str(), lost_of(&s, &id).await), ("pending", 1));
    assert_eq!(s.queue.renew(std::slice::from_ref(&lease)).await.unwrap(), [Renewal::Held]);
    assert_eq!((s.status(&id).await.as_str(), lost_of(&s, &id).await), ("active", 0));
    assert!(s.claim(&holder("w2"), 1).await.is_empty(), "nobody else gets it");
    let outcome = Outcome::NoChange { answer: "done".to_owned() };
    assert_eq!(s.queue.complete(&lease, &outcome).await.unwrap(), Settlement::Done);
    s.assert_drained();
}

#[tokio::test]
async fn a_held_task_that_was_lost_is_taken_back_by_its_holder_or_claimed_by_another() {
    let s = Setting::with(|q| q.sweep_ms = CALM_SWEEP_MS);
    let spec = task("a", "backend");
    s.queue.hold(&spec).await.unwrap();
    let shared::queue::ClaimHeld::Claimed(claimed) =
        s.queue.claim_held(&holder("w1"), &spec.id, "n").await.unwrap()
    else {
        panic!("claimed")
    };
    assert_eq!(leases_run_out(&s).await, 1);
    assert_eq!(s.queue.renew(std::slice::from_ref(&claimed.lease)).await.unwrap(), [Renewal::Held]);
    assert!(s.claim(&holder("w2"), 1).await.is_empty());
    assert_eq!(leases_run_out(&s).await, 1);
    let other = s.claimed(&holder("w2")).await;
    assert_eq!(other.spec.unwrap(), spec);
    assert_eq!(s.queue.renew(std::slice::from_ref(&claimed.lease)).await.unwrap(), [Renewal::Lost]);
}

#[tokio::test]
async fn a_released_task_is_not_taken_back_by_a_late_renewal() {
    let s = Setting::new();
    s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    s.queue.release(&lease, "shutdown").await.unwrap();
    assert_eq!(s.queue.renew(std::slice::from_ref(&lease)).await.unwrap(), [Renewal::Lost]);
}

#[tokio::test]
async fn a_task_that_kills_its_worker_each_time_fails_as_poison_after_three() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    for life in 1..=3 {
        let now = Holder { node: "w1".to_owned(), incarnation: format!("w1-{life}") };
        let lease = s.claimed(&now).await.lease;
        assert!(s.queue.set_phase(&lease, "preparing").await.unwrap(), "it begins");
        let next = Holder { node: "w1".to_owned(), incarnation: format!("w1-{}", life + 1) };
        let expected = if life < 3 { (1, 0) } else { (0, 1) };
        assert_eq!(s.queue.forfeit(&next, &backend()).await.unwrap(), expected);
        assert_eq!(s.queue.forfeit(&next, &backend()).await.unwrap(), (0, 0), "once only");
    }
    let Status::Failed { class, message, .. } = s.queue.task(&id).await.unwrap().unwrap().status else {
        panic!("failed")
    };
    assert_eq!(class, FailureClass::LostWorker);
    assert!(message.contains("3 workers"), "{message}");
    s.assert_no_task_under_way();
    if s.has_everything() {
        assert!(s.redis::<i64>("PTTL $:task:a") > 0, "the locator ends some day");
        assert_eq!(s.redis::<u64>("XLEN $:{backend}:outbox"), 0);
    } else {
        assert_eq!(s.redis::<u64>("XLEN $:{backend}:outbox"), 1, "what is due elsewhere is left to a sweep");
    }
}

#[tokio::test]
async fn a_restarted_worker_gets_its_former_tasks_back_first() {
    let s = Setting::new();
    for id in ["a", "b", "c"] {
        s.enqueued(id).await;
    }
    s.claimed(&holder("w1")).await;
    let other = s.claimed(&holder("w2")).await.lease;
    let successor = Holder { node: "w1".to_owned(), incarnation: "w1-2".to_owned() };
    assert_eq!(s.queue.forfeit(&successor, &backend()).await.unwrap(), (1, 0));
    assert_eq!(s.claimed(&successor).await.lease.id.as_str(), "a");
    assert_eq!(s.queue.renew(std::slice::from_ref(&other)).await.unwrap(), [Renewal::Held]);
}

#[tokio::test]
async fn a_gap_between_sweeps_gives_living_workers_a_lease_of_grace() {
    let s = Setting::with(|q| q.sweep_ms = 20);
    let id = s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    s.queue.sweep(&backend()).await.unwrap();
    // Nobody sweeps and nobody renews: Redis was away.
    tokio::time::sleep(Duration::from_millis(LEASE_MS * 2)).await;
    let Swept::Done { lost, .. } = s.queue.sweep(&backend()).await.unwrap() else { panic!("due") };
    assert_eq!(lost, 0);
    assert_eq!(s.queue.renew(std::slice::from_ref(&lease)).await.unwrap(), [Renewal::Held]);
    assert_eq!((s.status(&id).await.as_str(), lost_of(&s, &id).await), ("active", 0));
}

#[tokio::test]
async fn what_runs_out_during_the_grace_is_not_counted_towards_poison() {
    let s = Setting::with(|q| q.sweep_ms = 20);
    let id = s.enqueued("a").await;
    s.claimed(&holder("w1")).await;
    s.queue.sweep(&backend()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(LEASE_MS * 2)).await;
    assert_eq!(leases_run_out(&s).await, 1);
    assert_eq!((s.status(&id).await.as_str(), lost_of(&s, &id).await), ("pending", 0));
}

#[tokio::test]
async fn a_clock_that_was_set_back_neither_stops_recovery_nor_takes_living_tasks() {
    let s = Setting::with(|q| q.sweep_ms = 20);
    let id = s.enqueued("a").await;
    s.claimed(&holder("w1")).await;
    // The last sweep, and a grace it began, lie an hour ahead of a clock that was set back.
    let ahead = 3_600_000 + s.redis::<(u64, u64)>("TIME").0 * 1_000;
    s.redis::<()>(&format!("HSET $:{{backend}}:sweep at {ahead} next {ahead} grace {ahead}"));
    let Swept::Done { lost, .. } = s.queue.sweep(&backend()).await.unwrap() else { panic!("not throttled") };
    assert_eq!(lost, 0);
    tokio::time::sleep(Duration::from_millis(LEASE_MS)).await;
    assert_eq!(leases_run_out(&s).await, 1);
    assert_eq!(s.status(&id).await, "pending");
}

#[tokio::test]
async fn a_clock_that_was_set_forward_takes_nothing_from_the_living_and_keeps_nothing_of_the_dead() {
    let s = Setting::with(|q| (q.lease_ms, q.sweep_ms) = (60_000, 2_000));
    for id in ["living", "dead"] {
        s.enqueued(id).await;
    }
    let living = [s.claimed(&holder("w1")).await.lease];
    s.claimed(&holder("w2")).await;
    s.queue.sweep(&backend()).await.unwrap();
    s.pass(Duration::from_secs(3_600));
    let Swept::Done { lost, .. } = s.queue.sweep(&backend()).await.unwrap() else { panic!("due") };
    assert_eq!(lost, 0, "every lease ran out an hour ago, and nobody was asked yet");
    // The living renew, the fleet sweeps; the dead have a lease of grace and no more.
    let mut lost = 0;
    for _ in 0..50 {
        assert_eq!(s.queue.renew(&living).await.unwrap(), [Renewal::Held]);
        s.pass(Duration::from_secs(2));
        if let Swept::Done { lost: now, .. } = s.queue.sweep(&backend()).await.unwrap() {
            lost += now;
        }
    }
    assert_eq!(lost, 1);
    assert_eq!(s.claimed(&holder("w3")).await.lease.id.as_str(), "dead");
    assert_eq!(lost_of(&s, &living[0].id).await, 0);
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_found_again() {
    let s = Setting::new();
    for id in ["a", "b"] {
        s.enqueued(id).await;
    }
    let w = holder("w1");
    let claimed = s.claim(&w, 2).await;
    let held = s.queue.holding(&w, &backend()).await.unwrap();
    assert_eq!(held, claimed);
    // What it gave back is not among them, nor what a former self took.
    s.queue.release(&claimed[0].lease, "shutdown").await.unwrap();
    assert_eq!(s.queue.holding(&w, &backend()).await.unwrap(), claimed[1..]);
    let successor = Holder { incarnation: "w1-2".to_owned(), ..w };
    assert!(s.queue.holding(&successor, &backend()).await.unwrap().is_empty());
}

#[tokio::test]
async fn fences_differ_even_when_a_failover_forgets_a_claim() {
    let s = Setting::new();
    s.enqueued("a").await;
    let before: std::collections::HashMap<String, String> = s.redis("HGETALL $:{backend}:task:a");
    let first = s.claimed(&holder("w1")).await.lease;
    // The replica that takes over never saw the claim.
    s.redis::<()>("DEL $:{backend}:task:a $:{backend}:leases");
    for (name, value) in before {
        let value = value.replace(' ', "_");
        s.redis::<u64>(&format!("HSET $:{{backend}}:task:a {name} {value}"));
    }
    s.redis::<String>("XGROUP SETID $:{backend}:tasks:medium workers 0");
    let second = s.claimed(&holder("w2")).await.lease;
    assert!(second.fence > first.fence);
    let outcome = Outcome::NoChange { answer: String::new() };
    assert_eq!(s.queue.complete(&first, &outcome).await.unwrap(), Settlement::Stale);
    assert_eq!(s.queue.complete(&second, &outcome).await.unwrap(), Settlement::Done);
}

#[tokio::test]
async fn an_outage_shorter_than_three_sweeps_takes_nothing_from_the_living_either() {
    // Somebody shortened the lease and left the sweeps as they were.
    let s = Setting::with(|q| q.sweep_ms = 2_000);
    s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    let now: (u64, u64) = s.redis("TIME");
    let ago = |ms: u64| now.0 * 1_000 + now.1 / 1_000 - ms;
    s.redis::<u64>(&format!("HSET $:{{backend}}:sweep at {} next {}", ago(LEASE_MS), ago(1)));
    s.redis::<u64>(&format!("ZADD $:{{backend}}:leases {} a", ago(1)));
    let Swept::Done { lost, .. } = s.queue.sweep(&backend()).await.unwrap() else { panic!("due") };
    assert_eq!(lost, 0);
    assert_eq!(s.queue.renew(&[lease]).await.unwrap(), [Renewal::Held]);
}

#[tokio::test]
async fn more_leases_than_one_sweep_takes_are_swept_at_once_and_those_of_the_living_stay() {
    let s = Setting::with(|q| (q.lease_ms, q.sweep_ms) = (60_000, CALM_SWEEP_MS));
    for i in 0..260 {
        s.enqueued(&format!("t{i}")).await;
    }
    let dead = s.claim(&holder("dead"), 250).await;
    let living: Vec<_> = s.claim(&holder("living"), 10).await.into_iter().map(|task| task.lease).collect();
    for claimed in &dead {
        s.redis::<u64>(&format!("ZADD $:{{backend}}:leases 1 {}", claimed.lease.id));
    }
    let mut taken = Vec::new();
    loop {
        let swept = s.queue.sweep(&backend()).await.unwrap();
        let Swept::Done { lost, next, .. } = swept else { panic!("not throttled while there is more") };
        taken.push(lost);
        if !next.is_zero() {
            break;
        }
    }
    assert_eq!(taken, [100, 100, 50]);
    assert_eq!(s.queue.renew(&living).await.unwrap(), vec![Renewal::Held; 10]);
    assert_eq!(s.claimed(&holder("w2")).await.lease.id.as_str(), "t0", "the oldest first");
}
