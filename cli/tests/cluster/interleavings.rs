//! Unlucky moments: an answer that never comes, a marker that goes to the wrong one, a cancel just before a death.

use nix::sys::signal::Signal;
use shared::{Status, queue::CancelAnswer};

use crate::{
    lost_answer::LostAnswer,
    pc::{Cluster, TIGHT, let_go, until},
};

/// Waits until so many workers wait for a marker.
async fn waiting(cluster: &Cluster, count: usize) {
    until("the workers wait", || async {
        let info: String = cluster.redis.command(&["INFO", "clients"]).ok()?;
        info.contains(&format!("blocked_clients:{count}\r")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_claim_was_never_answered_runs_once_and_is_not_counted_as_lost() {
    let mut cluster = Cluster::new(TIGHT);
    let network = LostAnswer::start(&cluster.redis.socket());
    cluster.settings.push(("REDIS_URL".to_owned(), network.url()));
    let pc = cluster.start("pc-1", "w1");
    // One that goes well, so that the server knows the script of the next claim.
    let first = cluster.enqueue("first").await;
    let_go(&cluster.begun(&pc, &first).await);
    cluster.settled(&first).await;
    waiting(&cluster, 1).await;
    network.lose_next_claim();
    let id = cluster.enqueue("a").await;
    until("the answer is lost", || async { network.has_lost().then_some(()) }).await;
    let_go(&cluster.begun(&pc, &id).await);
    let record = cluster.settled(&id).await;
    assert_eq!((record.runs, record.lost, record.attempts), (1, 0, 0), "{}", pc.log());
    assert!(matches!(record.status, Status::Completed { .. }));
    assert!(pc.log().contains("a claim whose answer was lost is taken up"), "{}", pc.log());
    cluster.no_agent_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_goes_to_a_frozen_worker_costs_a_sweep_and_no_task() {
    let cluster = Cluster::new(TIGHT);
    let frozen = cluster.start("pc-1", "w1");
    waiting(&cluster, 1).await;
    frozen.signal(Signal::SIGSTOP);
    let second = cluster.start("pc-2", "w2");
    waiting(&cluster, 2).await;
    // Whoever waits longest is served first.
    let id = cluster.enqueue("a").await;
    let tree = cluster.begun(&second, &id).await;
    frozen.signal(Signal::SIGCONT);
    let_go(&tree);
    let record = cluster.settled(&id).await;
    assert_eq!((record.runs, record.lost), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_worker_dies_before_it_hears_of_a_cancel_is_cancelled_and_never_run_again() {
    let cluster = Cluster::new(TIGHT);
    let first = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    cluster.begun(&first, &id).await;
    first.signal(Signal::SIGSTOP);
    assert_eq!(cluster.queue.cancel(&id, "ada").await.unwrap(), CancelAnswer::Requested);
    first.signal(Signal::SIGKILL);
    let _second = cluster.start("pc-2", "w2");
    let record = cluster.settled(&id).await;
    assert!(matches!(&record.status, Status::Cancelled { reason, .. } if reason == "ada"), "{record:?}");
    assert_eq!(record.runs, 1);
    cluster.no_agent_left().await;
    assert_eq!(cluster.remote.branches().unwrap(), ["main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_a_redis_that_was_flushed_enter_themselves_again_and_go_on() {
    let cluster = Cluster::new(TIGHT);
    let pc = cluster.start("pc-1", "w1");
    waiting(&cluster, 1).await;
    cluster.redis.command::<()>(&["FLUSHALL"]).unwrap();
    cluster.redis.command::<()>(&["SCRIPT", "FLUSH"]).unwrap();
    until("the worker is known again", || async { cluster.queue.worker("w1").await.ok().flatten() }).await;
    // In another slot than its own entry, and so a moment later.
    until("it is listed", || async { (cluster.queue.workers().await.ok()?.len() == 1).then_some(()) }).await;
    let id = cluster.enqueue("a").await;
    let_go(&cluster.begun(&pc, &id).await);
    assert!(matches!(cluster.settled(&id).await.status, Status::Completed { .. }));
}
