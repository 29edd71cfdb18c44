//! Redis goes away, forgets, fills up, freezes. Each test has a server of its own.

use std::time::{Duration, Instant};

use shared::{
    Failure, Outcome, TaskId, TaskSpec,
    queue::{Claim, Claimed, Enqueued, Queue, QueueError, Renewal, Settlement, Waited},
};
use testkit::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::setting::{backend, holder, queue_at, queue_on, task};

async fn claimed(queue: &Queue, slots: usize) -> Vec<Claimed> {
    match queue.claim(&holder("w1"), &backend(), slots, "n").await.unwrap() {
        Claim::Tasks { tasks, .. } => tasks,
        Claim::Paused => panic!("not paused"),
    }
}

#[tokio::test]
async fn a_killed_redis_is_told_and_survived_and_nothing_acknowledged_is_lost() {
    let mut server = RedisServer::start().unwrap();
    let queue = queue_at(&server.url(), "ccc", |q| q.lease_ms = 60_000);
    queue.enqueue(&task("a", "backend")).await.unwrap();
    let shared::queue::Claim::Tasks { tasks, .. } =
        queue.claim(&holder("w1"), &backend(), 1, "n").await.unwrap()
    else {
        panic!("not paused")
    };
    server.kill().unwrap();
    assert!(matches!(queue.enqueue(&task("b", "backend")).await, Err(QueueError::Unreachable(_))));
    server.restart().unwrap();
    // Scripts are gone from the server (NOSCRIPT) and loaded again unasked.
    assert_eq!(queue.renew(&[tasks[0].lease.clone()]).await.unwrap(), [Renewal::Held]);
    assert_eq!(queue.enqueue(&task("b", "backend")).await.unwrap(), Enqueued::Created);
}

#[tokio::test]
async fn a_flushed_redis_serves_on() {
    let server = RedisServer::start().unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    queue.enqueue(&task("a", "backend")).await.unwrap();
    queue.claim(&holder("w1"), &backend(), 1, "n").await.unwrap();
    server.command::<()>(&["FLUSHALL"]).unwrap();
    server.command::<()>(&["SCRIPT", "FLUSH"]).unwrap();
    queue.enqueue(&task("b", "backend")).await.unwrap();
    let claim = queue.claim(&holder("w1"), &backend(), 1, "n").await.unwrap();
    assert!(matches!(claim, shared::queue::Claim::Tasks { tasks, .. } if tasks.len() == 1));
}

#[tokio::test]
async fn a_full_redis_takes_nothing_new_writes_nothing_half_and_drains() {
    let server = RedisServer::start_with(&["--maxmemory", "3mb"]).unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    let mut accepted = 0;
    let refused = loop {
        let mut spec = task(&format!("t{accepted}"), "backend");
        spec.body = "x".repeat(40_000);
        match queue.enqueue(&spec).await {
            Ok(_) => accepted += 1,
            Err(error) => break (spec.id, error),
        }
    };
    assert!(matches!(refused.1, QueueError::Refused(_)), "{:?}", refused.1);
    assert_eq!(
        server.command::<u64>(&["EXISTS", &format!("ccc:{{backend}}:task:{}", refused.0)]).unwrap(),
        0
    );
    let outcome = shared::Outcome::NoChange { answer: String::new() };
    for _ in 0..accepted {
        let claim = queue.claim(&holder("w1"), &backend(), 1, "n").await.unwrap();
        let shared::queue::Claim::Tasks { tasks, .. } = claim else { panic!("not paused") };
        queue.complete(&tasks[0].lease, &outcome).await.unwrap();
    }
    assert_eq!(queue.enqueue(&task("after", "backend")).await.unwrap(), Enqueued::Created);
}

#[tokio::test]
async fn a_read_only_redis_refuses_and_nothing_is_half_written() {
    let server = RedisServer::start().unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    server.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    assert!(matches!(queue.enqueue(&task("a", "backend")).await, Err(QueueError::Refused(_))));
    server.command::<()>(&["REPLICAOF", "NO", "ONE"]).unwrap();
    assert_eq!(server.command::<u64>(&["DBSIZE"]).unwrap(), 0);
}

#[tokio::test]
async fn a_redis_with_no_connection_left_or_without_the_permission_is_waited_for() {
    let server = RedisServer::start_with(&["--maxclients", "2"]).unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    let mut others: Vec<_> = (0..2).map(|_| server.connection().unwrap()).collect();
    let error = queue.enqueue(&task("a", "backend")).await.unwrap_err();
    assert!(error.is_passing(), "{error:?}");
    let acl = ["SETUSER", "default", "on", "nopass", "~*", "+@all", "-xadd"];
    redis::cmd("ACL").arg(&acl).query::<()>(&mut others[0]).unwrap();
    drop(others.pop());
    let error = until_connected(&queue).await;
    assert!(matches!(&error, QueueError::Refused(_)), "{error:?}");
    redis::cmd("ACL").arg(&["SETUSER", "default", "+xadd"]).query::<()>(&mut others[0]).unwrap();
    assert_eq!(queue.enqueue(&task("a", "backend")).await.unwrap(), Enqueued::Created);
}

/// The first answer from a server that had no connection to give, which is a refusal.
async fn until_connected(queue: &shared::queue::Queue) -> QueueError {
    loop {
        match queue.enqueue(&task("a", "backend")).await {
            Err(error) if error.to_string().contains("max number of clients") => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            other => return other.unwrap_err(),
        }
    }
}

#[tokio::test]
async fn a_stream_of_the_wrong_type_is_told_and_nothing_is_half_written() {
    let server = RedisServer::start().unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    server.command::<()>(&["SET", "ccc:{backend}:tasks:medium", "not a stream"]).unwrap();
    let error = queue.enqueue(&task("a", "backend")).await.unwrap_err();
    assert!(matches!(&error, QueueError::Unexpected { operation: "enqueue", .. }), "{error:?}");
    assert_eq!(server.command::<u64>(&["EXISTS", "ccc:{backend}:task:a"]).unwrap(), 0);
}

#[tokio::test]
async fn a_frozen_redis_ends_a_call_within_its_timeout_and_a_waiter_reconnects() {
    let server = RedisServer::start().unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    queue.enqueue(&task("a", "backend")).await.unwrap();
    let mut waiter = queue.wake_waiter(&[backend()], Duration::from_millis(100));
    assert_eq!(waiter.wait().await.unwrap(), Waited::Woken(backend()));
    server.freeze().unwrap();
    let began = Instant::now();
    let id = task("a", "backend").id;
    let (call, wait) = tokio::join!(queue.task(&id), waiter.wait());
    server.thaw().unwrap();
    assert!(matches!(call, Err(QueueError::Unreachable(_))), "{call:?}");
    assert!(matches!(wait, Err(QueueError::Unreachable(_))), "{wait:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
    queue.rearm(&backend()).await.unwrap();
    assert_eq!(waiter.wait().await.unwrap(), Waited::Woken(backend()));
}

#[tokio::test]
async fn a_bad_address_says_which_forms_there_are() {
    let mut config = shared::config::Config::defaults().unwrap();
    config.redis.url = "http://example.org".to_owned().into();
    let error = shared::queue::Queue::open(&config.redis, &config.queue).err().unwrap().to_string();
    assert!(error.contains("redis://"), "{error}");
}

#[tokio::test]
async fn a_redis_that_cannot_write_its_snapshot_refuses_and_says_why() {
    let server = RedisServer::start_with(&["--save", "3600 1"]).unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    // A snapshot cannot take the place of a directory.
    std::fs::create_dir_all(server.dir().join("dump.rdb/x")).unwrap();
    server.command::<()>(&["BGSAVE"]).unwrap();
    let failed =
        || server.command::<String>(&["INFO", "persistence"]).unwrap().contains("rdb_last_bgsave_status:err");
    while !failed() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = queue.enqueue(&task("a", "backend")).await.unwrap_err();
    assert!(matches!(&error, QueueError::Refused(text) if text.contains("disk")), "{error:?}");
    assert_eq!(server.command::<u64>(&["DBSIZE"]).unwrap(), 0);
    server.command::<()>(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).unwrap();
    assert_eq!(queue.enqueue(&task("a", "backend")).await.unwrap(), Enqueued::Created);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_reads_its_data_after_a_start_is_waited_for() {
    let slow = ["--key-load-delay", "100"];
    let mut server = RedisServer::start_with(&slow).unwrap();
    let url = server.url();
    let queue = queue_at(&url, "ccc", |_| {});
    queue.enqueue(&task("before", "backend")).await.unwrap();
    // It answers others after every 1,024 commands that it reads.
    let mut much = redis::pipe();
    for i in 0..20_000 {
        much.cmd("SET").arg(format!("other:{i}")).arg("x");
    }
    much.exec(&mut server.connection().unwrap()).unwrap();
    // Nothing of what follows is still done by the former process.
    server.kill().unwrap();
    let restarting = tokio::task::spawn_blocking(move || {
        server.restart().unwrap();
        server
    });
    let mut loading = false;
    let answer = loop {
        match queue.enqueue(&task("after", "backend")).await {
            Ok(answer) => break answer,
            Err(QueueError::Refused(text)) => {
                assert!(text.contains("reads its data"), "{text}");
                loading = true;
            }
            Err(error) => assert!(matches!(error, QueueError::Unreachable(_)), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(loading, "it was asked while it was loading");
    assert_eq!(answer, Enqueued::Created);
    assert_eq!(queue.counts(&backend()).await.unwrap().pending, 2);
    drop(restarting.await.unwrap());
}

#[tokio::test]
async fn a_redis_that_is_too_old_is_called_that() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    // As Redis 6.2 answers: the client's name is refused, several sections at once are an error.
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4_096];
        loop {
            let count = client.read(&mut bytes).await.unwrap();
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            for command in text.split('*').skip(1) {
                let answer = match command.split("\r\n").collect::<Vec<_>>().as_slice() {
                    ["1", _, "INFO", ..] => "$22\r\nredis_version:6.2.14\r\n\r\n",
                    _ => "-ERR syntax error\r\n",
                };
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    let error = queue_at(&url, "ccc", |_| {}).check().await.unwrap_err();
    assert!(matches!(&error, QueueError::Unsuitable(text) if text.contains("6.2.14")), "{error:?}");
}

#[tokio::test]
async fn a_server_is_reached_with_the_user_and_in_the_database_that_keys_or_url_name() {
    let server = RedisServer::start_with(&["--user", "app", "on", ">secret", "~*", "&*", "+@all"]).unwrap();
    let by_keys = queue_on(
        |redis| {
            redis.url = server.url().into();
            (redis.user, redis.password, redis.database) = ("app".to_owned(), "secret".into(), 3);
        },
        "ccc",
        |_| {},
    );
    let by_url = queue_at(&format!("{}?user=app&pass=secret&db=4", server.url()), "ccc", |_| {});
    for queue in [&by_keys, &by_url] {
        queue.enqueue(&task("a", "backend")).await.unwrap();
    }
    let keyspace: String = server.command(&["INFO", "keyspace"]).unwrap();
    assert!(
        keyspace.contains("db3:") && keyspace.contains("db4:") && !keyspace.contains("db0:"),
        "{keyspace}"
    );
    let clients: String = server.command(&["CLIENT", "LIST"]).unwrap();
    assert_eq!(clients.matches("user=app").count(), 2, "{clients}");
    let wrong = queue_at(&format!("{}?user=app&pass=wrong", server.url()), "ccc", |_| {});
    let error = wrong.enqueue(&task("b", "backend")).await.unwrap_err();
    assert!(matches!(&error, QueueError::Refused(text) if text.contains("redis.password")), "{error:?}");
}

#[tokio::test]
async fn a_master_that_misses_its_replicas_refuses_for_the_time_being_and_nothing_is_half_written() {
    let server = RedisServer::start().unwrap();
    let queue = queue_at(&server.url(), "ccc", |q| q.lease_ms = 600_000);
    let waits = task("waits", "backend");
    queue.enqueue(&waits).await.unwrap();
    queue.hold(&task("held", "backend")).await.unwrap();
    let lease = claimed(&queue, 1).await.remove(0).lease;
    queue.enqueue(&task("fresh", "backend")).await.unwrap();
    server.command::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).unwrap();
    let dump = || -> Vec<(String, Vec<u8>)> {
        let mut keys: Vec<String> = server.command(&["KEYS", "*"]).unwrap();
        keys.sort();
        keys.into_iter().map(|key| (key.clone(), server.command(&["DUMP", &key]).unwrap())).collect()
    };
    let before = dump();
    let issue = TaskSpec { issue: Some(7), ..task("issue", "backend") };
    let id = |name: &str| name.parse::<TaskId>().unwrap();
    let refusals = [
        queue.enqueue(&task("b", "backend")).await.map(drop),
        queue.enqueue_issue(&issue, Some("guid")).await.map(drop),
        queue.hold(&task("c", "backend")).await.map(drop),
        queue.claim(&holder("w2"), &backend(), 2, "n").await.map(drop),
        queue.renew(std::slice::from_ref(&lease)).await.map(drop),
        queue.complete(&lease, &Outcome::NoChange { answer: String::new() }).await.map(drop),
        queue.retry(&lease, &Failure::transient("x"), Duration::ZERO).await.map(drop),
        queue.release(&lease, "shutdown").await.map(drop),
        queue.cancel(&id("fresh"), "ada").await.map(drop),
        queue.move_specialty(&id("fresh"), &"frontend".parse().unwrap(), "ada").await.map(drop),
        queue.delete(&id("held"), "ada").await.map(drop),
        queue.sweep(&backend()).await.map(drop),
        // It may have been replaced: whoever asks it must not publish.
        queue.still_held(&lease).await.map(drop),
        queue.beat(&crate::beats::info("w1", "w1-1")).await.map(drop),
        queue.suspend_account("team", Duration::from_secs(60)).await,
    ];
    for (place, refusal) in refusals.into_iter().enumerate() {
        let error = refusal.expect_err("refused");
        assert!(error.is_passing(), "{place}: {error:?}");
        let said = error.to_string();
        assert!(said.contains("replica") && said.contains("min-replicas-to-write"), "{place}: {said}");
    }
    assert_eq!(dump(), before, "nothing is half written");
    assert!(queue.task(&waits.id).await.unwrap().is_some(), "it is read");
    server.command::<()>(&["CONFIG", "SET", "min-replicas-to-write", "0"]).unwrap();
    assert_eq!(
        queue.complete(&lease, &Outcome::NoChange { answer: String::new() }).await.unwrap(),
        Settlement::Done
    );
    assert_eq!(claimed(&queue, 2).await.len(), 1);
}
