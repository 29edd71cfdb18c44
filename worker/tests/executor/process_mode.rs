//! Without namespaces: the supervisor, and where the tests run as root, another user.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use shared::{Outcome, outcome::TestsSummary, task_log::LogStream};
use worker::run::{RunEnd, StopReason};

use crate::stage::{Stage, Started, escapees, marker, processes_with, supervisor};

#[tokio::test]
async fn a_run_ends_in_a_branch_and_leaves_no_process() {
    let marker = marker();
    let stage = Stage::new()
        .in_process_mode()
        .agent(&format!("cat >/dev/null; echo 42 > answer; id -un; {}", escapees(&marker)));
    let executor = stage.executor().await;
    assert_eq!(executor.sandbox(), "process");
    let run = Started::new(&executor, stage.task("x")).end().await;
    let RunEnd::Finished(Outcome::Branch { tests, .. }) = &run.end else { panic!("{run:#?}") };
    assert!(matches!(tests, TestsSummary::Passed { .. }));
    if geteuid().is_root() {
        assert!(run.lines(LogStream::Agent).contains(&"nobody"), "{run:#?}");
    }
    assert_eq!(processes_with(&marker), Vec::<String>::new());
    assert!(stage.workspaces().is_empty());
}

#[tokio::test]
async fn a_stop_ends_everything_an_agent_has_started() {
    let marker = marker();
    let stage =
        Stage::new().in_process_mode().agent(&format!("{}\necho ready\nsleep {marker}", escapees(&marker)));
    let mut run = Started::new(&stage.executor().await, stage.task("x"));
    run.line("ready").await;
    run.stop.send(Some(StopReason::LeaseLost)).unwrap();
    assert_eq!(run.end().await.end, RunEnd::Stopped(StopReason::LeaseLost));
    assert_eq!(processes_with(&marker), Vec::<String>::new());
    assert!(stage.workspaces().is_empty());
}

#[tokio::test]
async fn as_another_user_an_agent_reads_nothing_of_the_workers() {
    if !geteuid().is_root() {
        return;
    }
    let mut stage = Stage::new().in_process_mode();
    stage.config.github.token = "ghp_process-mode-token".into();
    let private = stage.state();
    let script = format!(
        "cat >/dev/null; echo 42 > answer\n\
         {{ cat /proc/{worker}/environ /proc/{worker}/mem {state}/* /proc/$PPID/environ; ls {state} ..; id; }} > loot 2>&1\n\
         for target in ../x \"$(cat .git/objects/info/alternates)/x\"; do (echo x > $target) 2>/dev/null && echo \"wrote $target\" >> loot; done; true",
        worker = std::process::id(),
        state = private.display()
    );
    let stage = stage.agent(&script);
    fs::create_dir_all(&private).unwrap();
    fs::write(private.join("webhook-secret"), "process-mode-secret").unwrap();
    let run = stage.run(stage.task("x")).await;
    let loot = stage.remote.read(run.branch(), "loot").unwrap();
    assert!(loot.contains("groups=65534(nogroup)\n"), "{loot}");
    for leaked in ["process-mode-token", "process-mode-secret", "webhook-secret\n", "wrote"] {
        assert!(!loot.contains(leaked), "{leaked}: {loot}");
    }
}

#[test]
fn a_supervisor_dies_with_the_worker_and_takes_everything_along() {
    a_worker_that_dies_leaves_no_process(Stage::new().in_process_mode());
}

#[test]
fn a_bubblewrap_dies_with_the_worker_and_takes_everything_along() {
    a_worker_that_dies_leaves_no_process(Stage::new());
}

/// A thread that ends without any clean-up is to its children what a killed process would be.
fn a_worker_that_dies_leaves_no_process(stage: Stage) {
    let marker = marker();
    let stage = stage.agent(&format!("{}\necho ready\nsleep {marker}", escapees(&marker)));
    let spec = stage.task("x");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let run = runtime.block_on(async {
                let mut run = Started::new(&stage.executor().await, spec);
                run.line("ready").await;
                run
            });
            // The shell says that it is ready before what it starts bears its name.
            wait_until(|| !processes_with(&marker).is_empty());
            std::mem::forget((run, runtime));
        });
    });
    wait_until(|| processes_with(&marker).is_empty());
}

fn wait_until(mut seen: impl FnMut() -> bool) {
    let began = Instant::now();
    while !seen() {
        assert!(began.elapsed() < Duration::from_secs(10), "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_supervisor_passes_on_exit_codes_and_tells_what_cannot_be_run() {
    let code = |args: &[&str]| {
        let status =
            Command::new(supervisor()).args(["supervise", "--"]).args(args).stderr(Stdio::null()).status();
        status.unwrap().code()
    };
    assert_eq!(code(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(code(&["sh", "-c", "kill -9 $$"]), Some(137));
    assert_eq!(code(&["/no/such/program"]), Some(127));
    assert_eq!(code(&["/etc/passwd"]), Some(126));
    assert_eq!(code(&[]), Some(126));
}

#[test]
fn the_supervisor_ends_only_after_the_last_descendant() {
    let marker = marker();
    let script = format!("{}\necho ready; exit 3", escapees(&marker));
    let status = Command::new(supervisor())
        .args(["supervise", "--", "sh", "-c", &script])
        .stdout(Stdio::null())
        .status();
    assert_eq!(status.unwrap().code(), Some(3));
    assert_eq!(processes_with(&marker), Vec::<String>::new());
}

#[test]
fn a_told_supervisor_takes_everything_along() {
    let marker = marker();
    let script = format!("trap '' TERM\n{}\necho ready; sleep {marker}", escapees(&marker));
    let mut child = Command::new(supervisor())
        .args(["supervise", "--", "sh", "-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let told = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(told.elapsed() < Duration::from_secs(10));
    assert_eq!(processes_with(&marker), Vec::<String>::new());
}
