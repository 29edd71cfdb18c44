//! A poll, a move to another specialty and a retry that die between two of their steps: others end what was begun.

use std::process::Command;

use shared::{Specialty, Status, TaskId, crash_point::CrashPoint};
use testkit::audit::{Limits, audit};

use crate::{
    crash::{VARIABLE, each},
    forge::Forge,
    pc::{Cluster, TIGHT, until},
};

pub const POLL: [CrashPoint; 3] =
    [CrashPoint::PollTurnTaken, CrashPoint::PageHandled, CrashPoint::CursorsMoved];

pub const MOVE: [CrashPoint; 4] =
    [CrashPoint::MoveMarked, CrashPoint::MoveCopied, CrashPoint::MoveSwapped, CrashPoint::MoveLeft];

pub const RERUN: [CrashPoint; 2] = [CrashPoint::RerunIssueTaken, CrashPoint::RerunPending];

/// Changes nothing, at once.
const IDLE_AGENT: &str = "#!/bin/sh\ncat > /dev/null\n";

fn backend() -> Specialty {
    "backend".parse().unwrap()
}

/// Runs a command that dies at `point`.
async fn dies(cluster: &Cluster, point: CrashPoint, arguments: &[&str]) {
    let mut dead = cluster.spawn("pc-1", "command", arguments, &[(VARIABLE, &format!("{point:?}"))]);
    assert_eq!(dead.ended().await, None, "{point:?}: {}", dead.log());
}

/// Every effect is carried out, and nothing contradicts itself.
async fn comes_to_rest(cluster: &Cluster, specialties: &[&str]) {
    for specialty in specialties {
        let outbox = format!("ccc:{{{specialty}}}:outbox");
        until("every effect has been carried out", || async {
            (cluster.redis.command::<u64>(&["XLEN", &outbox]).unwrap() == 0).then_some(())
        })
        .await;
    }
    audit(&cluster.redis, "ccc", &Limits::default()).unwrap().assert_settled();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_another_specialty_that_dies_after_any_of_its_steps_is_finished_by_sweeps() {
    each(&MOVE, |point| async move {
        let cluster = Cluster::on_slots(TIGHT, IDLE_AGENT);
        let id = cluster.enqueue("a").await;
        dies(&cluster, point, &["tasks", "move", "a", "--specialty", "frontend"]).await;
        let _worker = cluster.start("pc-1", "w1");
        let record = cluster.settled(&id).await;
        assert_eq!((record.specialty.as_str(), record.runs), ("frontend", 1), "{record:?}");
        comes_to_rest(&cluster, &["backend", "frontend"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_dies_between_its_steps_is_made_again_or_finished_by_sweeps() {
    each(&RERUN, |point| async move {
        let forge = Forge::on_slots().await;
        let cluster = &forge.cluster;
        let id = forge.enqueue().await;
        cluster.queue.cancel(&id, "ada").await.unwrap();
        cluster.queue.pause(&backend(), "ada", "", None).await.unwrap();
        dies(cluster, point, &["tasks", "retry", "a"]).await;
        let _worker = cluster.start("pc-1", "w1");
        if point == CrashPoint::RerunIssueTaken {
            assert!(matches!(cluster.record(&id).await.status, Status::Cancelled { .. }));
            let mut again = cluster.spawn("pc-1", "again", &["tasks", "retry", "a"], &[]);
            assert_eq!(again.ended().await, Some(0), "{}", again.log());
        }
        for key in ["ccc:issue:octo/cat#7", "ccc:task:a"] {
            until("its issue and its locator are lasting", || async {
                (cluster.redis.command::<i64>(&["TTL", key]).unwrap() == -1).then_some(())
            })
            .await;
        }
        cluster.queue.resume(&backend(), "ada").await.unwrap();
        let record = cluster.settled(&id).await;
        assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
        forge.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_that_dies_between_two_steps_is_succeeded_and_what_it_found_becomes_one_task() {
    each(&POLL, |point| async move {
        let forge = Forge::new().await;
        let polling = [
            ("CLAUDE_CLUSTER__POLL__ENABLED", "true"),
            ("CLAUDE_CLUSTER__POLL__REPOSITORIES", "octo/cat"),
            ("CLAUDE_CLUSTER__POLL__INTERVAL_MS", "1000"),
            ("CLAUDE_CLUSTER__POLL__JITTER_MS", "0"),
            (VARIABLE, &format!("{point:?}")),
        ];
        // By its own clock GitHub has just been told.
        let now = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap().stdout;
        let now = String::from_utf8(now).unwrap();
        forge.github.state().comment("ann", "MEMBER", "/claude backend", now.trim());
        let (mut dead, _) = forge.ingester("ingest-1", &polling).await;
        assert_eq!(dead.ended().await, None, "{}", dead.log());
        let (_second, _) = forge.ingester("ingest-2", &polling[..4]).await;
        let found = until("the command has led to a task", || async {
            forge.cluster.queue.issue_task(&"octo/cat".parse().unwrap(), 7).await.unwrap()
        })
        .await;
        let looks =
            || forge.github.asked().iter().filter(|asked| asked.path.ends_with("issues/comments")).count();
        let before = looks();
        until("it has been looked at again", || async { (looks() > before + 2).then_some(()) }).await;
        let _worker = forge.cluster.start("pc-1", "w1");
        let record = forge.cluster.settled(&found.id).await;
        assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
        let before = looks();
        until("it has been looked at again", || async { (looks() > before + 2).then_some(()) }).await;
        let tasks = |state: &'static str| {
            let queue = forge.cluster.queue.clone();
            async move { queue.list(&backend(), state, None, 9).await.unwrap().tasks }
        };
        let all: Vec<TaskId> = [tasks("completed").await, tasks("pending").await]
            .concat()
            .into_iter()
            .map(|task| task.id)
            .collect();
        assert_eq!(all, [record.id], "one task");
        assert_eq!(forge.github.state().pulls.len(), 1);
    })
    .await;
}
