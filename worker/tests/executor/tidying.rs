//! The janitor beside runs that go on.

use std::fs;

use tokio_util::sync::CancellationToken;
use worker::executor::Executor;

use crate::stage::{Stage, Started};

async fn removed(executor: &Executor) -> usize {
    executor.janitor().round(&CancellationToken::new()).await.unwrap().removed
}

#[tokio::test]
async fn the_janitor_of_another_worker_takes_nothing_from_a_run_and_what_it_used_afterwards() {
    let waiting =
        "cat >/dev/null; echo ready; while ! test -e go; do sleep 0.02; done; rm go; echo 42 > answer";
    let mut stage = Stage::new().agent(waiting);
    let mut live = Started::new(&stage.executor().await, stage.task("x"));
    live.line("ready").await;
    let name = stage.workspaces().into_iter().find(|name| !name.contains(".lock")).unwrap();
    let tree = stage.state().join("workspaces").join(name).join("tree");
    let mirror = stage.mirror();

    // It would give up whatever it may.
    stage.config.workspace.bytes_max = 1;
    let second = stage.executor().await;
    assert_eq!(removed(&second).await, 0, "all there is is in use");
    assert!(mirror.join("objects").is_dir() && tree.join("answer").exists());
    fs::write(tree.join("go"), "").unwrap();
    live.end().await.branch();
    assert_eq!(removed(&second).await, 1, "the mirror");
    assert!(!mirror.exists());

    let stage = stage.agent("cat >/dev/null; echo 42 > answer");
    stage.run(stage.task("y")).await.branch();
    assert!(mirror.join("objects").is_dir(), "it is made anew for the next run");
}

#[tokio::test]
async fn a_start_removes_no_kept_workspace_and_the_janitor_does_after_its_time() {
    let mut stage = Stage::new().agent("exit 1");
    stage.config.workspace.keep_failed = true;
    stage.run(stage.task("x")).await.failure();
    let kept = stage.state().join("workspaces").join(&stage.workspaces()[0]);
    let executor = stage.executor().await;
    assert_eq!(removed(&executor).await, 0);
    let a_week_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(8 * 86_400);
    fs::File::open(&kept).unwrap().set_modified(a_week_ago).unwrap();
    assert_eq!(removed(&executor).await, 1);
    assert!(stage.workspaces().is_empty());
}
