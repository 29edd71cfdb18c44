//! What people ask of a task, in every state, once and again.

use std::time::Duration;

use shared::{
    Failure, Priority, Specialty, Status, TaskId, TaskSpec,
    queue::{
        Asked, Change, ClaimHeld, Ended, ForceReleaseAnswer, Lease, Renewal, RerunAnswer, Settlement, Trim,
    },
};

use crate::setting::{Setting, backend, holder, task};

/// A task in each state, its id that of the state; `returned` is pending too, and back in line after a claim.
async fn one_of_each(s: &Setting) -> Lease {
    for (id, way) in ["completed", "failed", "delayed", "returned", "active"].iter().zip(0..) {
        s.enqueued(id).await;
        let lease = s.claimed(&holder("w1")).await.lease;
        let failure = Failure::transient("x");
        match way {
            0 => {
                let answer = shared::Outcome::NoChange { answer: String::new() };
                s.queue.complete(&lease, &answer).await.unwrap();
            }
            1 => drop(s.queue.fail(&lease, &Failure::task("red")).await.unwrap()),
            2 => drop(s.queue.retry(&lease, &failure, Duration::from_secs(60)).await.unwrap()),
            _ => {}
        }
        if way == 4 {
            let returned = s.queue.holding(&holder("w1"), &backend()).await.unwrap();
            let returned = returned.into_iter().find(|c| c.lease.id.as_str() == "returned").unwrap();
            s.queue.release(&returned.lease, "shutdown").await.unwrap();
            s.queue.hold(&task("held", "backend")).await.unwrap();
            let cancelled = s.enqueued("cancelled").await;
            s.queue.cancel(&cancelled, "ada").await.unwrap();
            s.enqueued("pending").await;
            return lease;
        }
    }
    unreachable!("the last is active")
}

const STATES: [&str; 8] =
    ["held", "pending", "returned", "delayed", "active", "completed", "failed", "cancelled"];

fn id(text: &str) -> TaskId {
    text.parse().unwrap()
}

fn state(asked: &Asked) -> &str {
    match asked {
        Asked::Done => "done",
        Asked::WrongState(record) => record.status.name(),
        Asked::Unknown => "unknown",
    }
}

async fn claimed_ids(s: &Setting) -> Vec<String> {
    s.claim(&holder("w2"), 9).await.into_iter().map(|c| c.lease.id.to_string()).collect()
}

#[tokio::test]
async fn a_task_taken_from_its_worker_by_force_is_next_in_line_and_its_worker_s_words_change_nothing() {
    let s = Setting::new();
    let lease = one_of_each(&s).await;
    let id = lease.id.clone();
    let fence = lease.fence;
    assert_eq!(s.queue.force_release(&id, fence, "ada").await.unwrap(), ForceReleaseAnswer::Released);
    assert_eq!(s.queue.force_release(&id, fence, "ada").await.unwrap(), ForceReleaseAnswer::Released);
    let record = s.queue.task(&id).await.unwrap().unwrap();
    assert_eq!((record.status.name(), record.attempts, record.lost), ("pending", 0, 0));
    assert_eq!(s.queue.renew(std::slice::from_ref(&lease)).await.unwrap(), [Renewal::Lost]);
    assert!(!s.queue.still_held(&lease).await.unwrap());
    assert!(s.queue.holding(&holder("w1"), &backend()).await.unwrap().is_empty());
    let again = s.claimed(&holder("w2")).await;
    assert_eq!(again.lease.id.as_str(), "returned", "the older one first");
    let again = s.claimed(&holder("w2")).await;
    assert!(again.lease.id == id && again.lease.fence > fence);
    // The answer was lost and it is sent again: whoever has the task now keeps it.
    assert_eq!(s.queue.force_release(&id, fence, "ada").await.unwrap(), ForceReleaseAnswer::Released);
    assert_eq!(s.queue.renew(std::slice::from_ref(&again.lease)).await.unwrap(), [Renewal::Held]);
    let failure = Failure::task("late");
    assert_eq!(s.queue.fail(&lease, &failure).await.unwrap(), Settlement::Stale);
    assert_eq!(s.queue.fail(&again.lease, &failure).await.unwrap(), Settlement::Done);
    s.audit().assert_sound();
}

#[tokio::test]
async fn only_an_active_task_is_taken_by_force_and_a_cancel_wins() {
    let s = Setting::new();
    let lease = one_of_each(&s).await;
    for name in STATES.into_iter().filter(|name| *name != "active") {
        let answer = s.queue.force_release(&id(name), shared::lifecycle::Fence(1), "ada").await.unwrap();
        assert!(matches!(answer, ForceReleaseAnswer::NotActive(_)), "{name}: {answer:?}");
    }
    let unknown = s.queue.force_release(&id("nobody"), lease.fence, "ada").await.unwrap();
    assert_eq!(unknown, ForceReleaseAnswer::Unknown);
    s.queue.cancel(&lease.id, "ada").await.unwrap();
    let answer = s.queue.force_release(&lease.id, lease.fence, "ada").await.unwrap();
    assert_eq!(answer, ForceReleaseAnswer::Cancelled);
    assert_eq!(s.status(&lease.id).await, "cancelled");
    assert_eq!(s.queue.renew(std::slice::from_ref(&lease)).await.unwrap(), [Renewal::Lost]);
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_held_task_that_runs_is_taken_by_force_like_any_other() {
    let s = Setting::new();
    s.queue.hold(&task("a", "backend")).await.unwrap();
    let ClaimHeld::Claimed(run) = s.queue.claim_held(&holder("w1"), &id("a"), "n").await.unwrap() else {
        panic!("claimed")
    };
    s.queue.force_release(&id("a"), run.lease.fence, "ada").await.unwrap();
    assert_eq!(s.claimed(&holder("w2")).await.spec.unwrap().body, "the body");
    assert_eq!(s.redis::<u64>("SCARD $:{backend}:direct"), 0);
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_failed_or_cancelled_task_runs_again_as_a_new_one_and_no_other_does() {
    let s = Setting::new();
    one_of_each(&s).await;
    for name in ["held", "pending", "returned", "delayed", "active", "completed"] {
        let answer = s.queue.rerun(&id(name), "ada").await.unwrap();
        assert!(matches!(answer, RerunAnswer::WrongState(_)), "{name}: {answer:?}");
    }
    assert_eq!(s.queue.rerun(&id("nobody"), "ada").await.unwrap(), RerunAnswer::Unknown);
    let spec = TaskSpec { issue: Some(7), ..task("again", "backend") };
    s.queue.enqueue_issue(&spec, None).await.unwrap();
    claimed_ids(&s).await;
    let held = s.queue.holding(&holder("w2"), &backend()).await.unwrap();
    let first = held.into_iter().find(|c| c.lease.id == spec.id).unwrap();
    s.redis::<u64>("HSET $:{backend}:task:again attempts 2 lost 1");
    s.queue.fail(&first.lease, &Failure::task("red")).await.unwrap();
    assert_eq!(s.redis::<u64>("EXISTS $:issue:octo/cat#7"), 0);

    for name in ["again", "failed", "cancelled"] {
        assert_eq!(s.queue.rerun(&id(name), "ada").await.unwrap(), RerunAnswer::Pending);
        assert_eq!(s.redis::<i64>(&format!("TTL $:task:{name}")), -1);
        let repeated = s.queue.rerun(&id(name), "ada").await.unwrap();
        assert!(matches!(repeated, RerunAnswer::WrongState(record) if record.status == Status::Pending));
    }
    assert_eq!(s.redis::<String>("GET $:issue:octo/cat#7"), "again");
    assert_eq!(s.redis::<i64>("TTL $:issue:octo/cat#7"), -1);
    assert_eq!(s.redis::<u64>("XLEN $:{backend}:outbox"), 0);
    let tasks = s.claim(&holder("w2"), 9).await;
    assert_eq!(tasks.len(), 3);
    let again = tasks.into_iter().find(|c| c.lease.id == spec.id).unwrap();
    assert_eq!((again.runs, again.attempts), (2, 0));
    assert_eq!(s.queue.task(&spec.id).await.unwrap().unwrap().lost, 0);
    assert!(again.lease.fence > first.lease.fence && again.spec.as_ref().unwrap().body == "the body");
    let events = s.queue.events_after(&backend(), None, 1_000).await.unwrap();
    let why = events.iter().rev().find(|e| e.task == "again" && e.event == "pending").unwrap();
    assert_eq!(why.details["reason"], "retried by ada");
    assert_eq!(
        s.queue.complete(&again.lease, &shared::Outcome::NoChange { answer: String::new() }).await.unwrap(),
        Settlement::Done
    );
    assert_eq!(s.redis::<u64>("EXISTS $:issue:octo/cat#7"), 0);
    assert!(s.redis::<i64>("TTL $:task:again") > 0);
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_task_whose_issue_has_another_by_now_does_not_run_again() {
    let s = Setting::new();
    let (old, new) = (
        TaskSpec { issue: Some(7), ..task("old", "backend") },
        TaskSpec { issue: Some(7), ..task("new", "backend") },
    );
    s.queue.enqueue_issue(&old, None).await.unwrap();
    s.queue.cancel(&old.id, "ada").await.unwrap();
    s.queue.enqueue_issue(&new, None).await.unwrap();
    let answer = s.queue.rerun(&old.id, "ada").await.unwrap();
    assert_eq!(answer, RerunAnswer::IssueTaken { task: new.id.clone() });
    assert_eq!(s.redis::<i64>("TTL $:issue:octo/cat#7"), -1, "the other's key is as it was");
    s.queue.cancel(&new.id, "ada").await.unwrap();
    assert_eq!(s.queue.rerun(&old.id, "ada").await.unwrap(), RerunAnswer::Pending);
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_retry_that_stopped_before_its_effects_is_finished_by_a_sweep() {
    let s = Setting::new();
    let spec = TaskSpec { issue: Some(7), ..task("a", "backend") };
    s.queue.enqueue_issue(&spec, None).await.unwrap();
    s.queue.cancel(&spec.id, "ada").await.unwrap();
    s.queue.rerun(&spec.id, "ada").await.unwrap();
    // As if its process had died right after the script: the effects are due since long.
    s.redis::<()>("SET $:issue:octo/cat#7 a PX 60000");
    s.redis::<u64>("EXPIRE $:task:a 1000");
    s.redis::<u64>("DEL $:{backend}:outbox");
    s.redis::<String>("XADD $:{backend}:outbox 5-0 task a issue octo/cat#7");
    s.queue.sweep(&backend()).await.unwrap();
    assert_eq!(s.redis::<i64>("TTL $:task:a"), -1);
    assert_eq!(s.redis::<i64>("TTL $:issue:octo/cat#7"), -1);
    assert_eq!(s.redis::<u64>("XLEN $:{backend}:outbox"), 0);
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_waiting_task_moves_to_another_priority_and_keeps_its_place_by_age() {
    let s = Setting::new();
    one_of_each(&s).await;
    for (name, expected) in
        STATES.into_iter().zip(["done", "done", "done", "done", "active", "completed", "failed", "cancelled"])
    {
        for _ in 0..2 {
            let asked = s.queue.move_priority(&id(name), Priority::High, "ada").await.unwrap();
            assert_eq!(state(&asked), expected, "{name}");
        }
        let priority = s.queue.task(&id(name)).await.unwrap().unwrap().priority;
        assert_eq!(priority == Priority::High, expected == "done", "{name}");
    }
    let asked = s.queue.move_priority(&id("nobody"), Priority::High, "ada").await.unwrap();
    assert_eq!(asked, Asked::Unknown);
    let young = TaskSpec { priority: Priority::High, ..task("young", "backend") };
    s.queue.enqueue(&young).await.unwrap();
    s.redis::<u64>("ZADD $:{backend}:delayed 1 delayed");
    let counts = s.queue.counts(&backend()).await.unwrap();
    assert_eq!((counts.pending, counts.active, counts.delayed, counts.held), (3, 1, 1, 1));
    assert_eq!(s.queue.waiting(&backend()).await.unwrap().high.tasks, 3);
    s.queue.sweep(&backend()).await.unwrap();
    let tasks = s.claim(&holder("w2"), 9).await;
    let order: Vec<_> = tasks.iter().map(|c| c.lease.id.as_str()).collect();
    assert_eq!(order, ["delayed", "returned", "pending", "young"]);
    assert!(tasks.iter().all(|c| c.spec.as_ref().unwrap().body == "the body"));
    assert!(s.claim(&holder("w2"), 9).await.is_empty());
    for claimed in tasks {
        s.queue.fail(&claimed.lease, &Failure::task("red")).await.unwrap();
    }
    s.queue.release_held(&id("held")).await.unwrap();
    s.queue.move_priority(&id("held"), Priority::Low, "ada").await.unwrap();
    assert_eq!(claimed_ids(&s).await, ["held"]);
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_waiting_task_s_text_is_changed_and_the_old_one_is_read_by_nobody() {
    let s = Setting::new();
    one_of_each(&s).await;
    let change = Change {
        title: Some("another title".to_owned()),
        body: Some("another body".to_owned()),
        labels: Some(vec!["bug".to_owned()]),
        requirements: None,
    };
    for (name, expected) in
        STATES.into_iter().zip(["done", "done", "done", "done", "active", "completed", "failed", "cancelled"])
    {
        for _ in 0..2 {
            let asked = s.queue.change(&id(name), &change, "ada").await.unwrap();
            assert_eq!(state(&asked), expected, "{name}");
        }
    }
    assert_eq!(s.queue.change(&id("nobody"), &change, "ada").await.unwrap(), Asked::Unknown);
    for name in ["held", "pending", "returned", "delayed"] {
        let (spec, record) = (
            s.queue.spec(&id(name)).await.unwrap().unwrap(),
            s.queue.task(&id(name)).await.unwrap().unwrap(),
        );
        assert_eq!((spec.body.as_str(), spec.labels.as_slice()), ("another body", &["bug".to_owned()][..]));
        assert_eq!(record.title, "another title");
    }
    s.queue.release_held(&id("held")).await.unwrap();
    s.redis::<u64>("ZADD $:{backend}:delayed 1 delayed");
    s.queue.sweep(&backend()).await.unwrap();
    let tasks = s.claim(&holder("w2"), 9).await;
    assert_eq!(tasks.len(), 4);
    for claimed in tasks {
        assert_eq!(claimed.spec.unwrap().body, "another body", "{}", claimed.lease.id);
        s.queue.complete(&claimed.lease, &shared::Outcome::NoChange { answer: String::new() }).await.unwrap();
        assert_eq!(s.redis::<u64>(&format!("EXISTS $:{{backend}}:spec:{}", claimed.lease.id)), 0);
    }
    s.audit().assert_sound();
}

#[tokio::test]
async fn of_two_changes_at_a_time_none_undoes_the_other() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    let title = Change { title: Some("another title".to_owned()), ..Change::default() };
    let body = Change { body: Some("another body".to_owned()), ..Change::default() };
    for _ in 0..20 {
        s.queue
            .change(
                &id,
                &Change { title: Some("t".into()), body: Some("b".into()), ..Change::default() },
                "x",
            )
            .await
            .unwrap();
        let (one, two) = tokio::join!(s.queue.change(&id, &title, "ada"), s.queue.change(&id, &body, "bob"));
        assert_eq!((one.unwrap(), two.unwrap()), (Asked::Done, Asked::Done));
        let spec = s.queue.spec(&id).await.unwrap().unwrap();
        assert_eq!((spec.title.as_str(), spec.body.as_str()), ("another title", "another body"));
    }
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_silent_worker_cannot_take_back_a_task_whose_text_was_changed_since() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    let successor = shared::queue::Holder { node: "w1".to_owned(), incarnation: "w1-2".to_owned() };
    s.queue.forfeit(&successor, &backend()).await.unwrap();
    s.queue.change(&id, &Change { body: Some("new".to_owned()), ..Change::default() }, "ada").await.unwrap();
    assert_eq!(s.queue.renew(std::slice::from_ref(&lease)).await.unwrap(), [Renewal::Lost]);
    assert_eq!(s.claimed(&holder("w2")).await.spec.unwrap().body, "new");
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_settled_or_held_task_is_deleted_with_all_that_belongs_to_it() {
    let s = Setting::new();
    one_of_each(&s).await;
    for (name, expected) in
        STATES.into_iter().zip(["done", "pending", "pending", "delayed", "active", "done", "done", "done"])
    {
        let asked = s.queue.delete(&id(name), "ada").await.unwrap();
        assert_eq!(state(&asked), expected, "{name}");
        if expected == "done" {
            let keys = ["task", "spec", "log"].map(|key| format!("$:{{backend}}:{key}:{name}")).join(" ");
            assert_eq!(s.redis::<u64>(&format!("EXISTS {keys}")), 0, "{name}");
            assert!((0..=60).contains(&s.redis::<i64>(&format!("TTL $:task:{name}"))), "{name}");
            assert_eq!(s.queue.delete(&id(name), "ada").await.unwrap(), Asked::Unknown);
        }
    }
    assert_eq!(s.redis::<u64>("XLEN $:{backend}:outbox"), 0);
    for index in ["held", "finished", "failed", "cancelled"] {
        assert_eq!(s.redis::<u64>(&format!("ZCARD $:{{backend}}:{index}")), 0, "{index}");
    }
    // The id may be used again at once.
    let again = s.enqueued("held").await;
    assert_eq!(s.redis::<i64>("TTL $:task:held"), -1);
    assert_eq!(s.status(&again).await, "pending");
    s.audit().assert_sound();
}

#[tokio::test]
async fn tasks_that_ended_are_trimmed_by_number_and_by_age() {
    let s = Setting::new();
    for i in 0..250 {
        let id = s.enqueued(&format!("t{i:03}")).await;
        s.queue.cancel(&id, "ada").await.unwrap();
    }
    let day = Duration::from_secs(86_400);
    let backend = backend();
    let trim_of = |trim: Trim| s.queue.trim(&backend, Ended::Cancelled, trim);
    assert_eq!(trim_of(Trim { keep: Some(300), older_than: Some(day) }).await.unwrap(), 0);
    assert_eq!(trim_of(Trim { keep: Some(10), older_than: None }).await.unwrap(), 240);
    assert_eq!(trim_of(Trim { keep: Some(10), older_than: None }).await.unwrap(), 0);
    assert_eq!(s.redis::<u64>("ZCARD $:{backend}:cancelled"), 10);
    assert_eq!(s.redis::<[String; 1]>("ZRANGE $:{backend}:cancelled 0 0"), ["t240"]);
    assert!(s.redis::<i64>("TTL $:task:t000") <= 60);
    assert_eq!(s.redis::<u64>("XLEN $:{backend}:outbox"), 0);
    assert_eq!(trim_of(Trim { keep: None, older_than: Some(Duration::ZERO) }).await.unwrap(), 10);
    assert_eq!(s.queue.counts(&backend).await.unwrap().cancelled, 0);
    s.audit().assert_sound();
}

#[tokio::test]
async fn a_waiting_task_moves_to_another_specialty_and_back_and_is_run_there() {
    let s = Setting::new();
    let frontend: Specialty = "frontend".parse().unwrap();
    s.enqueued("first").await;
    let moved = s.enqueued("a").await;
    assert_eq!(s.queue.move_specialty(&moved, &frontend, "ada").await.unwrap(), Asked::Done);
    assert_eq!(s.queue.move_specialty(&moved, &frontend, "ada").await.unwrap(), Asked::Done);
    assert_eq!(claimed_ids(&s).await, ["first"]);
    assert_eq!(s.queue.task(&moved).await.unwrap().unwrap().specialty, frontend);
    assert_eq!(s.queue.move_specialty(&moved, &backend(), "ada").await.unwrap(), Asked::Done);
    let claimed = s.claimed(&holder("w1")).await;
    assert_eq!(claimed.spec.unwrap().specialty, backend());
    let failure = Failure::task("red");
    assert_eq!(s.queue.fail(&claimed.lease, &failure).await.unwrap(), Settlement::Done);
    s.audit().assert_sound();
}
