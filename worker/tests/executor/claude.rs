//! The `claude` driver in whole runs, with a shell script that replays recorded output.

use std::path::PathBuf;

use shared::{
    FailureClass,
    config::{Driver, SpecialtyAgent},
    task_log::LogStream,
};
use worker::run::Phase;

use crate::stage::Stage;

fn fixture(name: &str) -> String {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/claude")).join(name);
    path.with_extension("jsonl").display().to_string()
}

/// A stage whose `claude` does as `script` says; `$1` and so on are the files it may replay.
pub fn with_claude(script: &str, replayed: &[&str]) -> Stage {
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
    assert_eq!(stage.executor().await.agents(), [(None, "claude 2.1.328".to_owned())]);
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

/// A stage whose `claude` says that it is of this version.
fn with_version(version: &str) -> Stage {
    let mut stage = with_claude("true", &[]);
    let program = stage.program("other", &format!("echo '{version} (Claude Code)'"));
    stage.config.agent.command = vec![program.display().to_string()];
    stage
}

#[tokio::test]
async fn a_version_that_leaves_processes_behind_is_refused_unless_it_is_allowed() {
    for version in ["2.1.197", "2.1.211", "nightly"] {
        let mut stage = with_version(version);
        let refused = stage.try_executor().await.err().unwrap();
        assert_eq!(refused.class, FailureClass::Configuration);
        assert!(refused.message.contains("2.1.212 or newer"), "{}", refused.message);
        assert!(refused.message.contains("agent.allow_unsafe_version"), "{}", refused.message);
        stage.config.agent.allow_unsafe_version = true;
        assert!(stage.try_executor().await.is_ok(), "{version}");
    }
    assert!(with_version("2.1.212").try_executor().await.is_ok());
}

#[tokio::test]
async fn a_specialty_has_an_agent_of_its_own() {
    let mut stage = with_claude("echo 41 > answer; cat \"$1\"", &["success"]);
    let other = stage.program("other.sh", "cat > prompt; echo 42 > answer");
    let section = SpecialtyAgent {
        driver: Some(Driver::Command),
        command: Some(vec![other.display().to_string()]),
        system_prompt: Some("Mind the tests.".to_owned()),
        ..SpecialtyAgent::default()
    };
    stage.config.agent.specialty.insert("backend".to_owned(), section);
    let executor = stage.executor().await;
    let agents = executor.agents();
    assert_eq!(agents[0], (None, "claude 2.1.328".to_owned()));
    assert_eq!(agents[1], (Some("backend"), "command other.sh".to_owned()));
    let mut task = stage.task("x");
    task.specialty = "backend".parse().unwrap();
    let run = stage.run(task).await;
    assert_eq!(stage.remote.read(run.branch(), "answer").unwrap(), "42\n");
    assert!(stage.remote.read(run.branch(), "prompt").unwrap().starts_with("Mind the tests.\n\n"));
}

#[tokio::test]
async fn an_agent_that_no_served_specialty_needs_may_be_missing() {
    let mut stage = with_claude("true", &[]);
    let section = SpecialtyAgent {
        driver: Some(Driver::Codex),
        command: Some(vec!["no-such-codex".to_owned()]),
        ..SpecialtyAgent::default()
    };
    stage.config.agent.specialty.insert("frontend".to_owned(), section);
    let refused = stage.try_executor().await.err().unwrap();
    assert!(refused.message.starts_with("agent.specialty.frontend: "), "{}", refused.message);
    stage.config.worker.specialties = vec!["backend".to_owned()];
    let mut task = stage.task("x");
    task.specialty = "frontend".parse().unwrap();
    let run = stage.run(task).await;
    assert_eq!(run.failure().class, FailureClass::Configuration);
}

#[tokio::test]
async fn half_of_a_secret_is_not_shown_where_a_long_detail_is_cut() {
    let text = format!("{}{}", "x".repeat(295), "sk-ant-secret-key");
    let line = format!(
        r#"{{"type":"user","message":{{"content":[{{"type":"tool_result","is_error":true,"content":"{text}"}}]}}}}"#
    );
    let mut stage = with_claude(&format!("echo 42 > answer; echo '{line}'; cat \"$1\""), &["success"]);
    stage.config.agent.anthropic_api_key = "sk-ant-secret-key".into();
    let run = stage.run(stage.task("x")).await;
    let shown = run.lines(LogStream::Tool);
    assert!(shown.iter().any(|line| line.starts_with("xxx")), "{shown:?}");
    assert!(!shown.iter().any(|line| line.contains("sk-")), "{shown:?}");
}
