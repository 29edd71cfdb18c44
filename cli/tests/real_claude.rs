//! The real Claude Code CLI, driven by the real program from an issue's text to the pushed branch. Only the model is
//! scripted: a stand-in for the Messages API on loopback.
//!
//! `scripts/test --real` fetches the CLI and names it in `CLAUDE_CLUSTER_TEST_CLAUDE`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "commands/home.rs"]
#[expect(dead_code, reason = "shared with the tests of the commands")]
mod home;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use testkit::model_api::{Dialect, ModelApi, Turn};

use home::{Home, Running, eventually, git};

const KEY: &str = "dummy-key";

/// A user with the sample project as a remote, Claude Code as the agent, and a scripted model behind it.
struct User {
    home: Home,
    remote: PathBuf,
    api: ModelApi,
}

impl User {
    fn new(api: ModelApi) -> Self {
        let home = Home::new();
        let remote = home.sample_remote();
        home.write("issue.md", "# duration knows no hours\n\n7200 should be said as 2 h 0 min 0 s.\n");
        let claude = std::env::var("CLAUDE_CLUSTER_TEST_CLAUDE").unwrap_or_else(|_| {
            panic!("CLAUDE_CLUSTER_TEST_CLAUDE names no Claude Code; run scripts/test --real")
        });
        let config = format!(
            "[agent]\ncommand = [\"{claude}\"]\nretries_max = 1\n\
             [queue]\nlease_ms = 3000\nbeat_ms = 500\n"
        );
        home.write(".config/claude-cluster/config.toml", &config);
        Self { home, remote, api }
    }

    fn workflow(&self) -> Command {
        let arguments =
            ["workflow", "--repo", "./durations.git", "--issue-file", "issue.md", "--task-id", "task"];
        let mut command = self.home.command(&arguments);
        command.env("ANTHROPIC_API_KEY", KEY).env("ANTHROPIC_BASE_URL", self.api.url());
        command
    }

    /// Starts a workflow and waits until the agent's Bash tool runs.
    fn start_until_bash_runs(&self) -> Running {
        let running = self.home.start_command(self.workflow());
        let workspaces = self.home.path().join(".local/state/claude-cluster/workspaces");
        eventually("the Bash tool runs", || {
            assert!(!running.output().contains("failed ("), "{}", running.output());
            find(&workspaces, "bash-runs").is_some() && self.named("sleep").len() == 2
        });
        running
    }

    /// This user's processes of that name.
    fn named(&self, name: &str) -> Vec<i32> {
        let has_name =
            |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == name);
        self.home.processes().into_iter().filter(has_name).collect()
    }

    fn record(&self) -> Value {
        serde_json::from_str(&self.home.run(&["status", "--task-id", "task", "--json"]).ok()).unwrap()
    }
}

/// A file of this name below `dir`.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(dir).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.file_name().is_some_and(|found| found == name) {
            return Some(path);
        }
        if path.is_dir() && !path.is_symlink() { find(&path, name) } else { None }
    })
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn claude_code_edits_the_tests_pass_and_the_branch_is_pushed() {
    let api = ModelApi::start(Dialect::Messages, |asked| {
        let directory = asked.tool_result().lines().next().unwrap_or_default().to_owned();
        match asked.number {
            1 => Turn::call("Read", json!({ "file_path": format!("{directory}/duration") })),
            0 | 2 => Turn::bash("pwd"),
            3 => Turn::call(
                "Edit",
                json!({
                    "file_path": format!("{directory}/duration"),
                    "old_string": "else\n    echo \"$((seconds / 60))",
                    "new_string": "elif [ \"$seconds\" -ge 3600 ]; then\n    echo \"$((seconds / 3600)) h \
                                   $((seconds / 60 % 60)) min $((seconds % 60)) s\"\nelse\n    echo \"$((seconds / 60))",
                }),
            ),
            _ => Turn::say("Hours are said now."),
        }
    });
    let user = User::new(api.unwrap());
    let output = user.workflow().output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("Hours are said now.") && text.contains("passed (make test)"), "{text}");
    assert!(!text.contains(KEY), "{text}");
    let branch = user.record()["result"]["branch"].as_str().unwrap().to_owned();
    assert!(git(&user.remote, &["diff", &format!("main...{branch}")]).contains("seconds / 3600"));
    let asked = user.api.asked();
    assert_eq!(asked[0].key.as_deref(), Some(KEY));
    assert!(asked[0].body["messages"].to_string().contains("7200 should be said as 2 h 0 min 0 s"));
    user.home.assert_no_process_is_left();
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn credentials_that_the_api_refuses_fail_the_task_with_what_to_do() {
    let user =
        User::new(ModelApi::start(Dialect::Messages, |_| Turn::fail(401, "authentication_error")).unwrap());
    let output = user.workflow().output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let record = user.record();
    assert_eq!(
        (record["status"].as_str(), record["class"].as_str()),
        (Some("failed"), Some("configuration"))
    );
    assert!(stderr.contains("ANTHROPIC_API_KEY"), "{stderr}");
    user.home.assert_no_process_is_left();
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn an_api_that_fails_for_a_moment_has_the_task_tried_again_later() {
    let user = User::new(ModelApi::start(Dialect::Messages, |_| Turn::fail(500, "api_error")).unwrap());
    let output = user.workflow().output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let record = user.record();
    assert_eq!(
        (record["status"].as_str(), record["attempts"].as_u64()),
        (Some("delayed"), Some(1)),
        "{record}"
    );
    assert!(git(&user.remote, &["branch", "--list", "claude/*"]).is_empty());
    user.home.assert_no_process_is_left();
}

fn busy_api() -> ModelApi {
    ModelApi::start(Dialect::Messages, |_| {
        Turn::bash("touch bash-runs; (setsid sleep 600 &); exec sleep 600")
    })
    .unwrap()
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn claude_code_killed_while_its_bash_runs_leaves_nothing_and_publishes_nothing() {
    let user = User::new(busy_api());
    let mut running = user.start_until_bash_runs();
    let claude = user.named("claude");
    assert!(!claude.is_empty());
    for pid in claude {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    assert_eq!(running.code(), 1, "{}", running.output());
    assert!(git(&user.remote, &["branch", "--list", "claude/*"]).is_empty());
    user.home.assert_no_process_is_left();
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn a_cancel_kills_claude_code_with_everything_that_its_bash_started() {
    let user = User::new(busy_api());
    let mut running = user.start_until_bash_runs();
    user.home.run(&["cancel", "task"]).ok();
    assert_eq!(running.code(), 7, "{}", running.output());
    assert_eq!(user.record()["status"], "cancelled");
    user.home.assert_no_process_is_left();
}
