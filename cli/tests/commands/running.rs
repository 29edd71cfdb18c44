//! Tasks that are run: in this process, and by a whole cluster of processes.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use hmac::{Hmac, Mac};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use sha2::Sha256;

use super::home::{Home, Running, demo_agent, eventually, examples, git, parent_of};

const SECRET: &str = "a secret of the test's own";

fn issue_file() -> String {
    examples().join("issues/hours.md").display().to_string()
}

fn assert_fixed(remote: &Path, branch: &str) {
    let diff = git(remote, &["diff", &format!("main...{branch}")]);
    assert!(diff.contains("+    echo \"$((seconds / 3600)) h"), "{diff}");
}

fn workflow<'a>(remote: &'a str, issue: &'a str, agent: &'a str) -> Vec<&'a str> {
    vec!["workflow", "--repo", remote, "--issue-file", issue, "--agent-command", agent]
}

#[test]
fn a_workflow_needs_no_configuration_and_ends_with_the_branch() {
    let home = Home::new();
    let remote = home.sample_remote();
    let (agent, issue) = (demo_agent(), issue_file());
    let mut arguments = workflow("./durations.git", &issue, &agent);
    arguments.push("--task-id=first-one");
    let said = home.run(&arguments).ok();
    assert!(said.contains("demo agent: I am a stand-in, not an AI"), "{said}");
    assert!(said.contains("tests:       passed (make test)") && said.contains("times:  "), "{said}");
    let branch = said.lines().find_map(|line| line.strip_prefix("branch:")).unwrap().trim().to_owned();
    assert_fixed(&remote, &branch);
    home.assert_no_process_is_left();
    let record: Value =
        serde_json::from_str(&home.run(&["status", "--task-id", "first-one", "--json"]).ok()).unwrap();
    assert_eq!(record["status"], "completed");
    assert!(home.run(&["logs", "first-one"]).ok().contains("demo agent"));
}

#[test]
fn a_task_that_fails_ends_its_workflow_with_code_1() {
    let home = Home::new();
    home.sample_remote();
    let issue = home.write("issue.md", "# Do something\n\nno diff here\n").display().to_string();
    let agent = demo_agent();
    let said = home.run(&workflow("./durations.git", &issue, &agent));
    assert_eq!(said.code, 1, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("no ```diff block"), "{}", said.stdout);
    assert!(said.stderr.contains("the agent ended with code 1"), "{}", said.stderr);
    home.assert_no_process_is_left();
}

#[test]
fn a_created_task_is_run_once() {
    let home = Home::new();
    home.sample_remote();
    let issue = issue_file();
    let arguments = ["create-task", "--repo", "./durations.git", "--issue-file", &issue];
    let id = home.run(&arguments).ok().trim().to_owned();
    let agent = demo_agent();
    let run = ["run-task", &id, "--agent-command", &agent, "--json"];
    let end: Value = serde_json::from_str(&home.run(&run).ok()).unwrap();
    assert_eq!(
        (end["task"]["status"].as_str(), end["task"]["id"].as_str()),
        (Some("completed"), Some(id.as_str()))
    );
    assert!(end["phases"].as_array().unwrap().iter().any(|phase| phase["phase"] == "testing"), "{end}");
    let again = home.run(&run);
    assert_eq!(again.code, 8, "{}", again.stderr);
    assert!(again.stderr.contains("is completed"), "{}", again.stderr);
    assert_eq!(home.run(&["run-task", "nope", "--agent-command", &agent]).code, 6);
}

#[test]
fn a_workflow_without_an_agent_says_what_to_install() {
    let home = Home::new();
    home.sample_remote();
    let issue = issue_file();
    let mut command = home.command(&["workflow", "--repo", "./durations.git", "--issue-file", &issue]);
    let output = command.env("PATH", "/usr/bin:/bin").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("npm install -g @anthropic-ai/claude-code"), "{stderr}");
    home.assert_no_process_is_left();
}

/// A workflow whose agent works on and on.
fn endless_workflow(home: &Home) -> Running {
    home.sample_remote();
    let issue = issue_file();
    let agent = "sh -c 'echo at work; exec sleep 600'";
    let mut arguments = workflow("./durations.git", &issue, agent);
    arguments.push("--task-id=endless");
    let running = home.start(&arguments);
    running.wait_for("at work");
    running
}

fn status_of(home: &Home, id: &str) -> String {
    let record: Value = serde_json::from_str(&home.run(&["status", "--task-id", id, "--json"]).ok()).unwrap();
    record["status"].as_str().unwrap().to_owned()
}

#[test]
fn an_interrupted_workflow_puts_its_task_into_the_queue_and_leaves_no_process() {
    let home = Home::new();
    let mut running = endless_workflow(&home);
    running.signal(Signal::SIGINT);
    assert_eq!(running.code(), 130, "{}", running.output());
    home.assert_no_process_is_left();
    assert_eq!(status_of(&home, "endless"), "pending");
}

#[test]
fn a_running_task_can_be_cancelled_from_elsewhere() {
    let home = Home::new();
    // Beats of half a second, so that the cancel is heard soon.
    home.write(".config/claude-cluster/config.toml", "[queue]\nlease_ms = 3000\nbeat_ms = 500\n");
    let mut running = endless_workflow(&home);
    assert!(home.run(&["cancel", "endless"]).ok().contains("within a beat"));
    assert_eq!(running.code(), 7, "{}", running.output());
    home.assert_no_process_is_left();
    assert_eq!(status_of(&home, "endless"), "cancelled");
}

#[test]
fn a_workflow_that_is_killed_leaves_no_process() {
    let home = Home::new();
    let mut running = endless_workflow(&home);
    running.signal(Signal::SIGKILL);
    running.code();
    home.assert_no_process_is_left();
}

/// A cluster with the sample project as `demo/durations`.
struct Cluster {
    home: Home,
    remote: PathBuf,
    up: Running,
}

impl Cluster {
    fn start(agent: &str, options: &[&str]) -> Self {
        let home = Home::new();
        let remote = home.sample_remote();
        let config = format!("[[repository]]\nmatch = \"demo/durations\"\nurl = \"{}\"\n", remote.display());
        home.write(".config/claude-cluster/config.toml", &config);
        let arguments =
            ["up", "--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--agent-command", agent];
        let mut command = home.command(&[&arguments[..], options].concat());
        command.env("GITHUB_WEBHOOK_SECRET", SECRET);
        let up = home.start_command(command);
        up.wait_for("webhooks: http://");
        up.wait_for("api token: cat ");
        up.wait_for("worker is ready");
        Self { home, remote, up }
    }

    /// What `up` printed behind `name: `.
    fn said(&self, name: &str) -> String {
        let output = self.up.output();
        output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap().to_owned()
    }

    /// Runs curl against the API; the body of its answer.
    fn api(&self, path: &str, more: &[&str]) -> Value {
        let url = self.said("api").replace("/status", path);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-q", "--noproxy", "*", "--max-time", "20", &url]).args(more).env_clear();
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Posts a signed webhook that an issue was opened; the id of its task.
    fn open_issue(&self, number: u64) -> String {
        let text = fs::read_to_string(examples().join("issues/hours.md")).unwrap();
        let user = serde_json::json!({ "login": "octocat", "type": "User" });
        let delivery = serde_json::json!({
            "action": "opened",
            "issue": {
                "number": number, "title": "duration says minutes only", "body": text, "state": "open",
                "labels": [], "user": user, "author_association": "OWNER",
            },
            "repository": { "full_name": "demo/durations", "name": "durations", "owner": { "login": "demo" } },
            "sender": user,
        });
        let body = delivery.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let url = self.said("webhooks");
        let mut stream = TcpStream::connect(url.split('/').nth(2).unwrap()).unwrap();
        let head = format!(
            "POST /webhook/github HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             X-GitHub-Event: issues\r\nX-GitHub-Delivery: delivery-{number}\r\n\
             X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        let json = answer.lines().find(|line| line.starts_with('{')).unwrap();
        serde_json::from_str::<Value>(json).unwrap()["task_id"].as_str().unwrap().to_owned()
    }

    /// The processes that `up` itself has started.
    fn parts(&self) -> Vec<i32> {
        let up = i32::try_from(self.up.child.id()).unwrap();
        self.home.processes().into_iter().filter(|pid| parent_of(*pid) == Some(up)).collect()
    }
}

#[test]
fn a_task_posted_to_the_api_becomes_a_branch() {
    let mut cluster = Cluster::start(&demo_agent(), &[]);
    let token = fs::read_to_string(cluster.said("api token").strip_prefix("cat ").unwrap()).unwrap();
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let text = fs::read_to_string(examples().join("issues/hours.md")).unwrap();
    let task = serde_json::json!({
        "task_id": "api-task-001", "repository": "demo/durations", "title": "duration says minutes only",
        "description": text, "requirements": ["backend"], "priority": "high"
    });
    let (json, task) = ("Content-Type: application/json", task.to_string());
    let posted = cluster.api("/api/tasks", &["-H", json, "-H", &bearer, "-d", &task]);
    assert_eq!(posted["specialty"], "backend", "{posted}");
    let mut seen = Value::Null;
    eventually("the task ends", || {
        seen = cluster.api("/api/tasks/api-task-001", &[]);
        !seen["completed_at"].is_null()
    });
    assert_eq!(seen["status"], "completed", "{seen}");
    assert_fixed(&cluster.remote, seen["branch"].as_str().unwrap());
    let status = cluster.api("/api/cluster/status", &[]);
    assert_eq!(
        (&status["nodes"]["online"], &status["tasks"]["completed"]),
        (&1.into(), &1.into()),
        "{status}"
    );
    cluster.up.signal(Signal::SIGTERM);
    assert_eq!(cluster.up.code(), 0, "{}", cluster.up.output());
    cluster.home.assert_no_process_is_left();
}

#[test]
fn a_webhook_becomes_a_branch_and_everything_ends_when_told() {
    let mut cluster = Cluster::start(&demo_agent(), &["--workers", "2", "--max-tasks", "1"]);
    let id = cluster.open_issue(1);
    let log = cluster.home.run(&["logs", "-f", &id]).ok();
    assert!(log.contains("completed: branch claude/issue-1"), "{log}");
    let branch = git(&cluster.remote, &["branch", "--list", "claude/*"]);
    assert_fixed(&cluster.remote, branch.trim());
    eventually("both workers are listed", || {
        let agents: Value = serde_json::from_str(&cluster.home.run(&["agents", "--json"]).ok()).unwrap();
        agents.as_array().unwrap().iter().filter(|agent| agent["status"] == "online").count() == 2
    });
    cluster.up.signal(Signal::SIGTERM);
    assert_eq!(cluster.up.code(), 0, "{}", cluster.up.output());
    cluster.home.assert_no_process_is_left();
    assert_eq!(status_of(&cluster.home, &id), "completed");
}

#[test]
fn a_part_that_crashes_is_started_again() {
    let mut cluster = Cluster::start(&demo_agent(), &[]);
    let crashed = cluster.parts();
    assert_eq!(crashed.len(), 3, "redis-server, ingester and worker: {}", cluster.up.output());
    for pid in &crashed {
        kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap();
    }
    eventually("all are there again", || cluster.parts().len() == 3);
    cluster.up.wait_for("a part has ended and is started again");
    eventually("the worker is ready again", || cluster.up.output().matches("worker is ready").count() >= 2);
    eventually("the ingester listens again", || {
        cluster.up.output().matches("webhooks: http://").count() >= 2
    });
    cluster.up.signal(Signal::SIGINT);
    assert_eq!(cluster.up.code(), 0, "{}", cluster.up.output());
    cluster.home.assert_no_process_is_left();
}

#[test]
fn when_up_is_killed_everything_ends_with_it_and_the_task_is_not_lost() {
    let mut cluster = Cluster::start("sh -c 'echo at work; exec sleep 600'", &[]);
    let id = cluster.open_issue(1);
    eventually("the agent works", || cluster.home.run(&["logs", &id]).ok().contains("at work"));
    cluster.up.signal(Signal::SIGKILL);
    cluster.up.code();
    cluster.home.assert_no_process_is_left();
    assert_ne!(status_of(&cluster.home, &id), "failed");
}

#[test]
fn a_second_signal_gives_running_tasks_back() {
    let mut cluster = Cluster::start("sh -c 'echo at work; exec sleep 600'", &[]);
    let id = cluster.open_issue(1);
    eventually("the agent works", || cluster.home.run(&["logs", &id]).ok().contains("at work"));
    cluster.up.signal(Signal::SIGTERM);
    cluster.up.wait_for("draining");
    cluster.up.signal(Signal::SIGTERM);
    assert_eq!(cluster.up.code(), 0, "{}", cluster.up.output());
    cluster.home.assert_no_process_is_left();
    assert_eq!(status_of(&cluster.home, &id), "pending");
}

#[test]
fn a_part_that_cannot_run_ends_up_with_its_code() {
    let home = Home::new();
    let mut up = home.start(&[
        "up",
        "--listen",
        "127.0.0.1:0",
        "--api-listen",
        "127.0.0.1:0",
        "--agent-command",
        "/nonexistent/agent",
    ]);
    assert_eq!(up.code(), 3, "{}", up.output());
    assert!(
        up.output().contains("/nonexistent/agent") && up.output().contains("worker 1"),
        "{}",
        up.output()
    );
    home.assert_no_process_is_left();
}
