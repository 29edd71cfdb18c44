//! The calls that the project's first documents showed, made with the real curl.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use shared::worker_info::WorkerInfo;

use crate::{
    api::workers,
    ingester::{Ingester, TOKEN},
};

/// Runs curl with these words; the status and the body of the answer.
async fn curl(words: &[&str]) -> (u16, Value) {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    let run = move || {
        let mut command = Command::new("curl");
        command.args(["-s", "-q", "--noproxy", "*", "--max-time", "20", "-w", "\n%{http_code}"]).args(&words);
        command.env_clear().stdin(Stdio::null()).output().expect("curl is installed")
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn url(api: SocketAddr, path: &str) -> String {
    format!("http://localhost:{}{path}", api.port())
}

const FIRST_TASK: &str = r#"{
    "task_id": "api-task-001",
    "priority": "high",
    "requirements": ["backend"]
  }"#;

#[tokio::test]
async fn health_is_told() {
    let ingester = Ingester::start().await;
    let (status, health) = curl(&[&url(ingester.api, "/health")]).await;
    assert_eq!((status, &health["status"]), (200, &json!("ok")));
    ingester.stop().await;
}

#[tokio::test]
async fn the_cluster_status_has_the_shape_that_was_shown() {
    let ingester = Ingester::start().await;
    for (id, hostname, port, specialties) in [
        ("backend-node-001", "192.168.1.11", 8002, ["backend", "api-gateway", "database"]),
        ("frontend-node-001", "192.168.1.12", 8003, ["frontend", "react", "ui"]),
    ] {
        let info = WorkerInfo {
            hostname: hostname.to_owned(),
            port: Some(port),
            specialties: specialties.map(|name| name.parse().unwrap()).to_vec(),
            ..workers::info(id)
        };
        ingester.queue.beat(&info).await.unwrap();
    }
    let (status, found) = curl(&[&url(ingester.api, "/api/cluster/status")]).await;
    assert_eq!(status, 200);
    let shown = json!({
        "nodes": {"total": 2, "online": 2, "offline": 0},
        "tasks": {"total": 0, "pending": 0, "active": 0, "completed": 0},
        "node_details": [
            {
                "node_id": "backend-node-001", "host": "192.168.1.11", "port": 8002, "status": "online",
                "specialties": ["backend", "api-gateway", "database"]
            },
            {
                "node_id": "frontend-node-001", "host": "192.168.1.12", "port": 8003, "status": "online",
                "specialties": ["frontend", "react", "ui"]
            }
        ]
    });
    assert_holds(&found, &shown, "");
    ingester.stop().await;
}

#[tokio::test]
async fn a_task_is_posted_and_read() {
    let ingester =
        Ingester::start_with(|config| config.api.default_repository = "acme/shop".to_owned()).await;
    let (tasks, bearer) = (url(ingester.api, "/api/tasks"), format!("Authorization: Bearer {TOKEN}"));
    let post = ["-X", "POST", &tasks, "-H", "Content-Type: application/json", "-d", FIRST_TASK];
    let (refused, problem) = curl(&post).await;
    assert_eq!((refused, &problem["type"]), (401, &json!("urn:claude-cluster:no-token")));

    let (created, task) = curl(&[&post[..], &["-H", &bearer]].concat()).await;
    assert_eq!(created, 201, "{task}");
    let (read, same) = curl(&[&url(ingester.api, "/api/tasks/api-task-001")]).await;
    assert_eq!((read, &same), (200, &task));
    let wanted = json!({
        "id": "api-task-001", "github_issue_id": null, "repository_name": "acme/shop",
        "title": "Task api-task-001", "description": "", "requirements": ["backend"], "specialty": "backend",
        "priority": "high", "status": "pending", "assigned_agent_id": null, "workspace_path": null,
        "pr_url": null, "started_at": null, "completed_at": null, "error_message": null
    });
    assert_holds(&task, &wanted, "");
    let created_at = task["created_at"].as_str().unwrap();
    assert!(created_at.starts_with("20") && created_at.ends_with('Z') && created_at.len() == 24, "{task}");

    let (queue_status, queue) = curl(&[&url(ingester.api, "/api/queue/status")]).await;
    assert_eq!((queue_status, &queue["queues"][0]["pending"]["high"]), (200, &json!(1)));
    ingester.stop().await;
}

/// Every part of `wanted` is in `found`, in the same place; `found` may hold more.
fn assert_holds(found: &Value, wanted: &Value, place: &str) {
    match wanted {
        Value::Object(fields) => {
            for (name, value) in fields {
                let there = found.get(name).unwrap_or_else(|| panic!("{place}/{name} is missing in {found}"));
                assert_holds(there, value, &format!("{place}/{name}"));
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            assert_eq!(found.as_array().map(Vec::len), Some(items.len()), "{place}");
            for (at, item) in items.iter().enumerate() {
                assert_holds(&found[at], item, &format!("{place}/{at}"));
            }
        }
        other => assert_eq!(found, other, "{place}"),
    }
}
