//! Every refusal, and what it says.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    api::call::Call,
    client::exchange,
    ingester::{Ingester, TOKEN},
};

const KIB: usize = 1_024;

fn raw_post(body: &[u8]) -> Call {
    Call { body: body.to_vec(), ..Call::post("/api/tasks", &json!({})) }
}

#[tokio::test]
async fn what_is_not_there_or_not_taken_is_told() {
    let ingester = Ingester::start().await;
    for path in ["/", "/api", "/api/tasks/", "/webhook/github", "/api/tasks/a/b", "/api/nodes"] {
        let answer = Call::get(path).send(ingester.api).await;
        assert_eq!((answer.status, answer.problem()), (404, "no-such-path"), "{path}");
    }
    for path in ["/api/tasks/nobody", "/api/tasks/-x", "/api/tasks/%2e%2e", "/api/tasks/a%20b"] {
        let answer = Call::get(path).send(ingester.api).await;
        assert_eq!((answer.status, answer.problem()), (404, "no-such-task"), "{path}");
    }
    for (method, path, allow) in [
        ("DELETE", "/api/tasks", "GET, HEAD, POST"),
        ("POST", "/health", "GET, HEAD"),
        ("GET", "/api/tasks/x/cancel", "POST"),
        ("PUT", "/api/tasks/x", "GET, HEAD, PATCH, DELETE"),
    ] {
        let answer = Call { method, ..Call::get(path) }.send(ingester.api).await;
        assert_eq!((answer.status, answer.problem()), (405, "no-such-method"), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow));
    }
    let head = Call { method: "HEAD", ..Call::get("/api/tasks") }.send(ingester.api).await;
    assert_eq!((head.status, &head.json), (200, &json!(null)));
    ingester.stop().await;
}

#[tokio::test]
async fn bodies_that_are_no_task_are_told_apart() {
    let ingester = Ingester::start().await;
    for (body, status, problem, said) in [
        (&b"{"[..], 400, "malformed", "EOF"),
        (b"", 400, "malformed", "EOF"),
        (b"\xff\xfe", 400, "malformed", "expected value"),
        (b"{\"title\": \"\xff\"}", 400, "malformed", "unicode"),
        (b"{} {}", 400, "malformed", "trailing"),
        (b"{\"title\": 7}", 422, "unprocessable", "invalid type"),
        (b"{}", 422, "unprocessable", "names no repository and api.default_repository is not set"),
        (b"{\"repository\": \"a/b\", \"priority\": \"now\"}", 422, "unprocessable", "`high`"),
    ] {
        let answer = raw_post(body).send(ingester.api).await;
        assert_eq!((answer.status, answer.problem()), (status, problem), "{answer:?}");
        assert!(answer.text("detail").contains(said), "{answer:?}");
    }
    assert_eq!(ingester.pending().await, 0);
    ingester.stop().await;
}

#[tokio::test]
async fn a_mebibyte_is_taken_and_more_is_not() {
    let ingester = Ingester::start().await;
    let mut body = br#"{"repository": "acme/shop"}"#.to_vec();
    body.resize(KIB * KIB, b' ');
    assert_eq!(raw_post(&body).send(ingester.api).await.status, 201);
    body.push(b' ');
    let answer = raw_post(&body).send(ingester.api).await;
    assert_eq!((answer.status, answer.problem()), (413, "body-too-large"));
    ingester.stop().await;
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_told() {
    let ingester = Ingester::start().await;
    for query in ["status=done", "statu=failed", "limit=0", "limit=9999", "after=x", "specialty=No+Such"] {
        let answer = Call::get(&format!("/api/tasks?{query}")).send(ingester.api).await;
        assert_eq!((answer.status, answer.problem()), (400, "bad-query"), "{query}");
    }
    ingester.stop().await;
}

#[tokio::test]
async fn a_request_without_a_host_or_with_two_is_refused() {
    let ingester = Ingester::start().await;
    for hosts in ["", "Host: localhost\r\nHost: localhost\r\n", "Host: a b\r\n"] {
        let request = format!("GET /status HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let answer = exchange(ingester.api, request.as_bytes()).await;
        assert_eq!((answer.status, answer.problem()), (400, "no-host"), "{hosts:?}");
    }
    ingester.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_makes_no_task() {
    let ingester = Ingester::start().await;
    let mut stream = TcpStream::connect(ingester.api).await.unwrap();
    let head = format!(
        "POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"repository\": \"acme/shop\"}}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(ingester.pending().await, 0);
    ingester.stop().await;
}

#[tokio::test]
async fn a_record_that_was_damaged_by_hand_is_a_defect_and_no_outage() {
    let ingester = Ingester::start().await;
    let body = json!({"task_id": "t-1", "repository": "acme/shop", "requirements": ["backend"]});
    Call::post("/api/tasks", &body).send(ingester.api).await;
    ingester.redis.command::<u32>(&["HSET", "ccc:{backend}:task:t-1", "status", "lost"]).unwrap();
    let answer = Call::get("/api/tasks/t-1").send(ingester.api).await;
    assert_eq!((answer.status, answer.problem()), (500, "defect"));
    assert!(answer.text("detail").contains("status 'lost'"), "{answer:?}");
    ingester.stop().await;
}

#[tokio::test]
async fn the_description_of_the_api_is_served() {
    let ingester = Ingester::start().await;
    let answer = Call::get("/openapi.json").send(ingester.api).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.text("openapi"), "3.1.0");
    ingester.stop().await;
}
