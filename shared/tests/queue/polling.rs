//! Whose turn it is to poll a repository, and how far it has been.

use std::time::Duration;

use shared::{
    RepositoryName, TaskSpec,
    queue::{IssueEnqueued, PollCursor, PollCursors, PollTurn, PollTurnAnswer, Queue, Settlement},
    task::Trigger,
};

use crate::setting::{Setting, holder, task};

const LEASE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(1);
const OVERLAP: Duration = Duration::from_secs(10);

async fn take(queue: &Queue, owner: &str, lease: Duration, interval: Duration) -> PollTurnAnswer {
    let repository: RepositoryName = "octo/cat".parse().unwrap();
    queue.take_poll_turn(&repository, owner, lease, interval, OVERLAP).await.unwrap()
}

async fn ours(queue: &Queue, owner: &str, lease: Duration, interval: Duration) -> PollTurn {
    loop {
        match take(queue, owner, lease, interval).await {
            PollTurnAnswer::Ours(turn) => return turn,
            PollTurnAnswer::Wait(wait) => tokio::time::sleep(wait).await,
        }
    }
}

fn cursors(issues_s: u64, comments_s: u64) -> PollCursors {
    let at = |since_s| PollCursor { since_s, etag: format!("W/\"{since_s}\"") };
    PollCursors { issues: at(issues_s), comments: at(comments_s) }
}

#[tokio::test]
async fn one_poller_has_the_turn_and_the_next_is_due_for_all_an_interval_later() {
    let s = Setting::new();
    let turn = ours(&s.queue, "one", LEASE, LEASE * 2).await;
    assert!(
        matches!(take(&s.queue, "two", LEASE, LEASE * 2).await, PollTurnAnswer::Wait(wait) if wait <= LEASE)
    );
    assert!(
        matches!(take(&s.queue, "one", LEASE, LEASE * 2).await, PollTurnAnswer::Ours(_)),
        "its answer was lost"
    );
    assert!(!s.queue.keep_poll_turn(&turn, LEASE).await.unwrap(), "that was another turn");
    let turn = ours(&s.queue, "one", LEASE, LEASE * 2).await;
    assert!(s.queue.keep_poll_turn(&turn, LEASE).await.unwrap());
    s.queue.end_poll_turn(&turn).await.unwrap();
    for owner in ["one", "two"] {
        let answer = take(&s.queue, owner, LEASE, LEASE * 2).await;
        assert!(matches!(answer, PollTurnAnswer::Wait(wait) if wait > LEASE), "{answer:?}");
    }
}

#[tokio::test]
async fn a_poller_that_slept_moves_nothing_and_no_cursor_goes_backwards() {
    let s = Setting::new();
    let slept = ours(&s.queue, "one", SHORT, SHORT).await;
    let now_s = slept.cursors.issues.since_s;
    let other = ours(&s.queue, "two", LEASE, SHORT).await;
    let ahead = cursors(now_s + 20, now_s + 30);
    assert!(s.queue.move_poll_cursors(&other, &ahead, LEASE).await.unwrap());
    assert!(!s.queue.move_poll_cursors(&slept, &cursors(now_s + 90, now_s + 90), LEASE).await.unwrap());
    assert!(s.queue.move_poll_cursors(&other, &cursors(now_s + 5, now_s + 40), LEASE).await.unwrap());
    s.queue.end_poll_turn(&slept).await.unwrap();
    assert!(s.queue.keep_poll_turn(&other, LEASE).await.unwrap(), "the turn of another is not ended");
    s.queue.end_poll_turn(&other).await.unwrap();
    let next = ours(&s.queue, "one", LEASE, SHORT).await;
    assert_eq!(next.cursors, PollCursors { issues: ahead.issues, ..cursors(0, now_s + 40) });
}

#[tokio::test]
async fn a_repository_is_polled_from_now_on_and_never_from_long_ago() {
    let s = Setting::new();
    let (now_s, _): (u64, u64) = s.redis("TIME");
    let first = ours(&s.queue, "one", LEASE, SHORT).await.cursors;
    assert!(first.issues.since_s.abs_diff(now_s - 10) < 5 && first.issues == first.comments, "{first:?}");
    s.redis::<()>("HSET $:poll:octo/cat issues 1000 comments 1000");
    let back = ours(&s.queue, "one", LEASE, SHORT).await.cursors;
    assert!(back.issues.since_s.abs_diff(now_s - 14 * 86_400) < 5, "{back:?}");
}

#[tokio::test]
async fn a_clock_that_was_set_back_stops_no_poller() {
    let s = Setting::new();
    ours(&s.queue, "one", LEASE, LEASE).await;
    s.redis::<()>("HSET $:poll:octo/cat until 9999999999999 due 9999999999999");
    assert!(matches!(take(&s.queue, "two", LEASE, LEASE).await, PollTurnAnswer::Ours(_)));
}

fn triggered(id: &str, trigger: Trigger, at_ms: u64) -> TaskSpec {
    TaskSpec { issue: Some(7), triggered_at_ms: Some(at_ms), trigger, ..task(id, "backend") }
}

#[tokio::test]
async fn what_led_to_a_task_leads_to_no_other_when_it_is_told_again_after_that_has_ended() {
    use Trigger::{Comment, IssueOpened, Labeled};
    let s = Setting::new();
    let offer = async |spec: TaskSpec| s.queue.enqueue_issue(&spec, None).await.unwrap();
    let end = async || {
        let lease = s.claimed(&holder("w1")).await.lease;
        let outcome = shared::Outcome::NoChange { answer: String::new() };
        assert_eq!(s.queue.complete(&lease, &outcome).await.unwrap(), Settlement::Done);
    };
    let delivered = |id: &str| IssueEnqueued::Delivered { task: id.parse().unwrap() };
    assert_eq!(offer(triggered("a", IssueOpened, 50_000)).await, IssueEnqueued::Created);
    let meanwhile = offer(triggered("b", Labeled, 55_000)).await;
    assert_eq!(meanwhile, IssueEnqueued::Duplicate { task: "a".parse().unwrap() });
    end().await;
    for (trigger, at_ms) in [(IssueOpened, 50_000), (Labeled, 55_000), (Labeled, 56_500), (Comment, 55_000)] {
        assert_eq!(offer(triggered("c", trigger, at_ms)).await, delivered("a"), "{at_ms}");
    }
    assert_eq!(offer(triggered("d", Comment, 55_001)).await, IssueEnqueued::Created);
    end().await;
    assert_eq!(offer(triggered("e", Labeled, 60_000)).await, IssueEnqueued::Created);
    assert_eq!(s.queue.counts(&"backend".parse().unwrap()).await.unwrap().pending, 1);
}

#[tokio::test]
async fn a_trigger_whose_ingester_died_before_it_enqueued_leads_to_a_task() {
    let s = Setting::new();
    s.redis::<()>("SET $:issue_trigger:octo/cat#7 50000:never-came");
    let spec = triggered("a", Trigger::IssueOpened, 50_000);
    assert_eq!(s.queue.enqueue_issue(&spec, None).await.unwrap(), IssueEnqueued::Created);
}
