//! Workers that are told to stop, and tasks that are cancelled.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use shared::{Status, queue::CancelAnswer};

use crate::pc::{Cluster, LONG, let_go, until};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_the_running_task_end_and_claims_nothing_new() {
    let cluster = Cluster::new(LONG);
    let mut pc = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    let tree = cluster.begun(&pc, &id).await;
    pc.signal(Signal::SIGTERM);
    until("it drains", || async { pc.log().contains("draining").then_some(()) }).await;
    let waiting = cluster.enqueue("b").await;
    let_go(&tree);
    assert_eq!(pc.ended().await, Some(0), "{}", pc.log());
    assert!(matches!(cluster.record(&id).await.status, Status::Completed { .. }));
    assert!(matches!(cluster.record(&waiting).await.status, Status::Pending));
    assert!(cluster.queue.worker("w1").await.unwrap().is_none(), "it took its leave");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_gives_the_task_back_uncounted_and_leaves_no_process() {
    let cluster = Cluster::new(LONG);
    let mut pc = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    cluster.begun(&pc, &id).await;
    pc.signal(Signal::SIGTERM);
    until("it drains", || async { pc.log().contains("draining").then_some(()) }).await;
    pc.signal(Signal::SIGTERM);
    assert!(pc.ended().await.is_some(), "{}", pc.log());
    let record = cluster.record(&id).await;
    assert!(matches!(record.status, Status::Pending), "{record:?}");
    assert_eq!((record.attempts, record.lost), (0, 0));
    cluster.no_agent_left().await;
    assert_eq!(cluster.remote.branches().unwrap(), ["main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_ends_soon_although_redis_answers_nothing() {
    let cluster = Cluster::new(LONG);
    let mut pc = cluster.start("pc-1", "w1");
    until("it is ready", || async { pc.log().contains("worker is ready").then_some(()) }).await;
    cluster.redis.freeze().unwrap();
    pc.signal(Signal::SIGTERM);
    let told = Instant::now();
    assert_eq!(pc.ended().await, Some(0), "{}", pc.log());
    assert!(told.elapsed() < Duration::from_secs(20), "ended after {:?}", told.elapsed());
    cluster.redis.thaw().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_now_ends_although_redis_is_gone_for_good() {
    let mut cluster = Cluster::new(LONG);
    let mut pc = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    cluster.begun(&pc, &id).await;
    cluster.redis.kill().unwrap();
    pc.signal(Signal::SIGTERM);
    until("it drains", || async { pc.log().contains("draining").then_some(()) }).await;
    pc.signal(Signal::SIGTERM);
    assert!(pc.ended().await.is_some(), "{}", pc.log());
    cluster.no_agent_left().await;
    // Nobody gave the task back: the next start of this worker does.
    cluster.redis.restart().unwrap();
    let again = cluster.start("pc-1", "w1");
    cluster.claimed_times(&id, 2).await;
    cluster.begun(&again, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_kills_the_whole_process_tree_and_publishes_nothing() {
    let cluster = Cluster::new(LONG);
    let pc = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    cluster.begun(&pc, &id).await;
    assert_eq!(cluster.queue.cancel(&id, "ada").await.unwrap(), CancelAnswer::Requested);
    let record = cluster.settled(&id).await;
    assert!(matches!(&record.status, Status::Cancelled { reason, .. } if reason == "ada"));
    cluster.no_agent_left().await;
    assert_eq!(cluster.remote.branches().unwrap(), ["main"]);
    let left = std::fs::read_dir(pc.state.join("claude-cluster/workspaces")).unwrap();
    assert_eq!(left.flatten().filter(|entry| entry.path().is_dir()).count(), 0, "its workspace is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_as_many_tasks_at_once_as_it_has_slots() {
    let cluster = Cluster::new(LONG);
    let pc = cluster.start("pc-1", "w1");
    let mut ids = Vec::new();
    for id in ["a", "b", "c"] {
        ids.push(cluster.enqueue(id).await);
    }
    let count = || async { cluster.queue.counts(&"backend".parse().unwrap()).await.unwrap() };
    until("two run", || async { (count().await.active == 2).then_some(()) }).await;
    assert_eq!(count().await.pending, 1);
    for id in &ids {
        // Each that begins is let go until all are done.
        while !cluster.record(id).await.status.is_settled() {
            let runs = std::fs::read_dir(pc.state.join("claude-cluster/workspaces")).unwrap();
            for tree in runs.flatten().map(|run| run.path().join("tree")).filter(|t| t.join("begun").exists())
            {
                let _ = std::fs::write(tree.join("go"), "");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(cluster.remote.branches().unwrap().len(), 4);
}
