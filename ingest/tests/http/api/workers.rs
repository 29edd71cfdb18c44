//! Workers, as the API shows them and the tasks that they hold.

use serde_json::json;
use shared::{
    Failure, Outcome, Specialty, TaskSpec,
    outcome::TestsSummary,
    queue::{Claim, Claimed, Expense, Holder, Queue},
    worker_info::{AccountInfo, SystemInfo, WorkerInfo},
};

use crate::{api::call::Call, ingester::Ingester};

/// A worker that takes every specialty.
pub fn info(id: &str) -> WorkerInfo {
    WorkerInfo {
        id: id.to_owned(),
        incarnation: format!("{id}-1"),
        hostname: format!("{id}.lan"),
        pid: 7,
        lock: String::new(),
        port: None,
        specialties: Specialty::built_in(),
        slots: 2,
        running: vec!["t-1".parse().unwrap()],
        version: "0.1.0".to_owned(),
        agent: "claude 2.1.3".to_owned(),
        sandbox: "bubblewrap".to_owned(),
        system: SystemInfo {
            os: "linux".to_owned(),
            cpus: 4,
            memory_mib: 8_000,
            disk_free_mib: 90_000,
            load_1m: 0.5,
        },
        workspace_root: "/srv/workspaces".to_owned(),
        draining: false,
        suspended_until: None,
        resting: std::collections::BTreeMap::new(),
        unready: None,
        accounts: Vec::new(),
        started_at: 1_700_000_000_000,
        beat_at: 0,
    }
}

/// Takes the one waiting task of `specialty` as the worker `node`.
pub async fn claim(queue: &Queue, node: &str, specialty: &Specialty) -> Claimed {
    let holder = Holder { node: node.to_owned(), incarnation: format!("{node}-1") };
    let Claim::Tasks { mut tasks, .. } = queue.claim(&holder, specialty, 1, "n").await.unwrap() else {
        panic!("paused")
    };
    tasks.remove(0)
}

async fn enqueued(ingester: &Ingester, id: &str) {
    let repository = "acme/shop".parse().unwrap();
    let spec = TaskSpec { issue: None, ..TaskSpec::new(id.parse().unwrap(), repository, "a title") };
    ingester.queue.enqueue(&spec).await.unwrap();
}

#[tokio::test]
async fn agents_are_shown_with_the_fields_of_the_data_model() {
    let ingester = Ingester::start().await;
    ingester.queue.beat(&info("pc-1")).await.unwrap();
    ingester.queue.beat(&info("pc-2")).await.unwrap();
    ingester.queue.leave("pc-2", "pc-2-1").await.unwrap();
    let answer = Call::get("/api/agents").send(ingester.api).await;
    assert_eq!(answer.status, 200);
    let agent = &answer.json["agents"][0];
    for (field, value) in [
        ("id", json!("pc-1")),
        ("hostname", json!("pc-1.lan")),
        ("specialties", json!(["backend", "frontend", "testing", "devops", "general"])),
        ("status", json!("online")),
        ("current_tasks", json!(1)),
        ("max_concurrent_tasks", json!(2)),
        ("claude_code_version", json!("2.1.3")),
        ("workspace_root", json!("/srv/workspaces")),
        ("started_at", json!("2023-11-14T22:13:20.000Z")),
    ] {
        assert_eq!(agent[field], value, "{field}");
    }
    assert_eq!(agent["system_info"]["cpus"], 4);
    assert!(agent["last_heartbeat"].as_str().unwrap().ends_with('Z'));
    let gone = &answer.json["agents"][1];
    assert_eq!(
        (&gone["id"], &gone["status"], &gone["hostname"]),
        (&json!("pc-2"), &json!("offline"), &json!(null))
    );
    let cluster = Call::get("/api/cluster/status").send(ingester.api).await;
    assert_eq!(cluster.json["nodes"], json!({"total": 2, "online": 1, "offline": 1}));
    ingester.stop().await;
}

#[tokio::test]
async fn what_accounts_and_tasks_have_cost_is_told_in_dollars() {
    let ingester = Ingester::start().await;
    let account = AccountInfo {
        name: "team".to_owned(),
        micro_usd_today: 1_250_000,
        micro_usd_per_day: Some(2_000_000),
    };
    ingester.queue.beat(&WorkerInfo { accounts: vec![account], ..info("pc-1") }).await.unwrap();
    let agents = Call::get("/api/agents").send(ingester.api).await;
    let told = json!([{"name": "team", "spent_usd_today": 1.25, "budget_usd_per_day": 2.0}]);
    assert_eq!(agents.json["agents"][0]["accounts"], told);
    enqueued(&ingester, "paid").await;
    let lease = claim(&ingester.queue, "pc-1", &Specialty::general()).await.lease;
    let expense = Expense { number: 1, micro_usd: 410_000 };
    ingester.queue.charge(&lease, Some("team"), expense).await.unwrap();
    let task = Call::get("/api/tasks/paid").send(ingester.api).await;
    assert_eq!(task.json["cost_usd"], 0.41);
    ingester.stop().await;
}

#[tokio::test]
async fn a_task_tells_who_runs_it_where_and_how_it_ended() {
    let ingester = Ingester::start().await;
    let general = Specialty::general();
    ingester.queue.beat(&info("pc-1")).await.unwrap();
    for id in ["done", "red"] {
        enqueued(&ingester, id).await;
        let claimed = claim(&ingester.queue, "pc-1", &general).await;
        ingester.queue.set_phase(&claimed.lease, "testing").await.unwrap();
        let path = format!("/api/tasks/{id}");
        let active = Call::get(&path).send(ingester.api).await;
        assert_eq!((active.text("status"), active.text("assigned_agent_id")), ("active", "pc-1"));
        let workspace = format!("/srv/workspaces/{id}-{}", claimed.lease.fence);
        assert_eq!((active.text("workspace_path"), active.text("phase")), (workspace.as_str(), "testing"));
        assert!(active.json["started_at"].is_string() && active.json["completed_at"].is_null());
        let listed = Call::get("/api/tasks?status=active").send(ingester.api).await;
        assert_eq!(listed.json["tasks"][0]["workspace_path"], workspace);

        if id == "done" {
            let tests = TestsSummary::Passed { command: "make test".to_owned(), count: None };
            let outcome =
                Outcome::Branch { branch: "claude/x".to_owned(), commit: "c0ffee".to_owned(), tests };
            ingester.queue.complete(&claimed.lease, &outcome).await.unwrap();
            let done = Call::get(&path).send(ingester.api).await;
            assert_eq!((done.text("status"), done.text("branch")), ("completed", "claude/x"));
            assert_eq!(done.text("tests"), "passed (make test)");
            assert!(done.json["completed_at"].is_string() && done.json["error_message"].is_null());
            assert_eq!(done.text("assigned_agent_id"), "pc-1", "who ran it stays known");
        } else {
            ingester.queue.fail(&claimed.lease, &Failure::task("tests are red")).await.unwrap();
            let failed = Call::get(&path).send(ingester.api).await;
            assert_eq!((failed.text("error_class"), failed.text("error_message")), ("task", "tests are red"));
            assert_eq!(failed.json["description"], "", "what failed keeps its text");
        }
    }
    ingester.stop().await;
}

#[tokio::test]
async fn the_status_says_what_waits_in_vain() {
    let ingester = Ingester::start().await;
    let quiet = Call::get("/status").send(ingester.api).await;
    assert_eq!((quiet.status, &quiet.json["attention"]), (200, &json!([])));
    enqueued(&ingester, "t-1").await;
    let answer = Call::get("/status").send(ingester.api).await;
    assert_eq!(
        answer.json["attention"],
        json!(["general: 1 pending because no worker that is online takes its specialty"])
    );
    assert!(answer.text("redis").starts_with(['7', '8']), "{answer:?}");
    let task = Call::get("/api/tasks/t-1").send(ingester.api).await;
    assert_eq!(task.text("waits_because"), "no worker that is online takes its specialty");

    ingester.queue.beat(&info("pc-1")).await.unwrap();
    let served = Call::get("/status").send(ingester.api).await;
    assert_eq!(served.json["attention"], json!([]));
    ingester.redis.command::<String>(&["SET", "ccc:{general}:paused", "1"]).unwrap();
    let queue = Call::get("/api/queue/status").send(ingester.api).await;
    let general =
        queue.json["queues"].as_array().unwrap().iter().find(|q| q["specialty"] == "general").unwrap();
    assert_eq!(
        (&general["paused"], &general["waits_because"]),
        (&json!(true), &json!("its specialty is paused"))
    );
    assert_eq!(general["pending"], json!({"total": 1, "high": 0, "medium": 1, "low": 0}));
    assert_eq!(queue.json["oldest_waiting_since"], task.json["created_at"]);
    ingester.stop().await;
}
