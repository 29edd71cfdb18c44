//! Paused specialties and drained workers.

use std::time::Duration;

use shared::queue::{Beat, Claim, Waited};

use crate::setting::{Setting, backend, holder};

#[tokio::test]
async fn a_paused_specialty_hands_out_nothing_and_goes_on_when_it_is_resumed() {
    let s = Setting::new();
    s.enqueued("before").await;
    let running = s.claimed(&holder("w1")).await.lease;
    assert!(s.queue.pause(&backend(), "ada", "the API key is renewed", None).await.unwrap());
    assert!(!s.queue.pause(&backend(), "bob", "", None).await.unwrap(), "it was paused before");
    let paused = s.queue.paused(&backend()).await.unwrap().unwrap();
    assert_eq!((paused.by.as_str(), paused.reason.as_str(), paused.until), ("bob", "", None));
    assert!(paused.at > 0);
    s.enqueued("a").await;
    s.enqueued("b").await;
    assert_eq!(s.queue.claim(&holder("w2"), &backend(), 1, "n").await.unwrap(), Claim::Paused);
    // What runs goes on, and may come back.
    s.queue.release(&running, "shutdown").await.unwrap();
    assert!(s.queue.counts(&backend()).await.unwrap().paused);
    s.redis::<u64>("DEL $:{backend}:wake");
    s.queue.sweep(&backend()).await.unwrap();
    assert_eq!(s.redis::<u64>("EXISTS $:{backend}:wake"), 0, "nobody is woken for nothing");

    let mut waiter = s.queue.wake_waiter(&[backend()], Duration::from_secs(10));
    let waiting = tokio::spawn(async move { waiter.wait().await.unwrap() });
    assert!(s.queue.resume(&backend(), "ada").await.unwrap());
    assert!(!s.queue.resume(&backend(), "ada").await.unwrap(), "it was not paused any more");
    assert_eq!(waiting.await.unwrap(), Waited::Woken(backend()));
    assert_eq!(s.queue.paused(&backend()).await.unwrap(), None);
    assert_eq!(s.claim(&holder("w2"), 9).await.len(), 3);
}

#[tokio::test]
async fn a_pause_with_an_end_ends_by_itself_and_a_sweep_wakes_somebody() {
    let s = Setting::new();
    s.enqueued("a").await;
    s.redis::<u64>("DEL $:{backend}:wake");
    let minute = Some(Duration::from_secs(60));
    s.queue.pause(&backend(), "ada", "lunch", minute).await.unwrap();
    let paused = s.queue.paused(&backend()).await.unwrap().unwrap();
    let ms = paused.until.unwrap() - paused.at;
    assert!((59_000..=61_000).contains(&ms), "{ms}");
    s.queue.pause(&backend(), "ada", "lunch", Some(Duration::from_millis(1))).await.unwrap();
    while s.queue.paused(&backend()).await.unwrap().is_some() {}
    s.queue.sweep(&backend()).await.unwrap();
    assert_eq!(s.redis::<u64>("EXISTS $:{backend}:wake"), 1);
    assert_eq!(s.claim(&holder("w1"), 1).await.len(), 1);
}

#[tokio::test]
async fn a_flag_that_was_set_by_hand_pauses_too() {
    let s = Setting::new();
    s.redis::<()>("SET $:{backend}:paused 1");
    assert_eq!(s.queue.paused(&backend()).await.unwrap().unwrap().by, "");
    assert!(!s.queue.pause(&backend(), "ada", "", None).await.unwrap());
    assert!(s.queue.resume(&backend(), "ada").await.unwrap());
}

#[tokio::test]
async fn a_drained_worker_is_told_with_its_beat_also_after_a_restart_until_it_is_undrained() {
    let s = Setting::new();
    let drained =
        async |incarnation: &str| match s.queue.beat(&crate::beats::info("w1", incarnation)).await.unwrap() {
            Beat::Ok { drained, .. } => drained,
            Beat::Taken { .. } => panic!("its own"),
        };
    assert_eq!(drained("w1-1").await, None);
    s.queue.drain_worker("w1", "ada", "new disk, \"soon\"", None).await.unwrap();
    let told = drained("w1-1").await.unwrap();
    assert_eq!((told.by.as_str(), told.reason.as_str()), ("ada", "new disk, \"soon\""));
    assert_eq!(s.queue.drained_workers().await.unwrap().into_keys().collect::<Vec<_>>(), ["w1"]);
    s.queue.leave("w1", "w1-1").await.unwrap();
    assert!(drained("w1-2").await.is_some());
    s.queue.drain_worker("w1", "bob", "", None).await.unwrap();
    assert_eq!(drained("w1-2").await.unwrap().by, "bob");
    assert!(s.queue.undrain_worker("w1").await.unwrap());
    assert!(!s.queue.undrain_worker("w1").await.unwrap());
    assert_eq!(drained("w1-2").await, None);
}

#[tokio::test]
async fn a_drain_that_nobody_takes_back_ends_some_day() {
    let s = Setting::new();
    s.queue.drain_worker("w1", "ada", "", Some(Duration::from_millis(1))).await.unwrap();
    s.queue.drain_worker("w2", "ada", "", None).await.unwrap();
    while s.queue.drained_workers().await.unwrap().len() > 1 {}
    let beat = s.queue.beat(&crate::beats::info("w1", "w1-1")).await.unwrap();
    assert!(matches!(beat, Beat::Ok { drained: None, .. }));
    // Of another that is forgotten, the next drain makes room.
    s.queue.drain_worker("w3", "ada", "", Some(Duration::from_millis(1))).await.unwrap();
    while s.queue.drained_workers().await.unwrap().len() > 1 {}
    s.queue.drain_worker("w4", "ada", "", None).await.unwrap();
    assert_eq!(s.redis::<u64>("HLEN $:drained:{$:workers}"), 2);
}
