//! Thousands of tasks and waiters: what has a limit stays within it, and nobody is woken for nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use shared::{
    Outcome, TaskSpec,
    queue::{Claim, Settlement},
};
use testkit::RedisServer;
use tokio::sync::mpsc;

use crate::setting::{Setting, backend, holder, queue_at, task};

#[tokio::test]
async fn many_thousand_settlements_leave_indexes_events_and_locators_within_their_limits() {
    let (kept, events) = (300, 500);
    let s = Setting::with(|q| {
        q.lease_ms = 60_000;
        q.finished_count_max = kept;
        q.events_count_max = events;
    });
    let outcome = Outcome::NoChange { answer: String::new() };
    for round in 0..50 {
        let specs: Vec<TaskSpec> = (0..100).map(|i| task(&format!("t{round}-{i}"), "backend")).collect();
        assert!(s.queue.enqueue_all(&specs).await.iter().all(Result::is_ok));
        let claimed = s.claim(&holder("w1"), 100).await;
        let settled = join_all(claimed.iter().map(|c| s.queue.complete(&c.lease, &outcome))).await;
        assert!(settled.into_iter().all(|settlement| settlement.unwrap() == Settlement::Done));
        assert!(s.redis::<u64>("ZCARD $:{backend}:finished") <= kept);
        // Trimmed by whole nodes of the stream, of a hundred entries each.
        assert!(s.redis::<u64>("XLEN $:{backend}:events") <= events + 100);
    }
    s.assert_drained();
    let oldest: Vec<String> = s.redis("ZRANGE $:{backend}:finished 0 0");
    assert_eq!(s.redis::<u64>(&format!("EXISTS $:{{backend}}:task:{0} $:task:{0}", oldest[0])), 2);
    assert_eq!(s.redis::<u64>("EXISTS $:{backend}:task:t0-0 $:task:t0-0"), 0, "nor is a locator left");
}

/// Waiters that take one task each time they are woken and wait again.
const WAITERS: usize = 1_000;

#[tokio::test]
async fn of_a_thousand_waiting_workers_a_task_wakes_one_and_a_burst_as_many_as_it_needs() {
    let server = RedisServer::start_with(&["--appendonly", "no"]).unwrap();
    let queue = queue_at(&server.url(), "ccc", |q| q.lease_ms = 60_000);
    let woken = Arc::new(AtomicU32::new(0));
    let (taken, mut started) = mpsc::unbounded_channel();
    let mut waiters = tokio::task::JoinSet::new();
    for i in 0..WAITERS {
        let mut waiter = queue.wake_waiter(&[backend()], Duration::from_secs(60));
        let (queue, woken, taken) = (queue.clone(), Arc::clone(&woken), taken.clone());
        waiters.spawn(async move {
            loop {
                waiter.wait().await.unwrap();
                woken.fetch_add(1, Ordering::Relaxed);
                let claim = queue.claim(&holder(&format!("w{i}")), &backend(), 1, "n").await.unwrap();
                let Claim::Tasks { tasks, .. } = claim else { panic!("not paused") };
                for claimed in tasks {
                    taken.send(claimed.lease.id).unwrap();
                }
            }
        });
    }
    let blocked = || server.command::<String>(&["INFO", "clients"]).unwrap();
    while !blocked().contains(&format!("blocked_clients:{WAITERS}\r")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for i in 0..10 {
        queue.enqueue(&task(&format!("single-{i}"), "backend")).await.unwrap();
        started.recv().await.unwrap();
    }
    while !blocked().contains(&format!("blocked_clients:{WAITERS}\r")) {
        tokio::task::yield_now().await;
    }
    assert_eq!(woken.swap(0, Ordering::Relaxed), 10, "one task wakes one worker");
    let specs: Vec<TaskSpec> = (0..100).map(|i| task(&format!("burst-{i}"), "backend")).collect();
    queue.enqueue_all(&specs).await;
    for _ in 0..specs.len() {
        started.recv().await.unwrap();
    }
    while !blocked().contains(&format!("blocked_clients:{WAITERS}\r")) {
        tokio::task::yield_now().await;
    }
    let woken = woken.load(Ordering::Relaxed);
    assert!((100..=200).contains(&woken), "a burst of 100 woke {woken}");
    waiters.shutdown().await;
}
