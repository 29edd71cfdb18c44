//! What crashed runs leave behind is removed; what lives is not touched.

use worker::run::StopReason;

use crate::stage::{Stage, Started};

#[tokio::test]
async fn a_start_sweeps_left_overs_and_spares_a_run_of_another_worker() {
    let stage = Stage::new().agent("cat >/dev/null; echo ready; sleep 60");
    let mut live = Started::new(&stage.executor().await, stage.task("x"));
    live.line("ready").await;
    let crashed = stage.state().join("workspaces/crashed-1");
    std::fs::create_dir_all(crashed.join("tree")).unwrap();

    let _second = stage.executor().await;
    assert!(!crashed.exists());
    assert_eq!(stage.workspaces().len(), 2, "directory and lock of the live run");
    live.stop.send(Some(StopReason::Shutdown)).unwrap();
    live.end().await;
    assert!(stage.workspaces().is_empty());
}

#[tokio::test]
async fn a_failed_runs_workspace_is_kept_where_that_is_wished() {
    let mut stage = Stage::new().agent("echo trace > trace; exit 1");
    stage.config.workspace.keep_failed = true;
    stage.run(stage.task("x")).await.failure();
    let kept = stage.workspaces();
    assert!(matches!(&kept[..], [name] if name.contains(".kept")), "{kept:?}");
    assert!(stage.state().join("workspaces").join(&kept[0]).join("tree/trace").exists());
    let _next_start = stage.executor().await;
    assert_eq!(stage.workspaces(), kept);
}
