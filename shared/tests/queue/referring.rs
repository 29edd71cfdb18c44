//! The holder of a task hands it to another specialty.

use shared::{
    Specialty, TaskSpec,
    queue::{CancelAnswer, Claimed, Settlement},
};

use crate::setting::{Setting, holder};

fn general() -> Specialty {
    Specialty::general()
}

fn there(claimed: &Claimed) -> TaskSpec {
    let spec = claimed.spec.clone().unwrap();
    TaskSpec { specialty: general(), ..spec }
}

#[tokio::test]
async fn a_task_that_is_handed_over_waits_in_the_other_specialty_and_counts_no_attempt() {
    let s = Setting::new();
    s.enqueued("a").await;
    let claimed = s.claimed(&holder("w1")).await;
    let spec = there(&claimed);
    assert_eq!(s.queue.refer(&claimed.lease, &spec, "w1").await.unwrap(), Settlement::Done);
    let record = s.queue.task(&spec.id).await.unwrap().unwrap();
    assert_eq!((record.status.name(), record.specialty, record.runs), ("pending", general(), 1));
    assert_eq!((record.attempts, record.lost), (0, 0));
    assert_eq!(s.queue.spec(&spec.id).await.unwrap().unwrap().specialty, general());
    assert!(s.claim(&holder("w2"), 1).await.is_empty(), "it left its specialty");
    assert!(!s.queue.still_held(&claimed.lease).await.unwrap());
    let again = s.queue.refer(&claimed.lease, &spec, "w1").await.unwrap();
    assert_eq!(again, Settlement::Stale, "it is elsewhere");
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_cancel_wins_over_the_hand_over_and_a_stale_lease_hands_nothing_over() {
    let s = Setting::new();
    s.enqueued("a").await;
    let claimed = s.claimed(&holder("w1")).await;
    let asked = s.queue.cancel(&claimed.lease.id, "ada").await.unwrap();
    assert_eq!(asked, CancelAnswer::Requested);
    let spec = there(&claimed);
    assert_eq!(s.queue.refer(&claimed.lease, &spec, "w1").await.unwrap(), Settlement::Cancelled);
    assert_eq!(s.queue.task(&spec.id).await.unwrap().unwrap().status.name(), "cancelled");

    s.enqueued("b").await;
    let first = s.claimed(&holder("w1")).await;
    s.queue.release(&first.lease, "test").await.unwrap();
    let second = s.claimed(&holder("w2")).await;
    let spec = there(&second);
    assert_eq!(s.queue.refer(&first.lease, &spec, "w1").await.unwrap(), Settlement::Stale);
    assert!(s.queue.still_held(&second.lease).await.unwrap());
    s.audit().assert_sound();
}
