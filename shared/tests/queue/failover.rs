//! The master is replaced while tasks run. Each test has servers and sentinels of its own.

use std::time::{Duration, Instant};

use shared::{
    Outcome,
    config::RedisConfig,
    queue::{Claim, Claimed, Queue, QueueError, Renewal, Settlement, Waited},
};
use testkit::{RedisSentinels, redis_sentinels::SERVICE};

use crate::setting::{backend, holder, queue_on, task};

/// How long anything may take after a failover.
const PATIENCE: Duration = Duration::from_secs(30);

/// A master that has lost its replica takes nothing: what it took then would be lost with it.
const SAFE: &[&str] = &["--min-replicas-to-write", "1"];

fn name(group: &RedisSentinels) -> impl FnOnce(&mut RedisConfig) + use<> {
    let addresses = group.addresses();
    move |redis| {
        redis.sentinels = addresses;
        redis.service = SERVICE.to_owned();
    }
}

fn queue(group: &RedisSentinels) -> Queue {
    queue_on(name(group), "ccc", |q| q.lease_ms = 60_000)
}

/// Repeats what is safe to repeat while the error may pass.
async fn persisted<T, F: Future<Output = Result<T, QueueError>>>(mut step: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match step().await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.is_passing() && Instant::now() < deadline, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn done() -> Outcome {
    Outcome::NoChange { answer: String::new() }
}

fn tasks(claim: Claim) -> Vec<Claimed> {
    match claim {
        Claim::Tasks { tasks, .. } => tasks,
        Claim::Paused => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_the_waiting_connection_follow_to_the_new_master() {
    let group = RedisSentinels::start_with(SAFE, "").unwrap();
    let queue = queue(&group);
    queue.enqueue(&task("a", "backend")).await.unwrap();
    let mut waiter = queue.wake_waiter(&[backend()], Duration::from_secs(60));
    assert_eq!(waiter.wait().await.unwrap(), Waited::Woken(backend()));
    let claimed = tasks(queue.claim(&holder("w1"), &backend(), 1, "n").await.unwrap()).remove(0);
    group.servers[0].command::<u64>(&["WAIT", "1", "5000"]).unwrap();
    let waiting = tokio::spawn(async move {
        let first = waiter.wait().await;
        (waiter, first)
    });

    group.fail_over().unwrap();
    let leases = [claimed.lease.clone()];
    assert_eq!(persisted(|| queue.renew(&leases)).await, [Renewal::Held]);
    assert_eq!(persisted(|| async { queue.complete(&claimed.lease, &done()).await }).await, Settlement::Done);
    let spec = task("b", "backend");
    persisted(|| queue.enqueue(&spec)).await;
    let here = backend();
    let (mut waiter, first) = waiting.await.unwrap();
    if let Ok(waited) = first {
        assert_eq!(waited, Waited::Woken(backend()));
    } else {
        persisted(|| queue.rearm(&here)).await;
        while waiter.wait().await.ok() != Some(Waited::Woken(backend())) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let me = holder("w1");
    let again = persisted(|| queue.claim(&me, &here, 1, "m")).await;
    assert_eq!(tasks(again)[0].lease.id.as_str(), "b");
    assert_eq!(group.servers[1].command::<u64>(&["EXISTS", "ccc:{backend}:task:b"]).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_run_during_a_failover_settle_once_each_and_none_is_lost() {
    let group = RedisSentinels::start_with(SAFE, "").unwrap();
    let queue = queue(&group);
    let offering = tokio::spawn({
        let queue = queue.clone();
        async move {
            for i in 0..COUNT {
                let spec = task(&format!("t{i}"), "backend");
                persisted(|| queue.enqueue(&spec)).await;
            }
        }
    });
    let mut workers = tokio::task::JoinSet::new();
    for i in 0..2 {
        workers.spawn(work(queue.clone(), format!("w{i}")));
    }
    // Not before tasks flow.
    let settled = || group.servers[0].command::<u64>(&["ZCARD", "ccc:{backend}:finished"]);
    while settled().unwrap() < 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::task::block_in_place(|| group.fail_over()).unwrap();
    offering.await.unwrap();
    let mut settlements: Vec<String> = workers.join_all().await.concat();
    settlements.sort();
    let of_each = settlements.len();
    settlements.dedup();
    assert_eq!((of_each, settlements.len()), (COUNT, COUNT), "each once");
    let counts = queue.counts(&backend()).await.unwrap();
    assert_eq!((counts.completed, counts.pending, counts.active), (COUNT as u64, 0, 0));
}

const COUNT: usize = 300;

/// Claims and settles until all is settled; the ids that it settled itself.
async fn work(queue: Queue, node: String) -> Vec<String> {
    let here = backend();
    let (me, mut mine, mut doubt) = (holder(&node), Vec::new(), false);
    let deadline = Instant::now() + 4 * PATIENCE;
    for round in 0.. {
        assert!(
            Instant::now() < deadline,
            "{node} waits for what does not come: {:?}",
            queue.counts(&here).await
        );
        let claimed = match queue.claim(&me, &backend(), 2, &format!("{node}-{round}")).await {
            // What a claim took whose answer was lost is looked for, not claimed again.
            _ if doubt => persisted(|| queue.holding(&me, &here)).await,
            Ok(claim) => tasks(claim),
            Err(error) => {
                assert!(error.is_passing(), "{error:?}");
                doubt = true;
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        doubt = false;
        for claimed in claimed {
            let settlement = persisted(|| async { queue.complete(&claimed.lease, &done()).await }).await;
            // `Already`: the first answer was lost, and the settlement was looked at, not repeated.
            if matches!(settlement, Settlement::Done | Settlement::Already) {
                mine.push(claimed.lease.id.to_string());
            }
        }
        if persisted(|| queue.counts(&here)).await.completed >= COUNT as u64 {
            return mine;
        }
    }
    unreachable!("rounds do not end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_master_is_replaced_and_a_claim_that_it_took_along_is_fenced_off() {
    let mut group = RedisSentinels::start().unwrap();
    let queue = queue(&group);
    queue.enqueue(&task("a", "backend")).await.unwrap();
    group.servers[0].command::<u64>(&["WAIT", "1", "5000"]).unwrap();
    // The replica hears nothing of the claim.
    group.servers[1].freeze().unwrap();
    let lost = tasks(queue.claim(&holder("w1"), &backend(), 1, "n").await.unwrap()).remove(0);
    let before = group.servers[0].port();
    // What the replica's kernel has taken, it would still read: the link is cut first.
    group.servers[0].command::<u64>(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    group.servers[0].kill().unwrap();
    group.servers[1].thaw().unwrap();
    tokio::task::block_in_place(|| group.await_other_master(before)).unwrap();

    let (other, here) = (holder("w2"), backend());
    let again = persisted(|| queue.claim(&other, &here, 1, "m")).await;
    match tasks(again).pop() {
        Some(again) => {
            assert!(again.lease.fence > lost.lease.fence);
            assert_eq!(queue.complete(&lost.lease, &done()).await.unwrap(), Settlement::Stale);
            assert_eq!(queue.complete(&again.lease, &done()).await.unwrap(), Settlement::Done);
        }
        // The claim had reached the replica after all; then it stands.
        None => assert_eq!(queue.complete(&lost.lease, &done()).await.unwrap(), Settlement::Done),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_was_replaced_behind_its_back_is_written_to_no_longer() {
    let group = RedisSentinels::start().unwrap();
    let queue = queue(&group);
    queue.enqueue(&task("a", "backend")).await.unwrap();
    let (old, new) = (&group.servers[0], &group.servers[1]);
    // Cut off from the sentinels and not from us: it is not told that it was replaced.
    old.command::<()>(&["ACL", "SETUSER", "default", "-ping", "-info", "-slaveof", "-replicaof", "-publish"])
        .unwrap();
    tokio::task::block_in_place(|| group.await_other_master(old.port())).unwrap();
    let replaced = Instant::now();
    let there = |server: &testkit::RedisServer, id: &str| {
        server.command::<u64>(&["EXISTS", &format!("ccc:{{backend}}:task:{id}")]).unwrap() == 1
    };
    let mut count = 0;
    loop {
        count += 1;
        let id = format!("t{count}");
        queue.enqueue(&task(&id, "backend")).await.unwrap();
        if there(new, &id) {
            break;
        }
        assert!(replaced.elapsed() < Duration::from_secs(10), "the new master is never written to");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let role: Vec<redis::Value> = old.command(&["ROLE"]).unwrap();
    assert_eq!(redis::from_redis_value_ref::<String>(&role[0]).unwrap(), "master", "it never learned it");
    for i in 0..20 {
        let id = format!("after{i}");
        queue.enqueue(&task(&id, "backend")).await.unwrap();
        assert!(there(new, &id) && !there(old, &id), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_servers_have_credentials_of_their_own() {
    let of_servers = ["--user", "app", "on", ">server-pass", "~*", "&*", "+@all"];
    let group = RedisSentinels::start_with(&of_servers, "user watcher on >sentinel-pass +@all").unwrap();
    let with = |sentinel: &str, server: &str| {
        let (sentinel, server) = (sentinel.to_owned(), server.to_owned());
        let name = name(&group);
        let named = move |redis: &mut RedisConfig| {
            name(redis);
            redis.user = "app".to_owned();
            redis.password = server.into();
            redis.sentinel_user = "watcher".to_owned();
            redis.sentinel_password = sentinel.into();
        };
        queue_on(named, "ccc", |_| {})
    };
    with("sentinel-pass", "server-pass").enqueue(&task("a", "backend")).await.unwrap();
    for (sentinel, server) in [("server-pass", "server-pass"), ("sentinel-pass", "sentinel-pass")] {
        let refused = with(sentinel, server).enqueue(&task("b", "backend")).await.unwrap_err();
        assert!(matches!(refused, QueueError::Refused(_)), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_the_sentinels_do_not_know_and_sentinels_that_are_away_are_told() {
    let mut group = RedisSentinels::start().unwrap();
    let unknown = queue_on(name(&group), "ccc", |_| {});
    unknown.check().await.unwrap();
    let name_other = name(&group);
    let other = queue_on(
        |redis| {
            name_other(redis);
            redis.service = "other".to_owned();
        },
        "ccc",
        |_| {},
    );
    let error = other.check().await.unwrap_err();
    assert!(matches!(&error, QueueError::Refused(text) if text.contains("redis.service")), "{error:?}");
    let known = queue(&group);
    known.enqueue(&task("a", "backend")).await.unwrap();
    for sentinel in &mut group.sentinels {
        sentinel.kill().unwrap();
    }
    // Who knows the master goes on with it; who comes new waits for a sentinel.
    for i in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        known.enqueue(&task(&format!("b{i}"), "backend")).await.unwrap();
    }
    let error = queue(&group).check().await.unwrap_err();
    assert!(matches!(error, QueueError::Unreachable(_)), "{error:?}");
}
