//! Users with the least rights, as `scripts/redis-acl` prints them.

use std::{fs, path::Path, process::Command, time::Duration};

use redis::Connection;
use shared::{
    Failure, Outcome, Priority, TaskSpec,
    config::Config,
    queue::{
        AgedLine, Asked, Beat, CancelAnswer, Charged, Claim, ClaimHeld, Enqueued, Expense, Queue, QueueError,
        Renewal, RerunAnswer, Settlement, Waited, Why,
    },
    task_log::{LogLine, LogStream},
};
use testkit::RedisServer;

use crate::{
    beats::info,
    setting::{backend, holder, task},
};

const PREFIX: &str = "shop.1";

/// A server with the three users; the password of each is its name.
struct Guarded {
    server: RedisServer,
    _dir: tempfile::TempDir,
}

impl Guarded {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut script = Command::new(root.join("scripts/redis-acl"));
        script.args(["--prefix", PREFIX]).args(more);
        for role in ["ingester", "worker", "operator"] {
            let file = dir.path().join(role);
            fs::write(&file, format!("{role}\n")).unwrap();
            script.arg(format!("--{role}")).arg(file);
        }
        let printed = script.output().unwrap();
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        let file = dir.path().join("users.acl");
        fs::write(&file, printed.stdout).unwrap();
        let server = RedisServer::start_with(&["--aclfile", file.to_str().unwrap()]).unwrap();
        Self { server, _dir: dir }
    }

    fn queue(&self, role: &str) -> Queue {
        let mut config = Config::defaults().unwrap();
        config.redis.url = self.server.url().into();
        config.redis.user = format!("{PREFIX}-{role}");
        config.redis.password = role.into();
        config.redis.prefix = PREFIX.to_owned();
        (config.queue.lease_ms, config.queue.sweep_ms) = (60_000, 20);
        Queue::open(&config.redis, &config.queue).unwrap()
    }

    fn connection(&self, role: &str) -> Connection {
        let mut connection = self.server.connection().unwrap();
        redis::cmd("AUTH").arg(format!("{PREFIX}-{role}")).arg(role).query::<()>(&mut connection).unwrap();
        connection
    }
}

/// Whether the server refuses the command to this connection's user.
fn is_denied(connection: &mut Connection, command: &str) -> bool {
    let mut words = command.split(' ');
    let mut raw = redis::cmd(words.next().unwrap());
    raw.arg(words.collect::<Vec<_>>());
    let answer = raw.query::<redis::Value>(connection);
    answer.is_err_and(|error| error.code() == Some("NOPERM") || error.to_string().contains("can't"))
}

async fn claimed(worker: &Queue) -> shared::queue::Claimed {
    match worker.claim(&holder("w1"), &backend(), 1, "n").await.unwrap() {
        Claim::Tasks { mut tasks, .. } => tasks.remove(0),
        Claim::Paused => panic!("not paused"),
    }
}

#[tokio::test]
async fn the_whole_life_needs_no_more_than_the_printed_rights() {
    let guarded = Guarded::start();
    let [ingester, worker, operator] = ["ingester", "worker", "operator"].map(|role| guarded.queue(role));
    for queue in [&ingester, &worker, &operator] {
        assert_eq!(queue.check().await.unwrap().aof, Some(true));
    }
    assert!(matches!(worker.beat(&info("w1", "w1-1")).await.unwrap(), Beat::Ok { .. }));
    worker.forfeit(&holder("w1"), &backend()).await.unwrap();

    let issue = TaskSpec { issue: Some(7), ..task("a", "backend") };
    ingester.enqueue_issue(&issue, Some("delivery")).await.unwrap();
    let (cat, minute) = (&issue.repository, Duration::from_secs(60));
    assert!(ingester.take_comment_turn(cat, 7, "i", minute).await.unwrap());
    assert!(!worker.comment_turn_is_free(cat, 7).await.unwrap());
    assert!(ingester.end_comment_turn(cat, 7, "i").await.unwrap());
    let mut waiter = worker.wake_waiter(&[backend()], Duration::from_secs(10));
    assert_eq!(waiter.wait().await.unwrap(), Waited::Woken(backend()));
    let first = claimed(&worker).await;
    assert_eq!(worker.owns_issue(&issue).await.unwrap(), None);
    assert!(worker.set_phase(&first.lease, "testing").await.unwrap());
    let expense = Expense { number: 1, micro_usd: 10 };
    assert_eq!(worker.charge(&first.lease, Some("a"), expense).await.unwrap(), Charged::Counted { task: 10 });
    assert_eq!(worker.account_standing("a").await.unwrap().spent_today, 10);
    let line: AgedLine = LogLine::new(LogStream::Agent, "a line").into();
    worker.append_log(&first.lease, 1, &[line]).await.unwrap();
    assert_eq!(worker.renew(std::slice::from_ref(&first.lease)).await.unwrap(), [Renewal::Held]);
    assert_eq!(ingester.read_log(&issue.id, None, 10).await.unwrap().len(), 1);
    let done = Outcome::NoChange { answer: String::new() };
    assert_eq!(worker.complete(&first.lease, &done).await.unwrap(), Settlement::Done);

    for (id, settle) in [("b", 0), ("c", 1), ("d", 2)] {
        ingester.enqueue(&task(id, "backend")).await.unwrap();
        let lease = claimed(&worker).await.lease;
        let settlement = match settle {
            0 => worker.retry(&lease, &Failure::transient("x"), Duration::from_secs(600)).await,
            1 => worker.fail(&lease, &Failure::task("red")).await,
            _ => worker.release(&lease, "shutdown").await,
        };
        assert_eq!(settlement.unwrap(), Settlement::Done);
    }
    worker.suspend_account("a", Duration::from_secs(60)).await.unwrap();
    worker.sweep(&backend()).await.unwrap();
    // What was delayed, returned or waits is cancelled by whoever takes webhooks.
    for id in ["b", "d"] {
        assert_eq!(ingester.cancel(&id.parse().unwrap(), "ada").await.unwrap(), CancelAnswer::Cancelled);
    }
    let held = task("held", "backend");
    assert_eq!(operator.hold(&held).await.unwrap(), Enqueued::Created);
    assert!(matches!(
        operator.claim_held(&holder("w1"), &held.id, "n").await.unwrap(),
        ClaimHeld::Claimed(_)
    ));
    assert_eq!(ingester.workers().await.unwrap().len(), 1);
    assert!(ingester.account_suspended_until("a").await.unwrap().is_some());
    ingester.counts(&backend()).await.unwrap();
    // What people do through the HTTP API and by hand.
    let (failed, frontend) = ("c".parse().unwrap(), "frontend".parse().unwrap());
    assert_eq!(ingester.rerun(&failed, "ada").await.unwrap(), RerunAnswer::Pending);
    let record = ingester.task(&failed).await.unwrap().unwrap();
    assert!(matches!(ingester.why(&record).await.unwrap(), Some(Why::Busy { ahead: Some(0) })));
    assert_eq!(ingester.list(&backend(), "pending", None, 9).await.unwrap().tasks.len(), 1);
    ingester.pause(&backend(), "ada", "", None).await.unwrap();
    ingester.resume(&backend(), "ada").await.unwrap();
    ingester.drain_worker("w1", "ada", "", None).await.unwrap();
    let told = worker.beat(&info("w1", "w1-1")).await.unwrap();
    assert!(matches!(told, Beat::Ok { drained: Some(_), .. }), "{told:?}");
    assert!(ingester.undrain_worker("w1").await.unwrap());
    // Where no worker has ever been, there is no group yet.
    for (queue, to, priority) in [
        (&ingester, &frontend, Priority::High),
        (&operator, &backend(), Priority::Low),
        (&ingester, &frontend, Priority::High),
    ] {
        assert_eq!(queue.move_priority(&failed, priority, "ada").await.unwrap(), Asked::Done);
        assert_eq!(queue.move_specialty(&failed, to, "ada").await.unwrap(), Asked::Done);
    }
    ingester.enqueue(&task("waits", "frontend")).await.unwrap();
    assert_eq!(
        ingester.move_priority(&"waits".parse().unwrap(), Priority::High, "ada").await.unwrap(),
        Asked::Done
    );
    ingester.cancel(&"waits".parse().unwrap(), "ada").await.unwrap();
    operator.cancel(&failed, "ada").await.unwrap();
    assert_eq!(operator.delete(&failed, "ada").await.unwrap(), Asked::Done);
    ingester.waiting(&backend()).await.unwrap();
    assert!(worker.leave("w1", "w1-1").await.unwrap());
}

#[tokio::test]
async fn a_worker_carries_out_what_a_dead_one_left_due() {
    let guarded = Guarded::start();
    let mut operator = guarded.connection("operator");
    for command in ["XADD $:{testing}:outbox 1-1 task gone issue o/n#1", "SET $:task:gone testing"] {
        let command = command.replace('$', PREFIX);
        let mut words = command.split(' ');
        let mut raw = redis::cmd(words.next().unwrap());
        raw.arg(words.collect::<Vec<_>>()).query::<()>(&mut operator).unwrap();
    }
    guarded.queue("worker").sweep(&"testing".parse().unwrap()).await.unwrap();
    let due: u64 = guarded.server.command(&["XLEN", &format!("{PREFIX}:{{testing}}:outbox")]).unwrap();
    let life_s: i64 = guarded.server.command(&["TTL", &format!("{PREFIX}:task:gone")]).unwrap();
    assert_eq!(due, 0, "it was carried out");
    assert!(life_s > 0, "the id is free again soon");
}

#[tokio::test]
async fn each_user_is_denied_what_is_not_its_part() {
    let guarded = Guarded::start();
    let own = |key: &str| key.replace('$', PREFIX);
    for role in ["ingester", "worker", "operator"] {
        let mut connection = guarded.connection(role);
        for command in [
            "FLUSHALL",
            "FLUSHDB",
            "CONFIG GET requirepass",
            "CONFIG SET maxmemory 1",
            "KEYS *",
            "SCAN 0",
            "SHUTDOWN",
            "REPLICAOF NO ONE",
            "ACL LIST",
            "ACL SETUSER x on nopass +@all ~*",
            "MONITOR",
            "SAVE",
            "CLIENT LIST",
            "CLIENT KILL TYPE normal",
            "SCRIPT FLUSH",
            "EVAL return 0",
            "FUNCTION LIST",
            "MIGRATE 127.0.0.1 1 a 0 10",
            "SUBSCRIBE channel",
            "RENAME a b",
            "GET other:task:a",
            "SET other:task:a backend",
            "GET shop.2:task:a",
            "DEL ccc:{backend}:leases",
            "XADD ccc:{backend}:tasks:high * task a",
        ] {
            assert!(is_denied(&mut connection, command), "{role}: {command}");
        }
    }
    let mut ingester = guarded.connection("ingester");
    for command in [
        "XREADGROUP GROUP workers w1 STREAMS $:{backend}:tasks:high >",
        "XAUTOCLAIM $:{backend}:tasks:high workers w1 0 0",
        "XCLAIM $:{backend}:outbox workers w1 0 1-1",
        "XGROUP CREATE $:{backend}:events workers 0 MKSTREAM",
        "XGROUP DESTROY $:{backend}:tasks:high workers",
        "BZPOPMIN $:{backend}:wake 1",
        "HSET $:worker:w1 incarnation x",
        "ZADD $:workers 1 w1",
        "SET $:account:a:limited limited",
        "CLIENT UNBLOCK 1",
    ] {
        assert!(is_denied(&mut ingester, &own(command)), "ingester: {command}");
    }
    let mut worker = guarded.connection("worker");
    for command in [
        "SET $:task:a backend NX",
        "DEL $:task:a",
        "SET $:delivery:x a",
        "GET $:delivery:x",
        "SET $:issue_comment:o/n#7 w",
    ] {
        assert!(is_denied(&mut worker, &own(command)), "worker: {command}");
    }
}

#[tokio::test]
async fn a_worker_makes_no_task_and_an_ingester_takes_none_and_both_are_told() {
    let guarded = Guarded::start();
    let (ingester, worker) = (guarded.queue("ingester"), guarded.queue("worker"));
    let made = worker.enqueue(&task("a", "backend")).await.unwrap_err();
    assert!(matches!(&made, QueueError::Refused(text) if text.contains("redis-acl")), "{made:?}");
    ingester.enqueue(&task("a", "backend")).await.unwrap();
    let taken = ingester.claim(&holder("i"), &backend(), 1, "n").await.unwrap_err();
    assert!(matches!(&taken, QueueError::Refused(text) if text.contains("redis-acl")), "{taken:?}");
    assert_eq!(claimed(&worker).await.lease.id.as_str(), "a", "nothing was half done");
    // One whose user may not even ask what the server is does not fail for it.
    let no_info = ["SETUSER", &format!("{PREFIX}-worker"), "-info"].map(str::to_owned);
    redis::cmd("ACL").arg(&no_info[..]).query::<()>(&mut guarded.server.connection().unwrap()).unwrap();
    assert_eq!(guarded.queue("worker").check().await.unwrap().version, None);
}

#[tokio::test]
async fn a_worker_hands_a_task_over_where_it_may_move_tasks_and_else_the_task_stays() {
    for (more, specialty) in [(&["--workers-move"][..], "frontend"), (&[], "backend")] {
        let guarded = Guarded::start_with(more);
        guarded.queue("ingester").enqueue(&task("a", "backend")).await.unwrap();
        let worker = guarded.queue("worker");
        let claimed = claimed(&worker).await;
        let there = task("a", "frontend");
        assert_eq!(worker.refer(&claimed.lease, &there, "w1").await.unwrap(), Settlement::Done, "{more:?}");
        let record = worker.task(&there.id).await.unwrap().unwrap();
        assert_eq!((record.specialty.as_str(), record.status.name()), (specialty, "pending"), "{more:?}");
    }
}
