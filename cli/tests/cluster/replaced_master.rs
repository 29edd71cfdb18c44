//! The process with the queue's data dies or is replaced under an ingester and a worker: behind Sentinel, and on a
//! Cluster with replicas.

use std::time::Duration;

use serde_json::Value;
use shared::{Status, TaskId, config::RedisConfig};
use testkit::{RedisCluster, RedisSentinels, redis_sentinels::SERVICE};

use crate::{
    forge::Forge,
    pc::{Cluster, let_go, until},
};

/// Shorter than a failover may take on a busy machine; whoever lives keeps its task all the same.
const TIMES: (u64, u64, u64) = (6_000, 500, 300);

/// Solves the issue when it is let go.
const WAITING_SOLVER: &str = r"#!/bin/sh
cat > /dev/null
touch begun
while ! test -e go; do sleep 0.05; done
rm begun go
echo 42 > answer
echo 'It is 42 now.'
";

/// Delivers until somebody takes it, as an operator does who has it delivered again.
async fn delivered(url: &str, guid: &str) -> Value {
    until("the webhook is taken", || async {
        let answer = Forge::deliver(url, guid).await;
        if answer.as_ref().is_none_or(|(status, _)| *status == 503) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            return None;
        }
        answer.map(|(_, answer)| answer)
    })
    .await
}

/// A webhook's task runs while `fail` happens to the master, and ends as if nothing had been; then another comes.
async fn outlives(forge: &Forge, fail: impl AsyncFnOnce()) {
    let cluster = &forge.cluster;
    let (_ingester, url) = forge.ingester("ingest-1", &[]).await;
    let worker = cluster.start("pc-1", "w1");
    let answer = delivered(&url, "first").await;
    let id: TaskId = answer["task_id"].as_str().unwrap().parse().unwrap();
    let tree = cluster.begun(&worker, &id).await;
    fail().await;
    let_go(&tree);
    let record = cluster.settled(&id).await;
    assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
    assert_eq!((record.runs, record.lost, record.attempts), (1, 0, 0), "not run twice: {}", worker.log());
    forge.assert_published_once(&record).await;
    // The same processes go on.
    let answer = delivered(&url, "second").await;
    let next: TaskId = answer["task_id"].as_str().unwrap().parse().unwrap();
    assert_ne!(next, id, "{answer}");
    let_go(&cluster.begun(&worker, &next).await);
    assert!(matches!(cluster.settled(&next).await.status, Status::Completed { .. }));
    cluster.no_agent_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_outlives_the_failover_of_its_sentinels_master_end_to_end() {
    let group = RedisSentinels::start_with(&["--min-replicas-to-write", "1"], "").unwrap();
    let name = |redis: &mut RedisConfig| {
        (redis.sentinels, redis.service) = (group.addresses(), SERVICE.to_owned());
    };
    let servers = vec![
        ("CLAUDE_CLUSTER__REDIS__SENTINELS", group.addresses().join(",")),
        ("CLAUDE_CLUSTER__REDIS__SERVICE", SERVICE.to_owned()),
    ];
    let forge = Forge::on(Cluster::on_servers(name, servers, TIMES, WAITING_SOLVER)).await;
    outlives(&forge, async || tokio::task::block_in_place(|| group.fail_over()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_outlives_the_death_of_its_master_on_a_cluster_end_to_end() {
    let mut nodes = RedisCluster::start_with_replicas().unwrap();
    let addresses = nodes.addresses();
    let name = |redis: &mut RedisConfig| redis.cluster.clone_from(&addresses);
    let servers = vec![("CLAUDE_CLUSTER__REDIS__CLUSTER", addresses.join(","))];
    let forge = Forge::on(Cluster::on_servers(name, servers, TIMES, WAITING_SOLVER)).await;
    let port = nodes.owner("{backend}").unwrap().port();
    let dies = async || {
        let master = nodes.nodes.iter_mut().find(|node| node.port() == port).unwrap();
        // What it has answered is to outlive it.
        assert_eq!(master.command::<u64>(&["WAIT", "1", "5000"]).unwrap(), 1);
        master.kill().unwrap();
    };
    outlives(&forge, dies).await;
    assert_ne!(nodes.owner("{backend}").unwrap().port(), port, "its replica has taken over");
}
