//! A worker asks its agent where a task belongs, and hands it over.

use shared::{Specialty, TaskSpec, crash_point::CrashPoint};
use testkit::audit::{Limits, audit};

use crate::{
    forge::assert_no_workspace_left,
    pc::{Cluster, Pc, TIGHT, until},
};

const AGENT: &str = "#!/bin/sh\nprompt=$(cat)\ncase $prompt in\n*'Which kind of work'*) echo backend ;;\n\
                     *) echo 'made better' >> README ;;\nesac\n";

/// A worker of one specialty, on a PC of its own.
fn start(cluster: &Cluster, node: &str, specialty: &str, variables: &[(&str, &str)]) -> Pc {
    let on = ("CLAUDE_CLUSTER__CLASSIFY__SECOND_OPINION", "true");
    let variables: Vec<_> = variables.iter().copied().chain([on]).collect();
    cluster.spawn(node, node, &["worker", "--node-id", node, "--specialties", specialty], &variables)
}

/// Enqueues what the classifier could not place, once a worker of `backend` lives beside whoever claims it.
async fn enqueued(cluster: &Cluster) -> TaskSpec {
    until("a worker of backend lives", || async {
        cluster.queue.worker("w2").await.ok().flatten().map(drop)
    })
    .await;
    let repository = cluster.remote.path().display().to_string().parse().unwrap();
    let mut spec = TaskSpec::new("a".parse().unwrap(), repository, "It is odd");
    spec.classification.margin = Some(0.0);
    cluster.queue.enqueue(&spec).await.unwrap();
    spec
}

async fn assert_done_by_backend(cluster: &Cluster, spec: &TaskSpec) {
    let record = cluster.settled(&spec.id).await;
    let backend: Specialty = "backend".parse().unwrap();
    assert_eq!((record.specialty, record.status.name()), (backend, "completed"));
    assert_eq!((record.runs, record.lost, record.attempts), (2, 0, 0));
    let remote = &cluster.remote;
    assert_eq!(remote.branches().unwrap().len(), 2);
    until("every effect has been carried out", || async {
        let left = |name| cluster.redis.command::<u64>(&["XLEN", name]).unwrap();
        (left("ccc:{general}:outbox") + left("ccc:{backend}:outbox") == 0).then_some(())
    })
    .await;
    audit(&cluster.redis, "ccc", &Limits::default()).unwrap().assert_settled();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_the_agent_takes_for_anothers_is_run_by_the_other() {
    let cluster = Cluster::with_agent(TIGHT, AGENT);
    let other = start(&cluster, "w2", "backend", &[]);
    let spec = enqueued(&cluster).await;
    let first = start(&cluster, "w1", "general", &[]);
    assert_done_by_backend(&cluster, &spec).await;
    assert_no_workspace_left(&first).await;
    assert_no_workspace_left(&other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_over_a_hand_over_has_handed_the_task_over() {
    let cluster = Cluster::with_agent(TIGHT, AGENT);
    let _other = start(&cluster, "w2", "backend", &[]);
    let spec = enqueued(&cluster).await;
    let point = format!("{:?}", CrashPoint::Referred);
    let mut first = start(&cluster, "w1", "general", &[("CLAUDE_CLUSTER_CRASH_POINT", &point)]);
    assert_eq!(first.ended().await, None, "{}", first.log());
    let again = start(&cluster, "w1", "general", &[]);
    assert_done_by_backend(&cluster, &spec).await;
    assert_no_workspace_left(&again).await;
}
