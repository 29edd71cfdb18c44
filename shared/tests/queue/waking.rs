//! Waiting workers: one task wakes one, a burst wakes many, a marker that cannot be used is passed on.

use std::time::Duration;

use shared::queue::Waited;

use crate::setting::{Setting, backend, holder, task};

const BLOCK: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_task_wakes_a_waiter_of_its_specialty_and_no_other() {
    let s = Setting::new();
    let mut here = s.queue.wake_waiter(&[backend(), "testing".parse().unwrap()], BLOCK);
    let mut elsewhere = s.queue.wake_waiter(&["frontend".parse().unwrap()], Duration::from_millis(50));
    let waiting = tokio::spawn(async move { here.wait().await.unwrap() });
    s.enqueued("a").await;
    assert_eq!(waiting.await.unwrap(), Waited::Woken(backend()));
    assert_eq!(elsewhere.wait().await.unwrap(), Waited::TimedOut);
}

#[tokio::test]
async fn a_burst_wakes_as_many_as_it_needs_through_the_claims_of_those_woken() {
    let s = Setting::new();
    let mut workers = tokio::task::JoinSet::new();
    for i in 0..4 {
        let mut waiter = s.queue.wake_waiter(&[backend()], BLOCK);
        let (queue, me) = (s.queue.clone(), holder(&format!("w{i}")));
        workers.spawn(async move {
            // A claim and an enqueueing may both wake for one task: whoever comes second waits again.
            for woken_in_vain in 0.. {
                assert_eq!(waiter.wait().await.unwrap(), Waited::Woken(backend()));
                let claim = queue.claim(&me, &backend(), 1, "n").await.unwrap();
                if matches!(claim, shared::queue::Claim::Tasks { tasks, .. } if tasks.len() == 1) {
                    return woken_in_vain;
                }
            }
            unreachable!()
        });
    }
    for i in 0..4 {
        s.enqueued(&format!("t{i}")).await;
    }
    let woken_in_vain: u32 = workers.join_all().await.into_iter().sum();
    assert!(woken_in_vain <= 4, "at most once a task: {woken_in_vain}");
    assert!(s.claim(&holder("w1"), 1).await.is_empty());
    assert_eq!(s.redis::<u64>("EXISTS $:{backend}:wake"), 0, "nothing waits, no marker");
}

#[tokio::test]
async fn the_marker_is_armed_while_anything_waits_and_only_then() {
    let s = Setting::new();
    for (id, priority) in [("m1", "medium"), ("m2", "medium"), ("l1", "low")] {
        let spec = shared::TaskSpec { priority: priority.parse().unwrap(), ..task(id, "backend") };
        s.queue.enqueue(&spec).await.unwrap();
    }
    s.redis::<u64>("DEL $:{backend}:wake");
    s.claimed(&holder("w1")).await;
    assert_eq!(s.redis::<u64>("EXISTS $:{backend}:wake"), 1, "two more wait");
    s.redis::<u64>("DEL $:{backend}:wake");
    s.claim(&holder("w1"), 2).await;
    assert_eq!(s.redis::<u64>("EXISTS $:{backend}:wake"), 0, "all are taken");
    assert!(!s.queue.rearm(&backend()).await.unwrap());
}

#[tokio::test]
async fn a_marker_that_cannot_be_used_is_put_back_while_something_waits() {
    let s = Setting::new();
    s.enqueued("a").await;
    let mut first = s.queue.wake_waiter(&[backend()], BLOCK);
    assert_eq!(first.wait().await.unwrap(), Waited::Woken(backend()));
    assert!(s.queue.rearm(&backend()).await.unwrap());
    let mut second = s.queue.wake_waiter(&[backend()], BLOCK);
    assert_eq!(second.wait().await.unwrap(), Waited::Woken(backend()));
}

#[tokio::test]
async fn a_sweep_arms_the_marker_that_a_dead_client_swallowed() {
    let s = Setting::new();
    s.enqueued("a").await;
    s.redis::<u64>("DEL $:{backend}:wake");
    s.queue.sweep(&backend()).await.unwrap();
    assert_eq!(s.redis::<u64>("EXISTS $:{backend}:wake"), 1);
}
