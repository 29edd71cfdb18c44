//! One active task an issue, one task a delivery, whatever dies in between.

use shared::{
    Outcome, TaskSpec,
    queue::{IssueEnqueued, Settlement},
};

use tokio::task::JoinSet;

use crate::setting::{Setting, holder, task};

fn issue(id: &str) -> TaskSpec {
    TaskSpec { issue: Some(7), ..task(id, "backend") }
}

#[tokio::test]
async fn an_issue_has_one_active_task_and_may_have_another_when_it_is_settled() {
    let s = Setting::new();
    assert_eq!(s.queue.enqueue_issue(&issue("a"), Some("d1")).await.unwrap(), IssueEnqueued::Created);
    let again = s.queue.enqueue_issue(&issue("b"), Some("d1")).await.unwrap();
    assert_eq!(again, IssueEnqueued::Delivered { task: issue("a").id });
    let second = s.queue.enqueue_issue(&issue("c"), Some("d2")).await.unwrap();
    assert_eq!(second, IssueEnqueued::Duplicate { task: issue("a").id });
    let lease = s.claimed(&holder("w1")).await.lease;
    let outcome = Outcome::NoChange { answer: String::new() };
    assert_eq!(s.queue.complete(&lease, &outcome).await.unwrap(), Settlement::Done);
    assert_eq!(s.queue.enqueue_issue(&issue("d"), Some("d3")).await.unwrap(), IssueEnqueued::Created);
    assert_eq!(s.queue.counts(&"backend".parse().unwrap()).await.unwrap().pending, 1);
}

#[tokio::test]
async fn deliveries_for_one_issue_at_the_same_moment_make_one_task() {
    let s = Setting::new();
    let mut offers = JoinSet::new();
    for i in 0..12 {
        let queue = s.queue.clone();
        offers.spawn(async move { queue.enqueue_issue(&issue(&format!("t{i}")), None).await });
    }
    let answers = offers.join_all().await;
    let created = answers.iter().filter(|answer| matches!(answer, Ok(IssueEnqueued::Created))).count();
    assert_eq!(created, 1, "{answers:?}");
    assert_eq!(s.queue.counts(&"backend".parse().unwrap()).await.unwrap().pending, 1);
}

#[tokio::test]
async fn an_ingester_that_died_before_enqueueing_does_not_lock_the_issue() {
    let s = Setting::new();
    // Ten seconds ago.
    s.redis::<()>("SET $:issue:octo/cat#7 never-came PX 50000");
    assert_eq!(s.queue.enqueue_issue(&issue("a"), Some("d1")).await.unwrap(), IssueEnqueued::Created);
    assert_eq!(s.redis::<String>("GET $:issue:octo/cat#7"), "a");
    assert_eq!(s.redis::<i64>("TTL $:issue:octo/cat#7"), -1, "made lasting");
}

#[tokio::test]
async fn an_ingester_that_died_after_enqueueing_is_repeated_into_the_same_task() {
    let s = Setting::new();
    // What it leaves: the provisional key and the task, and no delivery.
    s.queue.enqueue(&issue("a")).await.unwrap();
    s.redis::<()>("SET $:issue:octo/cat#7 a PX 60000");
    let again = s.queue.enqueue_issue(&issue("b"), Some("d1")).await.unwrap();
    assert_eq!(again, IssueEnqueued::Duplicate { task: issue("a").id });
}

#[tokio::test]
async fn of_two_tasks_of_one_issue_the_one_its_key_does_not_name_is_cancelled_before_it_starts() {
    let s = Setting::new();
    // An ingester froze after taking the key; it ended; another enqueued; the first thawed and enqueued.
    s.queue.enqueue_issue(&issue("b"), Some("d2")).await.unwrap();
    s.queue.enqueue(&issue("a")).await.unwrap();
    let claimed = s.claim(&holder("w1"), 2).await;
    let (b, a) = (&claimed[0], &claimed[1]);
    assert_eq!(s.queue.owns_issue(b.spec.as_ref().unwrap()).await.unwrap(), None);
    let other = s.queue.owns_issue(a.spec.as_ref().unwrap()).await.unwrap();
    assert_eq!(other, Some(issue("b").id));
    let settled = s.queue.cancel_duplicate(&a.lease, a.spec.as_ref().unwrap(), "b").await.unwrap();
    assert_eq!(settled, Settlement::Cancelled);
    assert_eq!(s.redis::<String>("GET $:issue:octo/cat#7"), "b", "the other keeps the issue");
}

#[tokio::test]
async fn an_outbox_entry_left_by_a_crash_is_carried_out_by_a_sweep() {
    let s = Setting::new();
    s.queue.enqueue_issue(&issue("a"), None).await.unwrap();
    // Settled, and stopped before the issue was freed: an entry old enough to be nobody's.
    s.queue.cancel(&issue("a").id, "ada").await.unwrap();
    s.redis::<()>("SET $:issue:octo/cat#7 a");
    s.redis::<u64>("PERSIST $:task:a");
    s.redis::<u64>("DEL $:{backend}:outbox");
    s.redis::<String>("XADD $:{backend}:outbox 1-1 task a issue octo/cat#7");
    s.queue.sweep(&"backend".parse().unwrap()).await.unwrap();
    assert_eq!(s.redis::<u64>("EXISTS $:issue:octo/cat#7"), 0);
    assert!(s.redis::<i64>("TTL $:task:a") > 0);
    assert_eq!(s.redis::<u64>("XLEN $:{backend}:outbox"), 0);
}

#[tokio::test]
async fn late_words_about_a_task_that_ended_do_not_keep_its_issue() {
    let s = Setting::new();
    s.queue.enqueue_issue(&issue("a"), None).await.unwrap();
    let lease = s.claimed(&holder("w1")).await.lease;
    s.queue.complete(&lease, &Outcome::NoChange { answer: String::new() }).await.unwrap();
    // A worker that froze right after its claim, and an ingester that froze right after it enqueued.
    assert_eq!(s.queue.owns_issue(&issue("a")).await.unwrap(), None);
    assert_eq!(s.redis::<u64>("EXISTS $:issue:octo/cat#7"), 0);
    s.queue.enqueue_issue(&issue("a"), None).await.unwrap();
    assert_eq!(s.redis::<u64>("EXISTS $:issue:octo/cat#7"), 0);
    s.audit().assert_settled();
}
