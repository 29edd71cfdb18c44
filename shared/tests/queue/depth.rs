//! How much waits, and since when.

use shared::{
    Failure, Priority,
    queue::{Depth, Waiting},
};

use crate::setting::{Setting, backend, holder, task};

async fn waiting(s: &Setting) -> Waiting {
    s.queue.waiting(&backend()).await.unwrap()
}

#[tokio::test]
async fn nothing_waits_where_nothing_ever_was() {
    assert_eq!(waiting(&Setting::new()).await, Waiting::default());
}

#[tokio::test]
async fn what_waits_is_counted_by_priority_and_what_is_leased_or_delayed_is_not() {
    let s = Setting::new();
    for (id, priority) in
        [("a", Priority::High), ("b", Priority::Low), ("c", Priority::Low), ("d", Priority::Medium)]
    {
        let mut spec = task(id, "backend");
        spec.priority = priority;
        s.queue.enqueue(&spec).await.unwrap();
    }
    let before = waiting(&s).await;
    assert_eq!((before.high.tasks, before.medium.tasks, before.low.tasks), (1, 1, 2));
    let created_at = s.queue.task(&"b".parse().unwrap()).await.unwrap().unwrap().created_at;
    // The entry's own time and the record's are read one after the other.
    let oldest_at = before.low.oldest_at.unwrap();
    assert!(oldest_at.abs_diff(created_at) < 1_000, "{oldest_at} {created_at}");

    let claimed = s.claim(&holder("w"), 2).await;
    let after = waiting(&s).await;
    assert_eq!((after.high, after.medium, after.low.tasks), (Depth::default(), Depth::default(), 2));

    // A returned task waits again, as old as it is; a delayed one does not.
    s.queue.release(&claimed[0].lease, "shutdown").await.unwrap();
    let delay = std::time::Duration::from_secs(60);
    s.queue.retry(&claimed[1].lease, &Failure::transient("x"), delay).await.unwrap();
    let returned = waiting(&s).await;
    assert_eq!(returned.high, before.high);
    assert_eq!((returned.medium, returned.low), (Depth::default(), before.low));
    assert_eq!(s.queue.counts(&backend()).await.unwrap().pending, 3);
}

#[tokio::test]
async fn the_last_run_is_known_from_the_first_claim_on_and_after_the_end() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    assert_eq!(s.queue.task(&id).await.unwrap().unwrap().last_run, None);
    let claimed = s.claimed(&holder("w")).await;
    s.queue.fail(&claimed.lease, &Failure::task("red")).await.unwrap();
    let last = s.queue.task(&id).await.unwrap().unwrap().last_run.unwrap();
    assert_eq!(last.worker, "w");
    assert!(last.claimed_at > 0);
}
