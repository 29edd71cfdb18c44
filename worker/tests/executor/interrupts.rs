//! Every wait of a run can be ended, and what it started ends with it.

use std::time::{Duration, Instant};

use shared::FailureClass;
use worker::run::{Phase, RunEnd, StopReason};

use crate::stage::{Stage, Started, escapees, marker, processes_with};

/// "Within moments", on a machine that compiles something else meanwhile.
const MOMENTS: Duration = Duration::from_secs(10);

fn cancelled() -> StopReason {
    StopReason::Cancelled { by: "a test".to_owned() }
}

async fn assert_stops(stage: &Stage, mut run: Started, marker: &str) {
    run.line("ready").await;
    // The word is there before what was started beside it has become what it is to be.
    let began = Instant::now();
    while processes_with(marker).is_empty() {
        assert!(began.elapsed() < MOMENTS, "nothing was started");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told = Instant::now();
    run.stop.send(Some(cancelled())).unwrap();
    let run = run.end().await;
    assert_eq!(run.end, RunEnd::Stopped(cancelled()));
    assert!(told.elapsed() < MOMENTS, "{:?}", told.elapsed());
    assert_eq!(processes_with(marker), Vec::<String>::new());
    assert!(stage.workspaces().is_empty());
    assert_eq!(stage.remote.branches().unwrap(), ["main"]);
}

#[tokio::test]
async fn a_stop_ends_the_agent_and_all_that_it_has_started() {
    let marker = marker();
    let stage = Stage::new().agent(&format!("{}\necho ready\nsleep {marker}", escapees(&marker)));
    let run = Started::new(&stage.executor().await, stage.task("x"));
    assert_stops(&stage, run, &marker).await;
}

#[tokio::test]
async fn a_stop_ends_the_tests() {
    let marker = marker();
    let makefile = format!("test:\n\t@setsid sleep {marker} & sleep 0.1; echo ready; sleep {marker}\n");
    let stage = Stage::with_files(&[("Makefile", &makefile)]).agent("cat >/dev/null; echo 42 > answer");
    let run = Started::new(&stage.executor().await, stage.task("x"));
    assert_stops(&stage, run, &marker).await;
}

#[tokio::test]
async fn a_stop_ends_a_fetch_that_hangs() {
    // A server that accepts and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stage = Stage::new().agent("true");
    let mut spec = stage.task("x");
    let url = format!("git://{}/x.git", listener.local_addr().unwrap());
    spec.repository = url.parse().unwrap();
    let mut run = Started::new(&stage.executor().await, spec);
    run.phase(Phase::Preparing).await;
    let _connection = tokio::task::spawn_blocking(move || listener.accept()).await.unwrap().unwrap();
    run.stop.send(Some(StopReason::Shutdown)).unwrap();
    assert_eq!(run.end().await.end, RunEnd::Stopped(StopReason::Shutdown));
    assert_eq!(processes_with(&url), Vec::<String>::new());
}

#[tokio::test]
async fn a_stop_ends_a_push_that_hangs() {
    let marker = marker();
    let stage = Stage::new().agent("cat >/dev/null; echo 42 > answer");
    let hook = stage.remote.path().join("hooks/pre-receive");
    std::fs::write(&hook, format!("#!/bin/sh\nsleep {marker}\n")).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut run = Started::new(&stage.executor().await, stage.task("x"));
    run.phase(Phase::Publishing).await;
    while processes_with(&marker).is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run.stop.send(Some(StopReason::LeaseLost)).unwrap();
    assert_eq!(run.end().await.end, RunEnd::Stopped(StopReason::LeaseLost));
    assert_eq!(processes_with(&marker), Vec::<String>::new());
    assert_eq!(stage.remote.branches().unwrap(), ["main"]);
}

#[tokio::test]
async fn a_stop_ends_a_run_whose_reports_nobody_takes() {
    let stage = Stage::new().agent("cat >/dev/null; echo ready; yes");
    let mut run = Started::new(&stage.executor().await, stage.task("x"));
    run.line("ready").await;
    run.stop.send(Some(StopReason::Shutdown)).unwrap();
    // Nothing is received from here on until the run has ended.
    tokio::time::timeout(MOMENTS, run.ended()).await.unwrap();
    assert_eq!(run.end().await.end, RunEnd::Stopped(StopReason::Shutdown));
}

#[tokio::test]
async fn the_weightiest_reason_is_told() {
    let stage = Stage::new().agent("echo ready; sleep 60");
    let mut run = Started::new(&stage.executor().await, stage.task("x"));
    run.line("ready").await;
    run.stop.send(Some(StopReason::Shutdown)).unwrap();
    run.stop.send(Some(StopReason::LeaseLost)).unwrap();
    assert_eq!(run.end().await.end, RunEnd::Stopped(StopReason::LeaseLost));
}

#[tokio::test]
async fn a_dropped_run_leaves_no_process() {
    let marker = marker();
    let stage = Stage::new().agent(&format!("{}\necho ready\nsleep {marker}", escapees(&marker)));
    let mut run = Started::new(&stage.executor().await, stage.task("x"));
    run.line("ready").await;
    run.abort();
    let deadline = Instant::now() + MOMENTS;
    while !processes_with(&marker).is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_agent_that_takes_too_long_or_falls_silent_is_ended() {
    for (silent, told) in [(false, "agent.wall_clock_ms"), (true, "agent.inactivity_ms")] {
        let marker = marker();
        let work = if silent { "sleep 60" } else { "while :; do echo .; sleep 0.1; done" };
        let mut stage = Stage::new().agent(&format!("{}\necho ready\n{work}", escapees(&marker)));
        if silent {
            stage.config.agent.inactivity_ms = 1_000;
        } else {
            stage.config.agent.wall_clock_ms = 1_000;
        }
        let run = stage.run(stage.task("x")).await;
        assert_eq!(run.failure().class, FailureClass::Task);
        assert!(run.failure().message.contains(told), "{run:#?}");
        assert_eq!(processes_with(&marker), Vec::<String>::new());
    }
}

#[tokio::test]
async fn tests_that_take_too_long_are_red() {
    let marker = marker();
    let makefile = format!("test:\n\tsleep {marker}\n");
    let mut stage = Stage::with_files(&[("Makefile", &makefile)]).agent("cat >/dev/null; echo 42 > answer");
    stage.config.test.timeout_ms = 500;
    stage.config.test.rounds_max = 1;
    let run = stage.run(stage.task("x")).await;
    assert!(run.failure().message.contains("without a result"), "{run:#?}");
    assert_eq!(processes_with(&marker), Vec::<String>::new());
}

#[tokio::test]
async fn children_that_outlive_the_agent_are_gone_before_the_tests_begin() {
    let marker = marker();
    // The tests run in a namespace of their own, so the left-overs are looked for from outside.
    let makefile = "test:\n\t@echo testing; sleep 0.5\n";
    let stage = Stage::with_files(&[("Makefile", makefile)])
        .agent(&format!("cat >/dev/null; echo 42 > answer\n{}", escapees(&marker)));
    let mut run = Started::new(&stage.executor().await, stage.task("x"));
    run.phase(Phase::Testing { round: 1 }).await;
    assert_eq!(processes_with(&marker), Vec::<String>::new());
    run.end().await.branch();
}
