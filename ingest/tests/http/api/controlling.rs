//! Retry, moves, changes, deletion, logs, events, pause and drain through the API.

use std::time::Duration;

use serde_json::json;
use shared::{
    Failure, TaskSpec,
    queue::AgedLine,
    task_log::{LogLine, LogStream},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::workers::{claim, info};
use crate::{api::call::Call, ingester::Ingester};

async fn enqueued(ingester: &Ingester, id: &str) -> TaskSpec {
    let spec = TaskSpec::new(id.parse().unwrap(), "acme/shop".parse().unwrap(), "a title");
    ingester.queue.enqueue(&spec).await.unwrap();
    spec
}

#[tokio::test]
async fn a_failed_task_is_retried_and_a_waiting_one_moved_to_another_priority() {
    let ingester = Ingester::start().await;
    let spec = enqueued(&ingester, "t-1").await;
    let retry = Call::post("/api/tasks/t-1/retry", &json!({}));
    let early = retry.send(ingester.api).await;
    assert_eq!((early.status, early.problem()), (409, "wrong-state"));
    let lease = claim(&ingester.queue, "pc-1", &spec.specialty).await.lease;
    let moved = Call::post("/api/tasks/t-1/priority", &json!({ "priority": "high" }));
    assert_eq!(moved.send(ingester.api).await.status, 409, "it runs");
    ingester.queue.fail(&lease, &Failure::task("red")).await.unwrap();
    let answer = retry.send(ingester.api).await;
    assert_eq!((answer.status, answer.text("status")), (200, "pending"));
    for _ in 0..2 {
        let answer = moved.send(ingester.api).await;
        assert_eq!((answer.status, answer.text("priority")), (200, "high"));
    }
    let wrong = Call::post("/api/tasks/t-1/priority", &json!({ "priority": "urgent" }));
    assert_eq!(wrong.send(ingester.api).await.status, 422);
    for path in ["/api/tasks/no/retry", "/api/tasks/no/priority"] {
        let answer = Call::post(path, &json!({ "priority": "low" })).send(ingester.api).await;
        assert!([404, 422].contains(&answer.status), "{path}");
    }
    ingester.stop().await;
}

#[tokio::test]
async fn a_waiting_task_is_moved_and_changed_and_one_that_has_ended_deleted() {
    let ingester = Ingester::start().await;
    enqueued(&ingester, "t-1").await;
    let moved = Call::post("/api/tasks/t-1/specialty", &json!({ "specialty": "api" }));
    for _ in 0..2 {
        let answer = moved.send(ingester.api).await;
        assert_eq!((answer.status, answer.text("specialty")), (200, "backend"), "by its alias");
    }
    let patch = |body| Call { method: "PATCH", ..Call::post("/api/tasks/t-1", &body) };
    let change = patch(
        json!({ "title": "Hours are shown twice", "description": "<!-- x -->See the log.", "labels": ["bug"] }),
    );
    let answer = change.send(ingester.api).await;
    assert_eq!((answer.status, answer.text("title")), (200, "Hours are shown twice"));
    let spec = ingester.queue.spec(&"t-1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (spec.body.as_str(), &spec.labels[..]),
        ("See the log.", &["bug".to_owned()][..]),
        "as a new one"
    );
    for wrong in [
        json!({}),
        json!({ "title": " " }),
        json!({ "priority": "high" }),
        json!({ "labels": ["x".repeat(201)] }),
    ] {
        assert_eq!(patch(wrong.clone()).send(ingester.api).await.status, 422, "{wrong}");
    }
    let nowhere =
        Call::post("/api/tasks/t-1/specialty", &json!({ "specialty": "cooking" })).send(ingester.api).await;
    assert!(nowhere.status == 422 && nowhere.text("detail").contains("cooking"), "{}", nowhere.json);

    let delete = Call { method: "DELETE", ..Call::post("/api/tasks/t-1", &json!({})) };
    let waits = delete.send(ingester.api).await;
    assert_eq!((waits.status, waits.problem()), (409, "wrong-state"));
    let lease = claim(&ingester.queue, "pc-1", &spec.specialty).await.lease;
    for call in [&moved, &change, &delete] {
        assert_eq!(call.send(ingester.api).await.status, 409, "it runs");
    }
    let elsewhere = Call::post("/api/tasks/t-1/specialty", &json!({ "specialty": "testing" }));
    assert_eq!(elsewhere.send(ingester.api).await.status, 409, "it runs");
    ingester.queue.fail(&lease, &Failure::task("red")).await.unwrap();
    assert_eq!(Call { token: None, ..delete.clone() }.send(ingester.api).await.status, 401);
    assert_eq!(delete.send(ingester.api).await.status, 204);
    for call in [&moved, &change, &delete] {
        assert_eq!(call.send(ingester.api).await.status, 404);
    }
    ingester.stop().await;
}

#[tokio::test]
async fn a_specialty_is_paused_and_a_worker_drained_by_name() {
    let ingester = Ingester::start().await;
    enqueued(&ingester, "t-1").await;
    let pause = Call::post("/api/specialties/general/pause", &json!({ "reason": "lunch", "seconds": 60 }));
    let answer = pause.send(ingester.api).await;
    assert_eq!((answer.status, &answer.json["paused"]["reason"]), (200, &json!("lunch")));
    let task = Call::get("/api/tasks/t-1").send(ingester.api).await;
    assert!(
        task.text("why").starts_with("its specialty is paused by the API: lunch"),
        "{}",
        task.text("why")
    );
    let resumed = Call::post("/api/specialties/general/resume", &json!({})).send(ingester.api).await;
    assert_eq!((resumed.status, &resumed.json["paused"]), (200, &json!(null)));
    assert_eq!(Call::post("/api/specialties/cooking/pause", &json!({})).send(ingester.api).await.status, 404);
    let too_long = Call::post("/api/agents/pc-1/drain", &json!({ "seconds": 99_999_999 }));
    assert_eq!(too_long.send(ingester.api).await.status, 422);

    let drain = Call::post("/api/agents/pc-1/drain", &json!({ "reason": "new disk" }));
    assert_eq!(drain.send(ingester.api).await.status, 404, "nobody of that name");
    ingester.queue.beat(&info("pc-1")).await.unwrap();
    let answer = drain.send(ingester.api).await;
    assert_eq!((answer.status, &answer.json["drained"]["by"]), (200, &json!("the API")));
    let agents = Call::get("/api/agents").send(ingester.api).await;
    assert_eq!(agents.json["agents"][0]["drained"]["reason"], "new disk");
    let undrained = Call::post("/api/agents/pc-1/undrain", &json!({})).send(ingester.api).await;
    assert_eq!((undrained.status, &undrained.json["drained"]), (200, &json!(null)));
    ingester.stop().await;
}

#[tokio::test]
async fn a_log_is_read_in_pages_and_read_on_later() {
    let ingester = Ingester::start().await;
    let spec = enqueued(&ingester, "t-1").await;
    let lease = claim(&ingester.queue, "pc-1", &spec.specialty).await.lease;
    let line = |text: &str| AgedLine::from(LogLine::new(LogStream::Agent, text));
    ingester.queue.append_log(&lease, 1, &[line("one"), line("two"), line("three")]).await.unwrap();
    let first = Call::get("/api/tasks/t-1/logs?limit=2").send(ingester.api).await;
    assert_eq!((first.status, &first.json["more"]), (200, &json!(true)));
    assert_eq!(
        (&first.json["lines"][1]["text"], &first.json["lines"][1]["stream"]),
        (&json!("two"), &json!("agent"))
    );
    let rest =
        Call::get(&format!("/api/tasks/t-1/logs?after={}", first.text("next"))).send(ingester.api).await;
    assert_eq!((&rest.json["lines"][0]["text"], &rest.json["more"]), (&json!("three"), &json!(false)));
    let next = Call::get(&format!("/api/tasks/t-1/logs?after={}", rest.text("next")));
    let nothing = next.send(ingester.api).await;
    assert_eq!((&nothing.json["lines"], &nothing.json["next"]), (&json!([]), &rest.json["next"]));
    ingester.queue.append_log(&lease, 1, &[line("later")]).await.unwrap();
    assert_eq!(next.send(ingester.api).await.json["lines"][0]["text"], "later");
    for (path, status) in [
        ("no/logs", 404),
        ("t-1/logs?after=x", 400),
        ("t-1/logs?after=%2B5-0", 400),
        ("t-1/logs?limit=0", 400),
        ("t-1/logs?x=1", 400),
    ] {
        assert_eq!(
            Call::get(&format!("/api/tasks/{path}")).send(ingester.api).await.status,
            status,
            "{path}"
        );
    }
    ingester.stop().await;
}

/// Reads the stream until it has said `wanted` and the end of its event behind that.
async fn read_until(stream: &mut TcpStream, wanted: &str, end: &str) -> String {
    let mut said = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&said);
        if text.split_once(wanted).is_some_and(|(_, rest)| rest.contains(end)) {
            return text.into_owned();
        }
        let read = timeout(Duration::from_secs(60), stream.read_buf(&mut said)).await;
        let said = String::from_utf8_lossy(&said);
        assert!(read.is_ok_and(|read| read.unwrap() > 0), "no {wanted:?} in {said}");
    }
}

async fn follow(ingester: &Ingester, path: &str, more_headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(ingester.api).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more_headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn events_are_streamed_as_they_happen_read_on_after_a_break_and_end_with_the_server() {
    let ingester = Ingester::start().await;
    enqueued(&ingester, "before").await;
    let mut stream = follow(&ingester, "/api/events", "").await;
    let head = read_until(&mut stream, "\r\n", "\r\n\r\n").await;
    assert!(head.contains("200 OK") && head.contains("text/event-stream"), "{head}");
    enqueued(&ingester, "t-1").await;
    let said = read_until(&mut stream, "\"task\":\"t-1\"", "\n\n").await;
    assert!(said.contains("event:pending") && !said.contains("before"), "{said}");
    let id = said.lines().find_map(|line| line.strip_prefix("id:")).unwrap().to_owned();
    drop(stream);

    ingester.queue.cancel(&"t-1".parse().unwrap(), "ada").await.unwrap();
    let header = format!("Last-Event-ID: {id}\r\n");
    let mut stream = follow(&ingester, "/api/events?task=t-1", &header).await;
    let said = read_until(&mut stream, "event:cancelled", "\n\n").await;
    assert!(said.contains("\"by\":\"ada\""), "{said}");
    let answer = Call::get("/api/events?after=x").send(ingester.api).await;
    assert_eq!(answer.status, 400);
    ingester.shutdown.cancel();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    ingester.running.await.unwrap().unwrap();
}
