//! What each kind of delivery is answered, and what it leaves in Redis.

use std::collections::HashMap;

use serde_json::json;
use shared::{Priority, task::Trigger};

use crate::{
    client::{Delivery, exchange, get, request, signature},
    ingester::Ingester,
    webhook::payload::{self, with},
};

#[tokio::test]
async fn an_opened_issue_becomes_a_task_that_redis_shows_in_plain_text() {
    let ingester = Ingester::start().await;
    let answer = Delivery::json("issues", &payload::opened()).post(ingester.address).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.text("status"), "task_created");
    assert_eq!((answer.text("specialty"), answer.text("priority")), ("backend", "high"));

    let key = format!("ccc:{{backend}}:task:{}", answer.text("task_id"));
    let fields: HashMap<String, String> = ingester.redis.command(&["HGETALL", &key]).unwrap();
    assert_eq!(fields["repository"], "acme/shop");
    assert_eq!(fields["issue"], "42");
    assert_eq!(fields["title"], "Order API returns 500 for an empty cart");
    assert_eq!((fields["status"].as_str(), fields["priority"].as_str()), ("pending", "high"));

    let (_, spec) = ingester.task(&answer).await;
    assert_eq!(spec.trigger, Trigger::IssueOpened);
    assert_eq!(spec.author.as_deref(), Some("ann-dev"));
    assert_eq!(spec.labels, ["bug", "priority: high"]);
    assert!(spec.body.starts_with("The endpoint answers `500` when the cart is empty.\n\n1. Log in\n"));
    assert!(!spec.body.contains("do not delete"), "the HTML comment is gone");
    assert!(spec.classification.reasons.iter().any(|reason| reason.contains("\"api\"")), "{spec:?}");
    ingester.stop().await;
}

#[tokio::test]
async fn the_trigger_label_and_reopening_make_tasks_too() {
    let ingester = Ingester::start().await;
    let labeled = Delivery::json("issues", &payload::labeled()).post(ingester.address).await;
    assert_eq!(labeled.status, 202, "{labeled:?}");
    assert_eq!(ingester.task(&labeled).await.1.trigger, Trigger::Labeled);
    let reopened = with(payload::reopened(), &[("/issue/number", json!(43))]);
    let reopened = Delivery::json("issues", &reopened).post(ingester.address).await;
    assert_eq!(reopened.status, 202, "{reopened:?}");
    ingester.stop().await;
}

#[tokio::test]
async fn a_delivery_sent_again_is_answered_with_its_first_task() {
    let ingester = Ingester::start().await;
    let delivery = Delivery::json("issues", &payload::opened());
    let first = delivery.post(ingester.address).await;
    let again = delivery.post(ingester.address).await;
    assert_eq!((again.status, again.text("status")), (200, "duplicate"));
    assert_eq!(again.text("task_id"), first.text("task_id"));
    assert_eq!(ingester.pending().await, 1);
    ingester.stop().await;
}

#[tokio::test]
async fn an_issue_has_one_active_task_however_many_deliveries_come_at_once() {
    let ingester = Ingester::start().await;
    let deliveries: Vec<Delivery> = (0..12)
        .map(|i| {
            let payload = if i % 2 == 0 { payload::opened() } else { payload::labeled() };
            Delivery::json("issues", &payload)
        })
        .collect();
    let address = ingester.address;
    let posts: Vec<_> = deliveries
        .into_iter()
        .map(|delivery| tokio::spawn(async move { delivery.post(address).await }))
        .collect();
    let mut created = 0;
    let mut ids = Vec::new();
    for post in posts {
        let answer = post.await.unwrap();
        assert!(matches!(answer.status, 202 | 200), "{answer:?}");
        created += u32::from(answer.status == 202);
        ids.push(answer.text("task_id").to_owned());
    }
    assert_eq!(created, 1);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(ingester.pending().await, 1);
    ingester.stop().await;
}

#[tokio::test]
async fn a_delivery_without_a_usable_id_still_counts() {
    let ingester = Ingester::start().await;
    for (number, guid) in [(1, "two words"), (2, ""), (3, "caf\u{e9}"), (4, &"x".repeat(101))] {
        let payload = with(payload::opened(), &[("/issue/number", json!(number))]);
        let delivery = Delivery { guid: guid.to_owned(), ..Delivery::json("issues", &payload) };
        assert_eq!(delivery.post(ingester.address).await.status, 202, "{guid:?}");
    }
    let keys: Vec<String> = ingester.redis.command(&["KEYS", "ccc:delivery:*"]).unwrap();
    assert_eq!(keys, Vec::<String>::new());
    ingester.stop().await;
}

#[tokio::test]
async fn nothing_passes_without_the_right_signature() {
    let ingester = Ingester::start().await;
    let good = Delivery::json("issues", &payload::opened());
    let other_body = signature(b"{}");
    for bad in [
        None,
        Some(String::new()),
        Some(other_body.clone()),
        Some(other_body.replace("sha256=", "sha1=")),
        Some(good.signature.clone().unwrap().replace("sha256=", "")),
        Some(format!("sha256={}", "0".repeat(64))),
    ] {
        let answer = Delivery { signature: bad.clone(), ..good.clone() }.post(ingester.address).await;
        assert_eq!(answer.status, 401, "{bad:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.text("type"), "urn:claude-cluster:bad-signature");
    }
    assert_eq!(ingester.pending().await, 0);
    ingester.stop().await;
}

#[tokio::test]
async fn events_that_are_none_of_its_business_are_ignored_with_the_reason() {
    let ingester = Ingester::start().await;
    let ping = Delivery::json("ping", &payload::ping()).post(ingester.address).await;
    assert_eq!((ping.status, ping.text("status")), (200, "pong"));
    for (event, payload) in [
        ("push", payload::push()),
        ("a_new_event", json!({"anything": [1, null]})),
        ("issues", json!({"action": "pinned"})),
        ("issues", json!({})),
        ("issues", with(payload::opened(), &[("/action", json!("deleted"))])),
        ("issues", with(payload::labeled(), &[("/label/name", json!("bug"))])),
        ("issues", with(payload::opened(), &[("/issue/pull_request", json!({"url": "x"}))])),
        ("issues", with(payload::labeled(), &[("/issue/state", json!("closed"))])),
    ] {
        let answer = Delivery::json(event, &payload).post(ingester.address).await;
        assert_eq!((answer.status, answer.text("status")), (200, "ignored"), "{event} {answer:?}");
        assert!(!answer.text("reason").is_empty());
    }
    assert_eq!(ingester.pending().await, 0);
    ingester.stop().await;
}

#[tokio::test]
async fn what_is_not_a_payload_is_malformed() {
    let ingester = Ingester::start().await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let changed = |place, value| with(payload::opened(), &[(place, value)]).to_string();
    for body in [
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        "payload=%7B%7D".to_owned(),
        deep.clone(),
        format!("{{\"action\":{deep}}}"),
        changed("/issue/body", json!([[["nested"]]])),
        changed("/issue/labels", json!("bug")),
        changed("/issue/labels", json!(["bug"])),
        changed("/issue/labels", json!([{"name": 7}])),
        changed("/issue/number", json!(-1)),
        changed("/issue/number", json!("42")),
        changed("/issue/title", json!(null)),
        changed("/issue/user", json!("ann-dev")),
        changed("/sender", json!(null)),
        changed("/repository/full_name", json!("/etc/passwd")),
        changed("/repository/full_name", json!("https://example.org/x.git")),
        changed("/repository/full_name", json!("acme/../x")),
        r#"{"action":"opened","issue":{"number":1,"title":"\ud800"}}"#.to_owned(),
    ] {
        let answer = Delivery::new("issues", body.clone()).post(ingester.address).await;
        assert_eq!(answer.status, 400, "{}", body.chars().take(80).collect::<String>());
        assert!(answer.text("detail").len() < 1_000);
    }
    // Deep nesting where nothing is read costs nothing either.
    let body = payload::opened().to_string().replacen('{', &format!("{{\"extra\":{deep},"), 1);
    assert_eq!(Delivery::new("issues", body).post(ingester.address).await.status, 202);
    let not_utf8 = [b"{\"action\":\"".as_slice(), b"\xff\xfe", b"\"}"].concat();
    assert_eq!(Delivery::new("issues", not_utf8).post(ingester.address).await.status, 400);
    ingester.stop().await;
}

#[tokio::test]
async fn only_json_is_taken_and_the_answer_says_how_to_set_it() {
    let ingester = Ingester::start().await;
    for content_type in ["application/x-www-form-urlencoded", "text/plain", "", "application/jsonp"] {
        let delivery = Delivery {
            content_type: content_type.to_owned(),
            ..Delivery::new("issues", "payload=%7B%22action%22%3A%22opened%22%7D")
        };
        let answer = delivery.post(ingester.address).await;
        assert_eq!(answer.status, 415, "{content_type}");
        assert!(answer.text("detail").contains("application/json"));
    }
    let spelled = Delivery {
        content_type: "Application/JSON; charset=utf-8".to_owned(),
        ..Delivery::json("issues", &payload::opened())
    };
    assert_eq!(spelled.post(ingester.address).await.status, 202);
    ingester.stop().await;
}

#[tokio::test]
async fn paths_and_methods_have_their_answers() {
    let ingester = Ingester::start().await;
    let health = get(ingester.address, "/health").await;
    assert_eq!((health.status, health.text("status")), (200, "ok"));
    let ready = get(ingester.address, "/ready").await;
    assert_eq!((ready.status, ready.text("status")), (200, "ready"), "{ready:?}");
    for (method, path, allow) in [
        ("GET", "/webhook/github", "POST"),
        ("PUT", "/webhook/github", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/ready", "GET, HEAD"),
    ] {
        let answer = request(ingester.address, method, path).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
        assert_eq!(answer.json["status"], 405);
    }
    for path in
        ["/", "/webhook", "/webhook/gitlab", "/webhook/github/x", "/%00", "/../etc/passwd", "/health?x=%zz"]
    {
        let answer = get(ingester.address, path).await;
        assert_eq!(answer.status, if path.starts_with("/health") { 200 } else { 404 }, "{path}");
    }
    ingester.stop().await;
}

#[tokio::test]
async fn hostile_headers_are_refused_or_harmless() {
    let ingester = Ingester::start().await;
    let good = Delivery::json("issues", &payload::opened());
    for event in ["", "issues\u{e9}", "../../x", &"e".repeat(5_000), "issues, push"] {
        let answer = Delivery { event: event.to_owned(), ..good.clone() }.post(ingester.address).await;
        assert!(matches!(answer.status, 200 | 400), "{event:?}: {answer:?}");
        assert!(answer.head.len() + answer.json.to_string().len() < 2_000);
    }
    for headers in [
        "X-Hub-Signature-256: sha256=00\r\n".repeat(3),
        "X-GitHub-Event: \u{1f}\r\n".to_owned(),
        "Content-Length: -5\r\n".to_owned(),
        "Content-Length: 18446744073709551616\r\n".to_owned(),
        "Content-Length: 1\r\nContent-Length: 2\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        format!("X-Long: {}\r\n", "y".repeat(100_000)),
        "X-Many: z\r\n".repeat(500),
    ] {
        let delivery = Delivery { more_headers: headers.clone(), signature: None, ..good.clone() };
        let answer = delivery.post(ingester.address).await;
        let start: String = headers.chars().take(40).collect();
        assert!((400..500).contains(&answer.status), "{start}: {}", answer.status);
    }
    for nonsense in ["GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n"] {
        assert_eq!(exchange(ingester.address, nonsense.as_bytes()).await.status, 400, "{nonsense:?}");
    }
    assert_eq!(good.post(ingester.address).await.status, 202);
    assert_eq!(ingester.task(&good.post(ingester.address).await).await.0.priority, Priority::High);
    ingester.stop().await;
}
