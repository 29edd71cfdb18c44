//! Many tasks with one call: what is wrong with one of them stops no other.

use futures_util::future::join_all;
use shared::{
    Failure, Outcome, Priority, TaskSpec,
    queue::{Enqueued, Lease, Queue, QueueError, Settlement},
};
use testkit::RedisServer;

use crate::setting::{Setting, backend, holder, queue_at, task};

fn done() -> Outcome {
    Outcome::NoChange { answer: String::new() }
}

/// Calls of scripts that `server` has carried out, those that it did not know among them.
fn script_calls(server: &RedisServer) -> u64 {
    let info: String = server.command(&["INFO", "commandstats"]).unwrap();
    let calls = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        line.and_then(|line| line.split(['=', ',']).nth(1)?.parse::<u64>().ok()).unwrap_or(0)
    };
    calls("evalsha") + calls("eval")
}

async fn leases(queue: &Queue, count: usize) -> Vec<Lease> {
    let claim = queue.claim(&holder("w1"), &backend(), count, "n").await.unwrap();
    let shared::queue::Claim::Tasks { tasks, .. } = claim else { panic!("not paused") };
    tasks.into_iter().map(|claimed| claimed.lease).collect()
}

#[tokio::test]
async fn many_tasks_are_enqueued_together_and_each_is_answered_in_its_place() {
    let s = Setting::new();
    s.enqueued("old").await;
    s.redis::<()>("SET $:task:moved testing");
    let mut specs: Vec<TaskSpec> = (0..100).map(|i| task(&format!("t{i}"), "backend")).collect();
    specs.push(task("old", "frontend"));
    specs.push(task("moved", "backend"));
    let answers: Vec<_> = s.queue.enqueue_all(&specs).await.into_iter().map(Result::unwrap).collect();
    assert!(answers[..100].iter().all(|answer| *answer == Enqueued::Created));
    assert_eq!(answers[100], Enqueued::Exists { specialty: backend() });
    assert_eq!(answers[101], Enqueued::Created);
    let moved = s.queue.spec(&specs[101].id).await.unwrap().unwrap();
    assert_eq!(moved.specialty.as_str(), "testing");
    assert_eq!(s.queue.counts(&backend()).await.unwrap().pending, 101);
    assert!(s.queue.specialties().await.unwrap().contains(&moved.specialty));
    let again = s.queue.enqueue_all(&specs).await;
    assert!(again.into_iter().all(|answer| matches!(answer, Ok(Enqueued::Exists { .. }))));
    assert!(s.queue.enqueue_all(&[]).await.is_empty());
    let twins = s.queue.enqueue_all(&[task("twin", "backend"), task("twin", "backend")]).await;
    assert_eq!(twins[0].as_ref().unwrap(), &Enqueued::Created);
    assert_eq!(twins[1].as_ref().unwrap(), &Enqueued::Exists { specialty: backend() });
}

#[tokio::test]
async fn a_stream_that_takes_no_entries_refuses_its_own_tasks_of_a_batch_and_no_others() {
    let s = Setting::new();
    s.redis::<()>("SET $:{backend}:tasks:high junk");
    let high = TaskSpec { priority: Priority::High, ..task("a", "backend") };
    let answers = s.queue.enqueue_all(&[high, task("b", "backend")]).await;
    assert!(matches!(answers[0], Err(QueueError::Unexpected { operation: "enqueue", .. })), "{answers:?}");
    assert_eq!(answers[1].as_ref().unwrap(), &Enqueued::Created);
    assert_eq!(s.redis::<u64>("EXISTS $:{backend}:task:a"), 0, "nothing of it is there");
}

#[tokio::test]
async fn on_one_server_a_task_is_enqueued_with_one_call() {
    let server = RedisServer::start().unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    queue.enqueue(&task("a", "backend")).await.unwrap();
    let before = script_calls(&server);
    assert_eq!(queue.enqueue(&task("b", "backend")).await.unwrap(), Enqueued::Created);
    let commands: String = server.command(&["INFO", "commandstats"]).unwrap();
    assert_eq!(script_calls(&server) - before, 1);
    assert!(commands.contains("cmdstat_set:calls=2,"), "the locators of two tasks: {commands}");
}

#[tokio::test]
async fn settlements_that_wait_together_leave_together_and_each_is_told_its_own() {
    let server = RedisServer::start().unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    let specs: Vec<TaskSpec> = (0..20).map(|i| task(&format!("t{i}"), "backend")).collect();
    queue.enqueue_all(&specs).await;
    let mut leases = leases(&queue, 20).await;
    queue.complete(&leases.pop().unwrap(), &done()).await.unwrap();
    queue.cancel(&leases[3].id, "ada").await.unwrap();
    leases[5].incarnation = "another".to_owned();
    let before = script_calls(&server);
    let failure = Failure::transient("x");
    let settled = join_all(leases.iter().enumerate().map(async |(i, lease)| match i % 4 {
        0 => queue.complete(lease, &done()).await.unwrap(),
        1 => queue.fail(lease, &failure).await.unwrap(),
        2 => queue.retry(lease, &failure, std::time::Duration::from_secs(60)).await.unwrap(),
        _ => queue.release(lease, "shutdown").await.unwrap(),
    }))
    .await;
    let calls = script_calls(&server) - before;
    assert!(calls <= 2, "{calls} calls for {} settlements", settled.len());
    for (i, settlement) in settled.into_iter().enumerate() {
        let expected = match i {
            3 => Settlement::Cancelled,
            5 => Settlement::Stale,
            _ => Settlement::Done,
        };
        assert_eq!(settlement, expected, "{i}");
    }
    let counts = queue.counts(&backend()).await.unwrap();
    assert_eq!((counts.completed, counts.failed, counts.delayed), (6, 4, 5));
    assert_eq!((counts.pending, counts.active, counts.cancelled), (3, 1, 1));
}

#[tokio::test]
async fn what_is_broken_about_one_task_stops_the_settlement_of_no_other() {
    let s = Setting::new();
    let high = TaskSpec { priority: Priority::High, ..task("high", "backend") };
    let specs = [high, task("junk", "backend"), task("a", "backend"), task("b", "backend")];
    s.queue.enqueue_all(&specs).await;
    let leases = leases(&s.queue, 4).await;
    s.redis::<u64>("DEL $:{backend}:tasks:high $:{backend}:task:junk");
    s.redis::<()>("SET $:{backend}:tasks:high junk");
    s.redis::<()>("SET $:{backend}:task:junk junk");
    let outcome = done();
    let settled = join_all(leases.iter().map(|lease| s.queue.complete(lease, &outcome))).await;
    assert!(matches!(settled[0], Err(QueueError::Unexpected { .. })), "{settled:?}");
    assert_eq!(*settled[1].as_ref().unwrap(), Settlement::Stale);
    assert_eq!(*settled[2].as_ref().unwrap(), Settlement::Done);
    assert_eq!(*settled[3].as_ref().unwrap(), Settlement::Done);
    assert_eq!(s.status(&leases[0].id).await, "active", "nothing of it is half done");
}

#[tokio::test]
async fn of_one_lease_that_is_settled_twice_in_one_call_the_second_is_told_already() {
    let s = Setting::new();
    s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    let (outcome, failure) = (done(), Failure::task("late"));
    let (first, second, third) = tokio::join!(
        s.queue.complete(&lease, &outcome),
        s.queue.complete(&lease, &outcome),
        s.queue.fail(&lease, &failure)
    );
    assert_eq!(first.unwrap(), Settlement::Done);
    assert_eq!((second.unwrap(), third.unwrap()), (Settlement::Already, Settlement::Already));
    assert_eq!(s.queue.counts(&backend()).await.unwrap().completed, 1);
}

#[tokio::test]
async fn a_settlement_whose_caller_went_away_stops_none_of_those_beside_it() {
    let s = Setting::new();
    s.queue.enqueue_all(&[task("a", "backend"), task("b", "backend")]).await;
    let leases = leases(&s.queue, 2).await;
    let outcome = done();
    tokio::select! {
        biased;
        _ = s.queue.complete(&leases[0], &outcome) => panic!("Redis has not been asked yet"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(s.queue.complete(&leases[1], &outcome).await.unwrap(), Settlement::Done);
    assert_eq!(s.queue.complete(&leases[0], &outcome).await.unwrap(), Settlement::Already);
}
