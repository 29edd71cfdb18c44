//! Each place where a worker or an ingester does two things with effects: it dies or freezes between them, and
//! another process goes on.

use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt, StreamExt, stream};
use nix::sys::signal::Signal;
use shared::{FailureClass, Status, crash_point::CrashPoint};
use testkit::{
    audit::{Limits, audit},
    faults::Fault,
};

use crate::{
    forge::{Forge, assert_no_workspace_left},
    interrupted::{MOVE, POLL, RERUN},
    pc::{Cluster, Pc, TIGHT, until},
};

/// Stages at a time: most of what they do is waiting for a lease to run out.
const AT_ONCE: usize = 3;

/// Arms a process.
pub const VARIABLE: &str = "CLAUDE_CLUSTER_CRASH_POINT";

/// On the way of one task to its pull request, and how often it is claimed and lost when its worker dies there.
const ON_THE_WAY: [(CrashPoint, u32, u32); 24] = [
    (CrashPoint::Announced, 1, 0),
    (CrashPoint::Forfeited, 1, 0),
    (CrashPoint::Claimed, 2, 1),
    (CrashPoint::Entered, 2, 1),
    (CrashPoint::IssueOwned, 2, 1),
    (CrashPoint::WorkspaceMade, 2, 1),
    (CrashPoint::BeginSaid, 2, 1),
    (CrashPoint::CheckedOut, 2, 1),
    (CrashPoint::AgentStarted, 2, 1),
    (CrashPoint::AgentEnded, 2, 1),
    (CrashPoint::Tested, 2, 1),
    (CrashPoint::Committed, 2, 1),
    (CrashPoint::Received, 2, 1),
    (CrashPoint::FenceAsked, 2, 1),
    (CrashPoint::Pushed, 2, 1),
    (CrashPoint::FenceAskedAgain, 2, 1),
    (CrashPoint::Proposed, 2, 1),
    (CrashPoint::Adorned, 2, 1),
    (CrashPoint::WorkspaceRemoved, 2, 1),
    (CrashPoint::EndSaid, 2, 1),
    (CrashPoint::Settled, 1, 0),
    (CrashPoint::EffectDue, 1, 0),
    (CrashPoint::IssueFreed, 1, 0),
    (CrashPoint::LocatorEnds, 1, 0),
];

/// Of these, the ones after which another host finds something else than the restarted worker does.
const ELSEWHERE: [CrashPoint; 9] = [
    CrashPoint::Announced,
    CrashPoint::Claimed,
    CrashPoint::BeginSaid,
    CrashPoint::AgentStarted,
    CrashPoint::Received,
    CrashPoint::Pushed,
    CrashPoint::Proposed,
    CrashPoint::EndSaid,
    CrashPoint::EffectDue,
];

/// Where a worker that freezes is overtaken and then wakes up in the belief that the task is its own.
const OVERTAKEN: [CrashPoint; 9] = [
    CrashPoint::Claimed,
    CrashPoint::IssueOwned,
    CrashPoint::AgentEnded,
    CrashPoint::Received,
    CrashPoint::FenceAsked,
    CrashPoint::Pushed,
    CrashPoint::FenceAskedAgain,
    CrashPoint::Proposed,
    CrashPoint::EndSaid,
];

const INGEST: [CrashPoint; 7] = [
    CrashPoint::IssueTaken,
    CrashPoint::TriggerKept,
    CrashPoint::LocatorTaken,
    CrashPoint::Admitted,
    CrashPoint::IssueEnqueued,
    CrashPoint::IssueKept,
    CrashPoint::DeliveryKept,
];

/// When it has answered, and says on the issue that the task waits.
pub const TELLING: [CrashPoint; 2] = [CrashPoint::WaitingAsked, CrashPoint::WaitingSaid];

/// Each has a test of its own.
const APART: [CrashPoint; 6] = [
    CrashPoint::HeldClaimed,
    CrashPoint::DuplicateFlagged,
    CrashPoint::Referred,
    CrashPoint::AccountSuspended,
    CrashPoint::Charged,
    CrashPoint::GivenBack,
];

/// Between steps that only a Redis Cluster takes apart.
const BETWEEN_SLOTS: [CrashPoint; 5] = [
    CrashPoint::LocatorTaken,
    CrashPoint::Admitted,
    CrashPoint::EffectDue,
    CrashPoint::IssueFreed,
    CrashPoint::LocatorEnds,
];

#[test]
fn every_crash_point_is_tested() {
    let on_the_way = ON_THE_WAY.map(|(point, ..)| point);
    for (point, name) in CrashPoint::ALL {
        let tested = [&on_the_way[..], &INGEST, &TELLING, &POLL, &MOVE, &RERUN, &APART]
            .iter()
            .any(|table| table.contains(point));
        assert!(tested, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_anywhere_and_is_restarted_publishes_once_and_leaves_nothing() {
    each(&ON_THE_WAY, |(point, runs, lost)| async move {
        let forge = forge_with(point).await;
        let id = forge.enqueue().await;
        killed(&forge, point).await;
        let again = forge.cluster.start("pc-1", "w1");
        let record = forge.cluster.settled(&id).await;
        assert_eq!((record.runs, record.lost, record.attempts), (runs, lost, 0));
        forge.assert_published_once(&record).await;
        assert_no_workspace_left(&again).await;
        forge.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_has_begun_that_dies_another_host_ends_once() {
    let rows: Vec<_> = ON_THE_WAY.into_iter().filter(|(point, ..)| ELSEWHERE.contains(point)).collect();
    each(&rows, |(point, runs, lost)| async move {
        let forge = forge_with(point).await;
        let id = forge.enqueue().await;
        killed(&forge, point).await;
        let _other = forge.cluster.start("pc-2", "w2");
        let record = forge.cluster.settled(&id).await;
        // Where no sweep ran for a while, as if Redis had been away, a loss does not count.
        assert!((record.runs, record.attempts) == (runs, 0) && record.lost <= lost, "{record:?}");
        forge.assert_published_once(&record).await;
        forge.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_freezes_anywhere_and_is_overtaken_changes_nothing_when_it_wakes() {
    each(&OVERTAKEN, |point| async move {
        let forge = Forge::new().await;
        let id = forge.enqueue().await;
        let zombie = forge.cluster.start_with("pc-1", "w1", &[(VARIABLE, &format!("{point:?}:freeze"))]);
        zombie.frozen().await;
        let _other = forge.cluster.start("pc-2", "w2");
        let record = forge.cluster.settled(&id).await;
        assert_eq!(record.runs, 2);
        zombie.signal(Signal::SIGCONT);
        until("the zombie has given up", || async {
            let log = zombie.log();
            ["task given up", "Stale"].iter().any(|said| log.contains(said)).then_some(())
        })
        .await;
        forge.assert_published_once(&forge.cluster.record(&id).await).await;
        forge.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingester_that_dies_anywhere_and_is_asked_again_makes_one_task() {
    each(&INGEST, |point| async move {
        let forge = forge_with(point).await;
        let (mut first, url) = forge.ingester("ingest-1", &[(VARIABLE, &format!("{point:?}"))]).await;
        assert!(Forge::deliver(&url, "g").await.is_none(), "it died before its answer");
        assert_eq!(first.ended().await, None);
        let (_second, url) = forge.ingester("ingest-2", &[]).await;
        let (status, answer) = Forge::deliver(&url, "g").await.unwrap();
        assert!(status == 202 || answer["status"] == "duplicate", "{status} {answer}");
        let id = answer["task_id"].as_str().unwrap().parse().unwrap();
        let _worker = forge.cluster.start("pc-1", "w1");
        let record = forge.cluster.settled(&id).await;
        assert_eq!((record.runs, record.lost), (1, 0));
        forge.assert_published_once(&record).await;
        forge.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_ingester_that_freezes_and_one_that_overtakes_it_one_task_is_run() {
    each(&[CrashPoint::IssueTaken, CrashPoint::LocatorTaken], |point| async move {
        let forge = forge_with(point).await;
        let (frozen, url) = forge.ingester("ingest-1", &[(VARIABLE, &format!("{point:?}:freeze"))]).await;
        let late = tokio::spawn(async move { Forge::deliver(&url, "g1").await });
        frozen.frozen().await;
        let (_second, url) = forge.ingester("ingest-2", &[]).await;
        let (_, answer) = Forge::deliver(&url, "g2").await.unwrap();
        let id = answer["task_id"].as_str().unwrap().parse().unwrap();
        frozen.signal(Signal::SIGCONT);
        let (_, late) = late.await.unwrap().unwrap();
        let other = late["task_id"].as_str().unwrap().parse().unwrap();
        let _worker = forge.cluster.start("pc-1", "w1");
        let record = forge.cluster.settled(&id).await;
        if other != id {
            let other = forge.cluster.settled(&other).await;
            assert!(
                matches!(&other.status, Status::Cancelled { reason, .. } if reason.contains("duplicate"))
            );
        }
        forge.assert_published_once(&record).await;
        forge.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingester_that_freezes_until_its_task_has_ended_leaves_the_issue_free() {
    let forge = Forge::new().await;
    let variables = [(VARIABLE, "IssueEnqueued:freeze")];
    let (frozen, url) = forge.ingester("ingest-1", &variables).await;
    let late = tokio::spawn(async move { Forge::deliver(&url, "g").await });
    frozen.frozen().await;
    let _worker = forge.cluster.start("pc-1", "w1");
    let tasks =
        || async { forge.cluster.queue.list(&"backend".parse().unwrap(), "completed", None, 1).await };
    let record = until("the task is done", || async { tasks().await.ok()?.tasks.pop() }).await;
    frozen.signal(Signal::SIGCONT);
    let (_, answer) = late.await.unwrap().unwrap();
    assert_eq!(answer["task_id"], record.id.as_str());
    forge.assert_published_once(&record).await;
    forge.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ends_before_its_second_offer_has_come_to_an_end_is_forgotten_in_time() {
    let cluster = Cluster::on_slots(TIGHT, "#!/bin/sh\ncat > /dev/null\necho more >> README\n");
    let issue = cluster.dir.path().join("issue.md");
    std::fs::write(&issue, "# Make it better\n").unwrap();
    let (repository, issue) = (cluster.remote.path().display().to_string(), issue.display().to_string());
    let offer = ["create-task", "--enqueue", "--repo", &repository, "--issue-file", &issue, "--task-id", "a"];
    let mut first = cluster.spawn("pc-1", "first", &offer, &[(VARIABLE, "LocatorTaken")]);
    assert_eq!(first.ended().await, None, "{}", first.log());
    let life_s = || cluster.redis.command::<i64>(&["TTL", "ccc:task:a"]).unwrap();
    assert!(life_s() > 0, "should nobody offer it again, the id is free some day");
    let mut second = cluster.spawn("pc-1", "second", &offer, &[(VARIABLE, "Admitted:freeze")]);
    second.frozen().await;
    let _worker = cluster.start("pc-1", "w1");
    let record = cluster.settled(&"a".parse().unwrap()).await;
    assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
    second.signal(Signal::SIGCONT);
    assert_eq!(second.ended().await, Some(0), "{}", second.log());
    until("its locator has an end", || async { (life_s() > 0).then_some(()) }).await;
    audit(&cluster.redis, "ccc", &Limits::default()).unwrap().assert_settled();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_ingester_died_before_it_made_the_locator_lasting_is_found_for_as_long_as_it_waits() {
    let cluster = Cluster::on_slots(TIGHT, "#!/bin/sh\ncat > /dev/null\n");
    let issue = cluster.dir.path().join("issue.md");
    std::fs::write(&issue, "# Make it better\n").unwrap();
    let (repository, issue) = (cluster.remote.path().display().to_string(), issue.display().to_string());
    cluster.queue.pause(&"backend".parse().unwrap(), "ada", "", None).await.unwrap();
    let what = ["--repo", &repository, "--issue-file", &issue, "--specialty", "backend"];
    let offer = [&["create-task", "--task-id", "a"][..], &what].concat();
    for enqueue in [&offer[..], &[&offer[..], &["--enqueue"]].concat()] {
        let mut dead = cluster.spawn("pc-1", "offer", enqueue, &[(VARIABLE, "Admitted")]);
        assert_eq!(dead.ended().await, None, "{}", dead.log());
        let life_s = || cluster.redis.command::<i64>(&["TTL", "ccc:task:a"]).unwrap();
        assert!(life_s() > 0);
        let _sweeps = cluster.start("pc-1", "w1");
        until("a sweep has made it lasting", || async { (life_s() == -1).then_some(()) }).await;
        cluster.queue.cancel(&"a".parse().unwrap(), "ada").await.unwrap();
        cluster.queue.delete(&"a".parse().unwrap(), "ada").await.unwrap();
        cluster.redis.command::<u64>(&["DEL", "ccc:task:a"]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_task_of_an_issue_is_cancelled_although_its_worker_dies_over_it() {
    let forge = Forge::new().await;
    let id = forge.enqueue().await;
    let second = Forge::task("b");
    forge.cluster.queue.enqueue(&second).await.unwrap();
    killed(&forge, CrashPoint::DuplicateFlagged).await;
    let again = forge.cluster.start("pc-1", "w1");
    assert!(matches!(forge.cluster.settled(&second.id).await.status, Status::Cancelled { .. }));
    forge.assert_settled_once(&second.id, "cancelled").await;
    let record = forge.cluster.settled(&id).await;
    forge.assert_published_once(&record).await;
    assert_no_workspace_left(&again).await;
    forge.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_task_whose_process_dies_is_run_by_a_worker() {
    let forge = Forge::new().await;
    let spec = Forge::task("a");
    forge.cluster.queue.hold(&spec).await.unwrap();
    let variables = [(VARIABLE, "HeldClaimed")];
    let mut run = forge.cluster.spawn("pc-1", "run", &["run-task", spec.id.as_str()], &variables);
    assert_eq!(run.ended().await, None, "{}", run.log());
    let _worker = forge.cluster.start("pc-1", "w1");
    let record = forge.cluster.settled(&spec.id).await;
    assert_eq!(record.runs, 2);
    forge.assert_published_once(&record).await;
    forge.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_a_retry_or_a_failure_was_written_has_not_to_write_it_again() {
    // A retry: what went wrong has passed when its time comes.
    let forge = Forge::new().await;
    let id = forge.enqueue().await;
    forge.github.faults().add("GET /octo/cat.git/info/refs", Fault::Status(500));
    killed(&forge, CrashPoint::Settled).await;
    assert_eq!(forge.cluster.record(&id).await.attempts, 1);
    let again = forge.cluster.start("pc-1", "w1");
    let record = forge.cluster.settled(&id).await;
    assert_eq!((record.runs, record.lost, record.attempts), (2, 0, 1));
    forge.assert_published_once(&record).await;
    assert_no_workspace_left(&again).await;
    forge.assert_nothing_left().await;

    let failing = Forge::with_agent("#!/bin/sh\ncat > /dev/null\nexit 1\n").await;
    let id = failing.enqueue().await;
    killed(&failing, CrashPoint::Settled).await;
    let _again = failing.cluster.start("pc-1", "w1");
    let record = failing.cluster.settled(&id).await;
    assert!(matches!(record.status, Status::Failed { class: FailureClass::Task, .. }), "{record:?}");
    failing.assert_settled_once(&id, "failed").await;
    failing.assert_nothing_left().await;
    assert_eq!(failing.github.remote().branches().unwrap(), ["main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_it_stops_has_given_its_task_back() {
    each(&[CrashPoint::Settled, CrashPoint::GivenBack], |point| async move {
        let forge = Forge::with_agent("#!/bin/sh\ncat > /dev/null\necho working\nsleep 600\n").await;
        let id = forge.enqueue().await;
        let mut pc = forge.cluster.start_with("pc-1", "w1", &[(VARIABLE, &format!("{point:?}"))]);
        until("the agent works", || async {
            matches!(&forge.cluster.record(&id).await.status, Status::Active { phase, .. } if phase == "agent")
                .then_some(())
        })
        .await;
        pc.signal(Signal::SIGTERM);
        until("it drains", || async { pc.log().contains("draining").then_some(()) }).await;
        pc.signal(Signal::SIGTERM);
        assert_eq!(pc.ended().await, None, "{}", pc.log());
        let record = forge.cluster.record(&id).await;
        assert!(matches!(record.status, Status::Pending), "{record:?}");
        assert_eq!((record.attempts, record.lost), (0, 0));
        forge.cluster.no_agent_left().await;
    })
    .await;
}

/// Meets its limit, which ends after three seconds.
const LIMITED_AGENT: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo 2.1.328; exit; }
cat > /dev/null
echo '{"type":"system","subtype":"init","session_id":"s","model":"m"}'
echo '{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":'$(($(date +%s) + 3))'}}'
echo '{"type":"assistant","message":{"content":[]},"error":"rate_limit"}'
echo '{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"limit"}'
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_it_suspended_its_account_leaves_the_task_to_others_and_to_later() {
    let forge = Forge::with_agent(LIMITED_AGENT).await;
    let id = forge.enqueue().await;
    let account = ("CLAUDE_CLUSTER__AGENT__ACCOUNT", "team");
    let limited = [account, ("CLAUDE_CLUSTER__AGENT__DRIVER", "claude"), (VARIABLE, "AccountSuspended")];
    let mut pc = forge.cluster.start_with("pc-1", "w1", &limited);
    assert_eq!(pc.ended().await, None, "{}", pc.log());
    let until = forge.cluster.queue.account_suspended_until("team").await.unwrap().expect("it is suspended");
    let solve = forge.cluster.dir.path().join("solve");
    std::fs::write(&solve, "#!/bin/sh\ncat > /dev/null\necho 42 > answer\n").unwrap();
    std::fs::set_permissions(&solve, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let command = solve.display().to_string();
    let solving = [account, ("CLAUDE_CLUSTER__AGENT__COMMAND", command.as_str())];
    let again = forge.cluster.start_with("pc-1", "w1", &solving);
    let record = forge.cluster.settled(&id).await;
    let claimed_at = record.last_run.as_ref().unwrap().claimed_at;
    assert!(claimed_at >= until, "claimed {} ms before the account may work again", until - claimed_at);
    forge.assert_published_once(&record).await;
    assert_no_workspace_left(&again).await;
    forge.assert_nothing_left().await;
}

/// Costs a quarter of a dollar.
const PAID_AGENT: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo 2.1.328; exit; }
cat > /dev/null
echo 42 > answer
echo '{"type":"system","subtype":"init","session_id":"s","model":"m"}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"done","total_cost_usd":0.25}'
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_have_cost_is_counted_once_each_also_when_their_workers_die_over_the_count() {
    for forge in [Forge::with_agent(PAID_AGENT).await, Forge::on_slots_with(PAID_AGENT).await] {
        let id = forge.enqueue().await;
        let paid = [("CLAUDE_CLUSTER__AGENT__ACCOUNT", "team"), ("CLAUDE_CLUSTER__AGENT__DRIVER", "claude")];
        let dying = [paid[0], paid[1], (VARIABLE, "Charged")];
        let mut pc = forge.cluster.start_with("pc-1", "w1", &dying);
        assert_eq!(pc.ended().await, None, "{}", pc.log());
        let _again = forge.cluster.start_with("pc-1", "w1", &paid);
        let record = forge.cluster.settled(&id).await;
        assert_eq!((record.runs, record.micro_usd), (2, 500_000));
        forge.assert_published_once(&record).await;
        forge.assert_nothing_left().await;
        let account = forge.cluster.queue.account_standing("team").await.unwrap();
        assert_eq!(account.spent_today, 500_000);
    }
}

/// A forge whose processes come to `point`.
async fn forge_with(point: CrashPoint) -> Forge {
    if BETWEEN_SLOTS.contains(&point) { Forge::on_slots().await } else { Forge::new().await }
}

/// Lets a worker `w1` on `pc-1` die at `point`.
async fn killed(forge: &Forge, point: CrashPoint) -> Pc {
    let mut pc = forge.cluster.start_with("pc-1", "w1", &[(VARIABLE, &format!("{point:?}"))]);
    assert_eq!(pc.ended().await, None, "{point:?}: {}", pc.log());
    pc
}

/// Runs the case for each row, and says at the end which of them failed.
pub async fn each<T: Copy + std::fmt::Debug, F: Future<Output = ()>>(rows: &[T], case: impl Fn(T) -> F) {
    let case = &case;
    let failed: Vec<T> = stream::iter(rows.iter().copied())
        .map(|row| async move { (row, AssertUnwindSafe(case(row)).catch_unwind().await) })
        .buffer_unordered(AT_ONCE)
        .filter_map(|(row, ended)| async move { ended.is_err().then_some(row) })
        .collect()
        .await;
    assert!(failed.is_empty(), "failed: {failed:?}");
}
