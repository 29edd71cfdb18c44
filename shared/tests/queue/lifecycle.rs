//! Each arrow of the lifecycle diagram.

use std::time::Duration;

use shared::{
    Failure, FailureClass, Outcome, Priority, Status, TaskSpec,
    outcome::TestsSummary,
    queue::{
        AgedLine, CancelAnswer, ClaimHeld, Enqueued, ReleaseHeldAnswer, Renewal, Settlement, events_from,
    },
    task_log::{LogLine, LogStream},
};

use crate::setting::{Setting, backend, holder, task};

fn branch() -> Outcome {
    let tests = TestsSummary::Passed { command: "make test".to_owned(), count: None };
    Outcome::Branch { branch: "claude/issue-7".to_owned(), commit: "c0ffee".to_owned(), tests }
}

#[tokio::test]
async fn a_task_goes_from_pending_over_active_to_completed_and_leaves_nothing_behind() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    assert_eq!(s.status(&id).await, "pending");
    let claimed = s.claimed(&holder("w1")).await;
    assert_eq!(claimed.spec.as_ref().unwrap().body, "the body");
    assert_eq!(claimed.runs, 1);
    assert_eq!(s.status(&id).await, "active");
    assert!(s.queue.set_phase(&claimed.lease, "testing").await.unwrap());
    assert_eq!(s.queue.complete(&claimed.lease, &branch()).await.unwrap(), Settlement::Done);
    let Status::Completed { result, .. } = s.queue.task(&id).await.unwrap().unwrap().status else {
        panic!("completed")
    };
    assert_eq!(result.branch.as_deref(), Some("claude/issue-7"));
    assert_eq!(result.tests.as_deref(), Some("passed (make test)"));
    s.assert_drained();
    assert!(s.redis::<i64>("TTL $:task:a") > 0, "the locator ends some day");
}

#[tokio::test]
async fn enqueueing_an_id_again_changes_nothing_whatever_specialty_it_names() {
    let s = Setting::new();
    assert_eq!(s.queue.enqueue(&task("a", "backend")).await.unwrap(), Enqueued::Created);
    let again = s.queue.enqueue(&task("a", "frontend")).await.unwrap();
    assert_eq!(again, Enqueued::Exists { specialty: backend() });
    assert_eq!(s.redis::<u64>("XLEN $:{backend}:tasks:medium"), 1);
    assert_eq!(s.redis::<u64>("EXISTS $:{frontend}:tasks:medium"), 0);
}

#[tokio::test]
async fn a_locator_without_a_record_is_filled_in_the_specialty_it_names() {
    let s = Setting::new();
    s.redis::<()>("SET $:task:a backend");
    s.queue.enqueue(&task("a", "frontend")).await.unwrap();
    let record = s.queue.task(&"a".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(record.specialty, backend());
}

#[tokio::test]
async fn higher_priorities_go_first_and_each_stream_in_its_order() {
    let s = Setting::new();
    for (id, priority) in
        [("l", Priority::Low), ("m1", Priority::Medium), ("h", Priority::High), ("m2", Priority::Medium)]
    {
        s.queue.enqueue(&TaskSpec { priority, ..task(id, "backend") }).await.unwrap();
    }
    let ids: Vec<_> = s.claim(&holder("w1"), 3).await.into_iter().map(|c| c.lease.id.to_string()).collect();
    assert_eq!(ids, ["h", "m1", "m2"]);
    assert_eq!(s.claim(&holder("w2"), 3).await[0].lease.id.as_str(), "l");
}

#[tokio::test]
async fn a_released_task_is_next_in_line_and_not_counted() {
    let s = Setting::new();
    for id in ["a", "b", "c"] {
        s.enqueued(id).await;
    }
    let first = s.claimed(&holder("w1")).await;
    assert_eq!(s.queue.release(&first.lease, "shutdown").await.unwrap(), Settlement::Done);
    let again = s.claimed(&holder("w2")).await;
    assert_eq!(again.lease.id.as_str(), "a");
    assert!(again.lease.fence > first.lease.fence);
    assert_eq!((again.runs, again.attempts), (2, 0));
    assert_eq!(s.queue.release(&first.lease, "shutdown").await.unwrap(), Settlement::Stale);
}

#[tokio::test]
async fn a_retry_waits_for_its_time_counts_and_fails_when_the_attempts_are_used_up() {
    let s = Setting::with(|q| q.attempts_max = 2);
    let id = s.enqueued("a").await;
    let failure = Failure::transient("clone failed");
    let claimed = s.claimed(&holder("w1")).await;
    assert_eq!(
        s.queue.retry(&claimed.lease, &failure, Duration::from_millis(30)).await.unwrap(),
        Settlement::Done
    );
    assert_eq!(s.status(&id).await, "delayed");
    assert!(s.claim(&holder("w1"), 1).await.is_empty(), "not before its time");
    let again = loop {
        s.queue.sweep(&backend()).await.unwrap();
        if let Some(claimed) = s.claim(&holder("w1"), 1).await.pop() {
            break claimed;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(again.attempts, 1);
    let last = s.queue.retry(&again.lease, &failure, Duration::ZERO).await.unwrap();
    assert_eq!(last, Settlement::Failed);
    let Status::Failed { class, message, .. } = s.queue.task(&id).await.unwrap().unwrap().status else {
        panic!("failed")
    };
    assert_eq!((class, message.as_str()), (FailureClass::Transient, "clone failed"));
    s.assert_drained();
}

#[tokio::test]
async fn a_failed_task_keeps_its_specification_and_a_completed_one_does_not() {
    let s = Setting::new();
    let failed = s.enqueued("a").await;
    let claimed = s.claimed(&holder("w1")).await;
    s.queue.fail(&claimed.lease, &Failure::task("tests are red")).await.unwrap();
    assert_eq!(s.queue.spec(&failed).await.unwrap().unwrap().body, "the body");
    let done = s.enqueued("b").await;
    assert_eq!(s.queue.spec(&done).await.unwrap().unwrap().id, done);
    let claimed = s.claimed(&holder("w1")).await;
    s.queue.complete(&claimed.lease, &branch()).await.unwrap();
    assert_eq!(s.queue.spec(&done).await.unwrap(), None);
}

#[tokio::test]
async fn a_held_task_is_claimed_by_nobody_but_by_its_id() {
    let s = Setting::new();
    let spec = task("a", "backend");
    assert_eq!(s.queue.hold(&spec).await.unwrap(), Enqueued::Created);
    assert!(s.claim(&holder("w1"), 5).await.is_empty());
    assert_eq!(s.status(&spec.id).await, "held");
    let w = holder("w1");
    let ClaimHeld::Claimed(claimed) = s.queue.claim_held(&w, &spec.id, "n1").await.unwrap() else {
        panic!("claimed")
    };
    assert_eq!(claimed.spec.as_ref().unwrap(), &spec);
    // The answer was lost and it is sent again: the same lease. Somebody else gets nothing.
    assert_eq!(s.queue.claim_held(&w, &spec.id, "n1").await.unwrap(), ClaimHeld::Claimed(claimed.clone()));
    assert_eq!(s.queue.claim_held(&holder("w2"), &spec.id, "n2").await.unwrap(), ClaimHeld::NotHeld);
    assert_eq!(s.queue.counts(&backend()).await.unwrap().active, 1);
    s.queue.complete(&claimed.lease, &branch()).await.unwrap();
    s.assert_drained();
}

#[tokio::test]
async fn a_held_task_that_is_released_or_given_back_waits_like_any_other() {
    let s = Setting::new();
    let (a, b) = (task("a", "backend"), task("b", "backend"));
    s.queue.hold(&a).await.unwrap();
    s.queue.hold(&b).await.unwrap();
    assert_eq!(s.queue.release_held(&a.id).await.unwrap(), ReleaseHeldAnswer::Released);
    let ClaimHeld::Claimed(claimed) = s.queue.claim_held(&holder("w1"), &b.id, "n").await.unwrap() else {
        panic!("claimed")
    };
    s.queue.release(&claimed.lease, "shutdown").await.unwrap();
    assert_eq!(s.queue.counts(&backend()).await.unwrap().pending, 2);
    let tasks = s.claim(&holder("w2"), 5).await;
    assert_eq!(tasks.iter().map(|c| c.spec.clone().unwrap()).collect::<Vec<_>>(), [a, b]);
    for claimed in tasks {
        s.queue.complete(&claimed.lease, &branch()).await.unwrap();
    }
    s.assert_drained();
}

#[tokio::test]
async fn a_cancel_works_in_every_state() {
    let s = Setting::with(|q| q.attempts_max = 9);
    let held = task("held", "backend");
    s.queue.hold(&held).await.unwrap();
    let pending = s.enqueued("pending").await;
    assert_eq!(s.queue.cancel(&held.id, "ada").await.unwrap(), CancelAnswer::Cancelled);
    assert_eq!(s.queue.cancel(&pending, "ada").await.unwrap(), CancelAnswer::Cancelled);
    s.enqueued("delayed").await;
    let delayed = s.claimed(&holder("w1")).await.lease;
    s.queue.retry(&delayed, &Failure::transient("x"), Duration::from_secs(60)).await.unwrap();
    assert_eq!(s.queue.cancel(&delayed.id, "ada").await.unwrap(), CancelAnswer::Cancelled);
    s.enqueued("returned").await;
    let returned = s.claimed(&holder("w1")).await.lease;
    s.queue.release(&returned, "shutdown").await.unwrap();
    assert_eq!(s.queue.cancel(&returned.id, "ada").await.unwrap(), CancelAnswer::Cancelled);
    assert!(s.claim(&holder("w1"), 9).await.is_empty());
    s.assert_drained();

    s.enqueued("active").await;
    let active = s.claimed(&holder("w1")).await.lease;
    assert_eq!(s.queue.cancel(&active.id, "ada").await.unwrap(), CancelAnswer::Requested);
    let answer = s.queue.renew(std::slice::from_ref(&active)).await.unwrap();
    assert_eq!(answer, [Renewal::CancelRequested { by: "ada".to_owned() }]);
    assert!(!s.queue.still_held(&active).await.unwrap(), "nothing of it is published any more");
    assert_eq!(s.queue.release(&active, "cancelled").await.unwrap(), Settlement::Cancelled);
    assert!(matches!(s.queue.cancel(&active.id, "ada").await.unwrap(), CancelAnswer::AlreadySettled(_)));
    assert_eq!(s.queue.cancel(&"nobody".parse().unwrap(), "ada").await.unwrap(), CancelAnswer::Unknown);
    s.assert_drained();
}

#[tokio::test]
async fn a_cancel_turns_release_retry_failure_and_loss_into_cancelled() {
    let s = Setting::new();
    for (name, way) in ["release", "retry", "fail", "loss"].iter().zip(0..) {
        let id = s.enqueued(name).await;
        let lease = s.claimed(&holder("w1")).await.lease;
        s.queue.cancel(&id, "ada").await.unwrap();
        let failure = Failure::transient("x");
        match way {
            0 => drop(s.queue.release(&lease, "shutdown").await.unwrap()),
            1 => drop(s.queue.retry(&lease, &failure, Duration::ZERO).await.unwrap()),
            2 => drop(s.queue.fail(&lease, &failure).await.unwrap()),
            _ => {
                let successor =
                    shared::queue::Holder { node: "w1".to_owned(), incarnation: "w1-2".to_owned() };
                s.queue.forfeit(&successor, &backend()).await.unwrap();
            }
        }
        assert_eq!(s.status(&id).await, "cancelled", "{name}");
    }
    assert!(s.claim(&holder("w2"), 9).await.is_empty());
    s.queue.sweep(&backend()).await.unwrap();
}

#[tokio::test]
async fn a_settlement_sent_again_answers_already_and_changes_nothing() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    assert_eq!(s.queue.complete(&lease, &branch()).await.unwrap(), Settlement::Done);
    assert_eq!(s.queue.complete(&lease, &branch()).await.unwrap(), Settlement::Already);
    assert_eq!(s.queue.fail(&lease, &Failure::task("late")).await.unwrap(), Settlement::Already);
    assert_eq!(s.status(&id).await, "completed");
    assert_eq!(s.queue.counts(&backend()).await.unwrap().completed, 1);
}

#[tokio::test]
async fn orphaned_entries_in_front_are_dropped_and_do_not_block_a_claim() {
    let s = Setting::new();
    for i in 0..250 {
        s.redis::<String>(&format!("XADD $:{{backend}}:tasks:medium * task gone-{i} spec x"));
    }
    s.enqueued("a").await;
    let mut rounds = 0;
    let claimed = loop {
        rounds += 1;
        match s.queue.claim(&holder("w1"), &backend(), 1, "n").await.unwrap() {
            shared::queue::Claim::Tasks { mut tasks, again } => match tasks.pop() {
                Some(claimed) => break claimed,
                None => assert!(again, "it says that more may wait"),
            },
            shared::queue::Claim::Paused => panic!("not paused"),
        }
    };
    assert_eq!(claimed.lease.id.as_str(), "a");
    assert!(rounds <= 4, "{rounds}");
    assert_eq!(s.redis::<u64>("XLEN $:{backend}:tasks:medium"), 1);
}

#[tokio::test]
async fn an_active_record_is_readable_with_redis_cli_and_small() {
    let s = Setting::new();
    let spec = TaskSpec { issue: Some(42), ..task("a", "backend") };
    s.queue.enqueue(&spec).await.unwrap();
    s.claimed(&holder("w1")).await;
    let fields: std::collections::HashMap<String, String> = s.redis("HGETALL $:{backend}:task:a");
    for (name, value) in [
        ("repository", "octo/cat"),
        ("issue", "42"),
        ("title", "a title"),
        ("priority", "medium"),
        ("status", "active"),
    ] {
        assert_eq!(fields[name], value);
    }
    assert_eq!(s.redis::<String>("OBJECT ENCODING $:{backend}:task:a"), "listpack");
}

#[tokio::test]
async fn the_log_is_read_from_a_cursor_and_ends_some_day() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    let claimed = s.claimed(&holder("w1")).await;
    let line = |text: &str| AgedLine::from(LogLine::new(LogStream::Agent, text));
    s.queue.append_log(&claimed.lease, 1, &[line("one"), line("two")]).await.unwrap();
    let first = s.queue.read_log(&id, None, 1).await.unwrap();
    assert_eq!(first[0].line.text, "one");
    let rest = s.queue.read_log(&id, Some(&first[0].cursor), 100).await.unwrap();
    assert_eq!(rest.iter().map(|e| e.line.text.as_str()).collect::<Vec<_>>(), ["two"]);
    s.queue.complete(&claimed.lease, &branch()).await.unwrap();
    s.queue.append_log(&claimed.lease, 1, &[line("late")]).await.unwrap();
    assert!(s.redis::<i64>("PTTL $:{backend}:log:a") > 0);
}

#[tokio::test]
async fn a_log_is_capped_and_its_lines_are_numbered_so_that_a_reader_sees_what_is_gone() {
    let s = Setting::with(|q| q.log_lines_max = 200);
    let id = s.enqueued("a").await;
    let claimed = s.claimed(&holder("w1")).await;
    for batch in 0..10 {
        let line =
            |n: u64| AgedLine::from(LogLine::new(LogStream::Test, &format!("line {}", batch * 100 + n)));
        let lines: Vec<_> = (1..=100).map(line).collect();
        s.queue.append_log(&claimed.lease, 1, &lines).await.unwrap();
    }
    let kept = s.queue.read_log(&id, None, 1_000).await.unwrap();
    // Whole blocks of the stream go at a time.
    assert!((200..=400).contains(&kept.len()), "{}", kept.len());
    assert!(kept.iter().all(|entry| entry.line.text == format!("line {}", entry.seq)));
    assert!(kept.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    assert_eq!(kept.last().unwrap().seq, 1_000);
}

#[tokio::test]
async fn settled_tasks_are_kept_up_to_their_number() {
    let s = Setting::with(|q| q.finished_count_max = 3);
    for i in 0..8 {
        s.enqueued(&format!("t{i}")).await;
        let claimed = s.claimed(&holder("w1")).await;
        s.queue.complete(&claimed.lease, &branch()).await.unwrap();
    }
    assert_eq!(s.redis::<Vec<String>>("ZRANGE $:{backend}:finished 0 -1"), ["t5", "t6", "t7"]);
    assert_eq!(s.redis::<u64>("EXISTS $:{backend}:task:t0"), 0);
}

#[tokio::test]
async fn an_id_that_is_used_again_after_its_record_went_is_found_for_as_long_as_it_waits() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    let claimed = s.claimed(&holder("w1")).await;
    s.queue.complete(&claimed.lease, &branch()).await.unwrap();
    assert!(s.redis::<i64>("TTL $:task:a") > 0);
    // Settled tasks beyond the number that is kept go before their locators.
    s.redis::<u64>("DEL $:{backend}:task:a $:{backend}:finished");
    s.enqueued("a").await;
    assert_eq!(s.redis::<i64>("TTL $:task:a"), -1);
    assert_eq!(s.status(&id).await, "pending");
}

#[tokio::test]
async fn events_and_counters_stay_within_their_limits() {
    let s = Setting::with(|q| q.events_count_max = 50);
    for i in 0..150 {
        s.enqueued(&format!("t{i}")).await;
        let claimed = s.claimed(&holder("w1")).await;
        s.queue.complete(&claimed.lease, &branch()).await.unwrap();
    }
    // Trimmed by whole nodes of the stream, of a hundred entries each.
    assert!(s.redis::<u64>("XLEN $:{backend}:events") <= 150);
    assert!(s.redis::<u64>("HLEN $:{backend}:stats") < 20);
}

#[tokio::test]
async fn lists_are_paged_and_events_tell_every_transition() {
    let s = Setting::new();
    for i in 0..5 {
        s.enqueued(&format!("t{i}")).await;
    }
    let page = s.queue.list(&backend(), "pending", None, 3).await.unwrap();
    let rest = s.queue.list(&backend(), "pending", page.next.as_deref(), 3).await.unwrap();
    let ids: Vec<_> = page.tasks.iter().chain(&rest.tasks).map(|t| t.id.to_string()).collect();
    assert_eq!(ids, ["t0", "t1", "t2", "t3", "t4"]);
    assert_eq!(rest.next, None);
    s.claimed(&holder("w1")).await;
    let events = s.queue.events_after(&backend(), None, 100).await.unwrap();
    assert_eq!(events.iter().filter(|e| e.event == "pending").count(), 5);
    let active = events.last().unwrap();
    assert_eq!((active.event.as_str(), active.details["worker"].as_str()), ("active", "w1"));
    let after = s.queue.events_after(&backend(), Some(&active.cursor), 100).await.unwrap();
    assert!(after.is_empty());
}

#[tokio::test]
async fn events_are_read_from_a_moment_on_that_is_their_own_and_from_where_they_end() {
    let s = Setting::new();
    assert_eq!(s.queue.events_end(&backend()).await.unwrap(), "0-0");
    s.enqueued("t0").await;
    let first = s.queue.events_after(&backend(), None, 1).await.unwrap().remove(0);
    assert!(first.cursor.ends_with("-0"), "the first of its millisecond: {}", first.cursor);
    let from_its_moment = s.queue.events_after(&backend(), Some(&events_from(first.at)), 10).await.unwrap();
    assert_eq!(from_its_moment[0].task, "t0");
    let later = s.queue.events_after(&backend(), Some(&events_from(first.at + 1)), 10).await.unwrap();
    assert!(later.iter().all(|event| event.at > first.at));
    let end = s.queue.events_end(&backend()).await.unwrap();
    s.enqueued("t1").await;
    let after = s.queue.events_after(&backend(), Some(&end), 10).await.unwrap();
    assert!(!after.is_empty() && after.iter().all(|event| event.task == "t1"), "{after:?}");
    assert_eq!(events_from(0), "0-0");
}
