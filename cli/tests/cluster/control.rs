//! What an operator does to workers and tasks from anywhere.

use nix::sys::signal::Signal;
use shared::{Status, TaskId, queue::Why};

use crate::pc::{Cluster, LONG, Pc, let_go, until};

/// Runs a command of an operator's and returns what it printed.
fn operator(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.command(cluster.dir.path()).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

async fn drained(pc: &Pc) {
    until("it is drained", || async { pc.log().contains("this worker is drained").then_some(()) }).await;
}

async fn why(cluster: &Cluster, id: &TaskId) -> Option<Why> {
    cluster.queue.why(&cluster.record(id).await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_taken_by_force_from_a_beating_worker_is_run_by_another_and_published_once() {
    let cluster = Cluster::new(LONG);
    let wedged = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    cluster.begun(&wedged, &id).await;
    // So that it does not take the task again.
    operator(&cluster, &["drain", "w1", "--reason", "its agent hangs"]);
    drained(&wedged).await;
    assert!(operator(&cluster, &["tasks", "release", "--force", "a"]).contains("pending"));
    until("the wedged worker has given up", || async {
        wedged.log().contains("task given up").then_some(())
    })
    .await;
    cluster.no_agent_left().await;
    assert_eq!(cluster.remote.branches().unwrap(), ["main"], "nothing of it was published");
    until("it says why it waits", || async {
        (why(&cluster, &id).await == Some(Why::Drained)).then_some(())
    })
    .await;

    let second = cluster.start("pc-2", "w2");
    let_go(&cluster.begun(&second, &id).await);
    let record = cluster.settled(&id).await;
    assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
    assert_eq!((record.runs, record.lost, record.attempts), (2, 0, 0));
    assert_eq!(cluster.remote.branches().unwrap().len(), 2);
    assert!(cluster.queue.worker("w1").await.unwrap().is_some(), "it beats all the while");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_ends_what_it_runs_and_claims_nothing_also_after_a_restart_until_undrained() {
    let cluster = Cluster::new(LONG);
    let mut pc = cluster.start("pc-1", "w1");
    let running = cluster.enqueue("a").await;
    let tree = cluster.begun(&pc, &running).await;
    operator(&cluster, &["drain", "w1"]);
    drained(&pc).await;
    let waiting = cluster.enqueue("b").await;
    let_go(&tree);
    assert!(matches!(cluster.settled(&running).await.status, Status::Completed { .. }));
    assert!(operator(&cluster, &["agents"]).contains("w1 was drained by"));
    pc.signal(Signal::SIGTERM);
    pc.ended().await;
    let pc = cluster.start("pc-2", "w1");
    drained(&pc).await;
    until("its beat says so", || async {
        (why(&cluster, &waiting).await == Some(Why::Drained)).then_some(())
    })
    .await;
    assert_eq!(cluster.record(&waiting).await.runs, 0);
    operator(&cluster, &["undrain", "w1"]);
    let_go(&cluster.begun(&pc, &waiting).await);
    assert!(matches!(cluster.settled(&waiting).await.status, Status::Completed { .. }));
}
