//! What only a cluster does: slots move, masters die, waits span nodes. Each test has nodes of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use shared::{
    Outcome,
    queue::{Claim, Enqueued, Queue, QueueError, Settlement, Waited},
};
use testkit::{RedisCluster, RedisServer, queue_clock};

use crate::setting::{backend, holder, queue_on, task};

const PATIENCE: Duration = Duration::from_secs(30);

fn queue(cluster: &RedisCluster) -> Queue {
    queue_on(|redis| redis.cluster = cluster.addresses(), "ccc", |q| q.lease_ms = 60_000)
}

/// One task through its whole life; passing errors are waited out.
async fn whole_life(queue: &Queue, id: &str, specialty: &str) {
    let spec = task(id, specialty);
    let deadline = Instant::now() + PATIENCE;
    let again = async |error: QueueError| {
        assert!(!error.to_string().contains("CROSSSLOT"), "{error}");
        assert!(error.is_passing() && Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    while let Err(error) = queue.enqueue(&spec).await {
        again(error).await;
    }
    let me = holder("w1");
    let claimed = loop {
        match queue.claim(&me, &spec.specialty, 1, id).await {
            Ok(Claim::Tasks { mut tasks, .. }) if !tasks.is_empty() => break tasks.remove(0),
            Ok(_) => {}
            Err(error) => again(error).await,
        }
        match queue.holding(&me, &spec.specialty).await {
            Ok(mut held) if !held.is_empty() => break held.remove(0),
            Ok(_) => assert!(Instant::now() < deadline, "{id} is nowhere"),
            Err(error) => again(error).await,
        }
    };
    assert_eq!(claimed.lease.id, spec.id);
    loop {
        match queue.complete(&claimed.lease, &Outcome::NoChange { answer: String::new() }).await {
            Ok(settlement) => {
                assert!(matches!(settlement, Settlement::Done | Settlement::Already), "{settlement:?}");
                return;
            }
            Err(error) => again(error).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_spans_nodes_and_ends_everywhere_when_one_has_something() {
    let cluster = RedisCluster::start().unwrap();
    let queue = queue(&cluster);
    let names = ["backend", "frontend", "testing", "devops", "general"];
    let owners: std::collections::HashSet<u16> =
        names.iter().map(|name| cluster.owner(&format!("{{{name}}}")).unwrap().port()).collect();
    assert!(owners.len() > 1, "the specialties lie on several nodes");
    let specialties: Vec<shared::Specialty> = names.iter().map(|name| name.parse().unwrap()).collect();
    let mut waiter = queue.wake_waiter(&specialties, Duration::from_secs(60));
    for name in names {
        let waiting = tokio::spawn(async move {
            let woken = waiter.wait().await.unwrap();
            (waiter, woken)
        });
        let began = Instant::now();
        queue.enqueue(&task(name, name)).await.unwrap();
        let woken;
        (waiter, woken) = waiting.await.unwrap();
        assert_eq!(woken, Waited::Woken(name.parse().unwrap()));
        assert!(began.elapsed() < Duration::from_secs(20), "the other reads were ended");
    }
}

/// Moves the slot of `key` step by step, with a look in the middle.
fn move_slot(cluster: &RedisCluster, key: &str, half_way: impl FnOnce()) {
    let from = cluster.owner(key).unwrap();
    let to = cluster.nodes.iter().find(|node| node.port() != from.port()).unwrap();
    let slot: u64 = from.command(&["CLUSTER", "KEYSLOT", key]).unwrap();
    let slot = slot.to_string();
    let (from_id, to_id) = (RedisCluster::id(from).unwrap(), RedisCluster::id(to).unwrap());
    to.command::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).unwrap();
    from.command::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).unwrap();
    let move_some = |from: &RedisServer| {
        let keys: Vec<String> = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "2"]).unwrap();
        let port = to.port().to_string();
        for key in &keys {
            from.command::<String>(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).unwrap();
        }
        keys.len()
    };
    assert!(move_some(from) > 0, "the slot holds something");
    half_way();
    while move_some(from) > 0 {}
    for node in [to, from] {
        node.command::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_go_through_their_lives_while_their_slot_is_moved() {
    let cluster = Arc::new(RedisCluster::start().unwrap());
    let queue = queue(&cluster);
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (queue, stop) = (queue.clone(), Arc::clone(&stop));
        async move {
            let mut count = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                whole_life(&queue, &format!("t{count}"), "backend").await;
                count += 1;
            }
            count
        }
    });
    for _ in 0..3 {
        let cluster = Arc::clone(&cluster);
        let before = queue.counts(&backend()).await.unwrap().completed;
        while queue.counts(&backend()).await.unwrap().completed < before + 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::task::spawn_blocking(move || {
            move_slot(&cluster, "ccc:{backend}:", || std::thread::sleep(Duration::from_millis(200)));
        })
        .await
        .unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let count = load.await.unwrap();
    let counts = queue.counts(&backend()).await.unwrap();
    assert_eq!((counts.completed, counts.pending, counts.active), (count, 0, 0), "each settled once");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_slot_is_half_moved_its_specialty_waits_and_nothing_is_half_written() {
    let cluster = RedisCluster::start().unwrap();
    let queue = queue(&cluster);
    for id in ["a", "b", "c"] {
        queue.enqueue(&task(id, "backend")).await.unwrap();
    }
    let handle = tokio::runtime::Handle::current();
    let records = || -> usize {
        let all = cluster.nodes.iter().map(|node| {
            let slot: u64 = node.command(&["CLUSTER", "KEYSLOT", "{backend}"]).unwrap();
            node.command::<u64>(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).unwrap()
        });
        all.sum::<u64>() as usize
    };
    tokio::task::block_in_place(|| {
        move_slot(&cluster, "ccc:{backend}:", || {
            let before = records();
            handle.block_on(async {
                let refused = queue.enqueue(&task("d", "backend")).await.unwrap_err();
                assert!(matches!(&refused, QueueError::Refused(_)), "{refused:?}");
                // What needs one key only is found on either side, and others do not wait.
                assert_eq!(queue.task(&"a".parse().unwrap()).await.unwrap().unwrap().id.as_str(), "a");
                whole_life(&queue, "elsewhere", "frontend").await;
            });
            assert_eq!(records(), before);
        });
    });
    assert_eq!(queue.enqueue(&task("d", "backend")).await.unwrap(), Enqueued::Created);
    assert_eq!(queue.counts(&backend()).await.unwrap().pending, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_master_s_replica_goes_on_with_its_tasks() {
    let mut cluster = RedisCluster::start_with_replicas().unwrap();
    let queue = queue(&cluster);
    whole_life(&queue, "before", "backend").await;
    queue.enqueue(&task("a", "backend")).await.unwrap();
    let port = cluster.owner("{backend}").unwrap().port();
    let master = cluster.nodes.iter_mut().find(|node| node.port() == port).unwrap();
    master.command::<u64>(&["WAIT", "1", "5000"]).unwrap();
    master.kill().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let claimed = loop {
        match queue.claim(&holder("w1"), &backend(), 1, "n").await {
            Ok(Claim::Tasks { mut tasks, .. }) => break tasks.remove(0),
            Ok(Claim::Paused) => panic!("not paused"),
            Err(error) => assert!(error.is_passing() && Instant::now() < deadline, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(claimed.lease.id.as_str(), "a");
    whole_life(&queue, "after", "frontend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_asks_every_master() {
    let cluster = RedisCluster::start().unwrap();
    let queue = queue(&cluster);
    let facts = queue.check().await.unwrap();
    assert_eq!((facts.aof, facts.eviction.as_deref()), (Some(true), Some("noeviction")));
    cluster.nodes[2].command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    assert_eq!(queue.check().await.unwrap().eviction.as_deref(), Some("allkeys-lru"));
}

#[tokio::test(flavor = "multi_thread")]
async fn locators_of_trimmed_tasks_end_with_them() {
    let cluster = RedisCluster::start().unwrap();
    let queue = queue_on(
        |redis| redis.cluster = cluster.addresses(),
        "ccc",
        |q| (q.lease_ms, q.finished_count_max) = (60_000, 2),
    );
    let ids: Vec<String> = (0..6).map(|n| format!("t{n}")).collect();
    for id in &ids {
        whole_life(&queue, id, "backend").await;
    }
    assert_eq!(queue.task(&"t0".parse().unwrap()).await.unwrap(), None, "it was trimmed");
    // Used again before its effect is carried out, its locator is the new task's.
    queue.enqueue(&task("t1", "backend")).await.unwrap();
    let mut connection = cluster.owner("{backend}").unwrap().connection().unwrap();
    queue_clock::pass(&mut connection, "ccc", "backend", 6_000).unwrap();
    queue.sweep(&backend()).await.unwrap();
    let life_s = |id: &str| {
        let key = format!("ccc:task:{id}");
        cluster.owner(&key).unwrap().command::<i64>(&["TTL", &key]).unwrap()
    };
    let lives: Vec<i64> = ids.iter().map(|id| life_s(id)).collect();
    assert!(lives[0] <= 60 && lives[2] <= 60 && lives[3] <= 60, "ended with their tasks: {lives:?}");
    assert_eq!(lives[1], -1);
    assert!(lives[4] > 3_600 && lives[5] > 3_600, "those that are kept: {lives:?}");
}
