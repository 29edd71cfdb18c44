//! The commands as the project's first documents spell them, each machine with a home of its own.

use std::{fs, net::TcpListener, process::Command};

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::RedisServer;

use super::home::{Home, demo_agent, examples, git};

const PASSWORD: &str = "the-password-of-the-tests-redis";

/// An address of this machine that no other test uses, so that Redis and API can have their usual ports there.
fn address() -> String {
    let [_, a, b, c] = fastrand::u32(..).to_be_bytes();
    format!("127.{}.{b}.{}", a.max(1), c.clamp(1, 254))
}

fn redis_at(address: &str) -> RedisServer {
    let redis = RedisServer::start_with(&["--bind", address, "--port", "6379"]).unwrap();
    redis.command::<String>(&["CONFIG", "SET", "requirepass", PASSWORD]).unwrap();
    redis
}

fn free_port() -> String {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port().to_string()
}

/// The program under its other name.
fn distributed(home: &Home, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claude-cluster-distributed"));
    command.args(arguments).env_clear().current_dir(home.path()).stdin(std::process::Stdio::null());
    command.env("HOME", home.path()).env("PATH", std::env::var("PATH").unwrap());
    command.env("REDIS_PASSWORD", PASSWORD);
    command
}

fn curl(url: &str) -> Value {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-q", "--noproxy", "*", "--max-time", "20", url]).env_clear();
    let output = curl.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{url}: {error}"))
}

#[test]
fn a_coordinator_a_node_and_a_distributed_workflow_as_they_were_once_written() {
    let address = address();
    let _redis = redis_at(&address);
    let (first, second, third) = (Home::new(), Home::new(), Home::new());
    let remote = second.sample_remote();
    let repository = format!("[[repository]]\nmatch = \"demo/durations\"\nurl = \"{}\"\n", remote.display());
    second.write(".config/claude-cluster/config.toml", &repository);

    let mut coordinator = distributed(&first, &["start-coordinator", "--host", &address, "--port", "8001"]);
    coordinator.args(["--listen", "127.0.0.1:0"]).env("REDIS_URL", format!("redis://{address}:6379"));
    let mut coordinator = first.start_command(coordinator);
    coordinator.wait_for("api: http://");
    let port = free_port();
    let node = distributed(
        &second,
        &[
            "start-node",
            "--coordinator-host",
            &address,
            "--coordinator-port",
            "8001",
            "--agent-port",
            &port,
            "--specialties",
            "backend,api,database",
            "--max-tasks",
            "2",
            "--node-id",
            "backend-node-001",
            "--agent-command",
            &demo_agent(),
        ],
    );
    let mut node = second.start_command(node);
    node.wait_for("worker is ready");
    assert!(node.output().contains(&format!("cluster: http://{address}:8001/status")), "{}", node.output());

    assert_eq!(curl(&format!("http://{address}:8001/health"))["status"], "ok");
    let health = curl(&format!("http://127.0.0.1:{port}/health"));
    assert_eq!((&health["status"], &health["node_id"]), (&"ok".into(), &"backend-node-001".into()));
    assert_eq!(curl(&format!("http://127.0.0.1:{port}/ready"))["status"], "ready");
    let mut status = distributed(&third, &["status", "--show-cluster", "--json"]);
    let output = status.env("COORDINATOR_HOST", &address).output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let details = &shown["node_details"][0];
    assert_eq!(details["node_id"], "backend-node-001", "{shown}");
    assert_eq!(details["port"].to_string(), port);
    assert_eq!(details["specialties"], serde_json::json!(["backend"]));
    let mut table = distributed(&third, &["status", "--show-cluster", "--coordinator-host", &address]);
    let table = String::from_utf8(table.output().unwrap().stdout).unwrap();
    assert!(table.contains("backend-node-001  online") && table.contains("SPECIALTY"), "{table}");

    let issue = examples().join("issues/hours.md").display().to_string();
    let workflow = ["workflow", "--repo", "demo/durations", "--issue-file", &issue, "--specialty", "backend"];
    let mut workflow = distributed(&third, &workflow);
    workflow.arg("--distributed").env("COORDINATOR_HOST", &address).env("COORDINATOR_PORT", "8001");
    let output = workflow.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("task: http://{address}:8001/api/tasks/")), "{said}");
    assert!(said.contains("demo agent: I am a stand-in") && said.contains("passed (make test)"), "{said}");
    let branch = said.lines().find_map(|line| line.strip_prefix("branch:")).unwrap().trim();
    assert!(git(&remote, &["diff", &format!("main...{branch}")]).contains("seconds / 3600"), "{said}");

    node.signal(Signal::SIGTERM);
    assert_eq!(node.code(), 0, "{}", node.output());
    coordinator.signal(Signal::SIGTERM);
    assert_eq!(coordinator.code(), 0, "{}", coordinator.output());
}

#[test]
fn a_distributed_workflow_says_why_it_waits_and_leaves_its_task_behind() {
    let home = Home::new();
    let issue = examples().join("issues/hours.md").display().to_string();
    let workflow =
        ["workflow", "--repo", "octo/cat", "--issue-file", &issue, "--distributed", "--task-id", "t-1"];
    let mut running = home.start(&workflow);
    running.wait_for("the task waits because no worker that is online takes its specialty");
    running.signal(Signal::SIGINT);
    assert_eq!(running.code(), 130, "{}", running.output());
    assert!(running.output().contains("claude-cluster logs -f t-1"), "{}", running.output());
    let record: Value =
        serde_json::from_str(&home.run(&["status", "--task-id", "t-1", "--json"]).ok()).unwrap();
    assert_eq!(record["status"], "pending");
    assert_eq!(home.run(&workflow).code, 8, "the id is taken");
}

#[test]
fn a_coordinator_is_named_only_where_a_cluster_is_asked_for() {
    let home = Home::new();
    let status = home.run(&["status", "--coordinator-host", "pc-1"]);
    assert_eq!(status.code, 2);
    assert!(status.stderr.contains("need --show-cluster"), "{}", status.stderr);
    let agent = ["--distributed", "--repo", "o/n", "--issue-file", "x", "--agent-command", "my-agent"];
    let workflow = home.run(&[&["workflow"][..], &agent].concat());
    assert_eq!(workflow.code, 2);
    assert!(workflow.stderr.contains("the workers' matter"), "{}", workflow.stderr);
    let bad = home.run(&["start-node", "--coordinator-host", "http://pc-1"]);
    assert_eq!(bad.code, 2);

    // The predecessor's example sets it for everybody; one machine alone is not to look for another.
    home.write("issue.md", "# Fix it\n");
    let mut create = home.command(&["create-task", "--repo", "o/n", "--issue-file", "issue.md"]);
    let output = create.env("COORDINATOR_HOST", "localhost").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("COORDINATOR_HOST counts for start-node"));
    assert!(fs::exists(home.redis_dir()).unwrap());
}
