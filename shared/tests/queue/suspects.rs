//! Tasks that one more lost worker would end: they run alone, so that none ends for another's deeds.

use std::collections::BTreeSet;

use shared::{
    FailureClass, Outcome, Status,
    queue::{Claimed, Holder, Renewal, Settlement, Swept},
};

use crate::setting::{LEASE_MS, Setting, backend, holder};

/// One node, each time as another process.
fn life(number: u32) -> Holder {
    Holder { node: "w1".to_owned(), incarnation: format!("w1-{number}") }
}

impl Setting {
    /// The worker of `life` dies with all that it holds.
    async fn dies(&self, number: u32) -> (u64, u64) {
        self.queue.forfeit(&life(number + 1), &backend()).await.unwrap()
    }

    /// Tasks that two workers were lost with, together.
    async fn suspects(&self, ids: &[&str]) {
        for id in ids {
            self.enqueued(id).await;
        }
        for number in 1..=2 {
            assert_eq!(self.claim(&life(number), 8).await.len(), ids.len(), "they are no suspects yet");
            assert_eq!(self.dies(number).await, (ids.len() as u64, 0));
        }
    }

    /// Begins as its worker does when nothing else runs there.
    async fn begun(&self, claimed: &Claimed) {
        assert!(self.queue.set_phase(&claimed.lease, "preparing").await.unwrap());
    }

    async fn lost(&self, id: &str) -> u32 {
        self.queue.task(&id.parse().unwrap()).await.unwrap().unwrap().lost
    }

    async fn completed(&self, claimed: &Claimed) {
        let outcome = Outcome::NoChange { answer: "done".to_owned() };
        assert_eq!(self.queue.complete(&claimed.lease, &outcome).await.unwrap(), Settlement::Done);
    }
}

#[tokio::test]
async fn of_tasks_that_are_lost_together_only_the_one_that_kills_its_worker_becomes_poison() {
    let s = Setting::new();
    let ids = ["a", "b", "killer", "c", "d"];
    s.suspects(&ids).await;
    let mut number = 3;
    let mut done = BTreeSet::new();
    while done.len() < ids.len() {
        let claimed = s.claimed(&life(number)).await;
        assert!(claimed.alone, "{} is claimed to run alone", claimed.lease.id);
        s.begun(&claimed).await;
        let id = claimed.lease.id.to_string();
        if id == "killer" {
            assert_eq!(s.dies(number).await, (0, 1));
            number += 1;
        } else {
            s.completed(&claimed).await;
        }
        done.insert(id);
    }
    for id in ids {
        let status = s.queue.task(&id.parse().unwrap()).await.unwrap().unwrap().status;
        match status {
            Status::Failed { class, .. } => assert_eq!((id, class), ("killer", FailureClass::LostWorker)),
            other => assert_eq!((id != "killer", other.name()), (true, "completed"), "{id}"),
        }
    }
    s.assert_no_task_under_way();
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_claim_brings_one_suspect_at_most_as_its_last_and_before_what_is_new() {
    let s = Setting::new();
    s.suspects(&["a", "b"]).await;
    s.enqueued("fresh").await;
    let marker = || s.redis::<u64>("ZCARD $:{backend}:wake");
    let first = s.claim(&holder("w2"), 8).await;
    assert_eq!(first.iter().map(|c| c.lease.id.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(marker(), 1, "more waits");
    let second = s.claim(&holder("w3"), 8).await;
    assert_eq!(second.iter().map(|c| c.lease.id.as_str()).collect::<Vec<_>>(), ["b"]);
    let third = s.claim(&holder("w4"), 8).await;
    assert_eq!((third.len(), third[0].alone), (1, false));
    assert_eq!(marker(), 0, "nothing waits");
    s.audit().assert_sound();
}

#[tokio::test]
async fn urgent_tasks_come_before_a_suspect_and_both_in_one_claim() {
    let s = Setting::new();
    s.suspects(&["a"]).await;
    let urgent =
        shared::TaskSpec { priority: shared::Priority::High, ..crate::setting::task("now", "backend") };
    s.queue.enqueue(&urgent).await.unwrap();
    let claimed = s.claim(&holder("w2"), 8).await;
    let told: Vec<_> = claimed.iter().map(|c| (c.lease.id.as_str(), c.alone)).collect();
    assert_eq!(told, [("now", false), ("a", true)]);
}

#[tokio::test]
async fn a_suspect_that_has_not_begun_loses_nothing_by_its_worker_s_death() {
    let s = Setting::with(|q| q.sweep_ms = 400);
    s.suspects(&["a"]).await;
    for number in 3..=5 {
        assert!(s.claimed(&life(number)).await.alone);
        assert_eq!(s.dies(number).await, (1, 0));
        assert_eq!(s.lost("a").await, 2);
    }
    // Nor by a lease that ran out while it waited; its holder takes it up where it was, not begun.
    let waiting = s.claimed(&life(6)).await;
    let began = std::time::Instant::now();
    while !matches!(s.queue.sweep(&backend()).await.unwrap(), Swept::Done { lost: 1, .. }) {
        assert!(began.elapsed().as_millis() < u128::from(LEASE_MS) * 30, "the lease runs out");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(s.queue.renew(std::slice::from_ref(&waiting.lease)).await.unwrap(), [Renewal::Held]);
    assert_eq!(s.dies(6).await, (1, 0));
    assert_eq!(s.lost("a").await, 2);
    // Begun, it is what its worker died of.
    s.begun(&s.claimed(&life(7)).await).await;
    assert_eq!(s.dies(7).await, (0, 1));
}

#[tokio::test]
async fn a_suspect_that_is_lost_again_and_again_before_it_begins_ends_after_a_hundred_claims() {
    let s = Setting::new();
    s.suspects(&["a"]).await;
    s.redis::<u64>("HSET $:{backend}:task:a runs 98");
    assert!(s.claimed(&life(3)).await.alone);
    assert_eq!(s.dies(3).await, (1, 0));
    assert!(s.claimed(&life(4)).await.alone);
    assert_eq!(s.dies(4).await, (0, 1));
    assert_eq!(s.lost("a").await, 3);
}

#[tokio::test]
async fn a_suspect_whose_claim_was_not_answered_is_found_as_one() {
    let s = Setting::new();
    s.suspects(&["a"]).await;
    let claimed = s.claimed(&holder("w2")).await;
    assert_eq!(s.queue.holding(&holder("w2"), &backend()).await.unwrap(), [claimed]);
}

#[tokio::test]
async fn a_suspect_stays_one_when_it_is_released_delayed_moved_or_its_group_is_destroyed() {
    let s = Setting::new();
    s.suspects(&["a"]).await;
    let claimed = s.claimed(&holder("w2")).await;
    s.queue.release(&claimed.lease, "shutdown").await.unwrap();
    s.audit().assert_sound();
    s.queue.move_priority(&claimed.lease.id, shared::Priority::Low, "ada").await.unwrap();
    s.audit().assert_sound();
    s.redis::<u64>("XGROUP DESTROY $:{backend}:tasks:low workers");
    let mut found = Vec::new();
    for _ in 0..2 {
        found.extend(s.claim(&holder("w3"), 8).await);
    }
    assert!(found.len() == 1 && found[0].alone, "{found:?}");
    let failure = shared::Failure::transient("x");
    s.queue.retry(&found[0].lease, &failure, std::time::Duration::ZERO).await.unwrap();
    s.queue.sweep(&backend()).await.unwrap();
    let again = s.claimed(&holder("w4")).await;
    assert!(again.alone);
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_suspect_waits_in_line_like_any_other_and_a_rerun_of_one_is_none() {
    let s = Setting::new();
    s.suspects(&["a", "b"]).await;
    s.enqueued("fresh").await;
    let waiting = s.queue.waiting(&backend()).await.unwrap();
    assert_eq!(waiting.medium.tasks, 3);
    s.begun(&s.claimed(&life(3)).await).await;
    assert_eq!(s.dies(3).await, (0, 1));
    s.queue.rerun(&"a".parse().unwrap(), "ada").await.unwrap();
    s.queue.cancel(&"b".parse().unwrap(), "ada").await.unwrap();
    let claimed = s.claim(&holder("w2"), 8).await;
    assert!(claimed.len() == 2 && claimed.iter().all(|c| !c.alone), "{claimed:?}");
    s.audit().assert_sound();
}
