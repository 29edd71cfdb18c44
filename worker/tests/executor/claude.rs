//! The `claude` driver in whole runs, with a shell script that replays recorded output.

use std::path::PathBuf;

use shared::{FailureClass, config::Driver, task_log::LogStream};
use worker::run::Phase;

use crate::stage::Stage;

fn fixture(name: &str) -> String {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/claude")).join(name);
    path.with_extension("jsonl").display().to_string()
}

/// A stage whose `claude` does as `script` says; `$1` and so on are the files it may replay.
fn with_claude(script: &str, replayed: &[&str]) -> Stage {
    let mut stage = Stage::new();
    let program = stage.program(
        "claude",
        &format!("case $* in *--version) echo '2.1.328 (Claude Code)'; exit;; esac\nprompt=$(cat)\n{script}"),
    );
    stage.config.agent.driver = Driver::Claude;
    stage.config.agent.command = vec![program.display().to_string()];
    // Files that the call names are lent to the sandbox.
    stage.config.agent.command.extend(replayed.iter().map(|name| fixture(name)));
    stage
}

#[tokio::test]
async fn a_recorded_success_is_told_event_by_event() {
    let stage = with_claude("echo 42 > answer; cat \"$1\"", &["success"]);
    let run = stage.run(stage.task("x")).await;
    run.branch();
    assert!(run.lines(LogStream::Agent).contains(&"All done: calc.py fixed and the test passes."));
    assert!(run.lines(LogStream::Tool).iter().any(|line| line.starts_with("Write ")));
    let engine = run.lines(LogStream::Engine);
    assert!(engine.iter().any(|line| line.starts_with("claude 2.1.328 started")), "{engine:?}");
    assert!(engine.iter().any(|line| line.contains("0.0084 USD")), "{engine:?}");
}

#[tokio::test]
async fn the_version_is_told() {
    let stage = with_claude("true", &[]);
    assert_eq!(stage.executor().await.agent(), "claude 2.1.328");
}

#[tokio::test]
async fn a_fix_round_resumes_the_session() {
    let script = "case $* in *--resume=feaa4f81-*) echo 42;; *) echo 43;; esac > answer; cat \"$1\"";
    let stage = with_claude(script, &["success"]);
    let run = stage.run(stage.task("x")).await;
    assert_eq!(stage.remote.read(run.branch(), "answer").unwrap(), "42\n");
    assert!(run.phases().contains(&Phase::Agent { round: 2 }));
}

#[tokio::test]
async fn a_session_that_is_gone_is_begun_afresh_with_the_whole_task() {
    let script = "case $* in *--resume=*) cat \"$2\"; exit 1;; esac\n\
                  case $prompt in *'The title of it'*'Command: make test'*) echo 42;; *) echo 43;; esac > answer\n\
                  cat \"$1\"";
    let stage = with_claude(script, &["success", "resume_unknown"]);
    let run = stage.run(stage.task("The title of it")).await;
    assert_eq!(stage.remote.read(run.branch(), "answer").unwrap(), "42\n");
    assert!(run.lines(LogStream::Engine).iter().any(|line| line.contains("starts afresh")));
}

#[tokio::test]
async fn failures_keep_their_class() {
    for (name, class) in [
        ("usage_limit_oauth_429", FailureClass::UsageLimit),
        ("no_credentials", FailureClass::Configuration),
        ("overloaded_529", FailureClass::Transient),
        ("error_max_turns", FailureClass::Task),
    ] {
        let stage = with_claude("echo 42 > answer; cat \"$1\"; exit 1", &[name]);
        let run = stage.run(stage.task("x")).await;
        assert_eq!(run.failure().class, class, "{name}");
        assert_eq!(stage.remote.branches().unwrap(), ["main"]);
    }
}
