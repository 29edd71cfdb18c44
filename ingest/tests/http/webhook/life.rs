//! What becomes of an issue's task when the issue changes.

use serde_json::{Value, json};
use shared::Priority;

use crate::{
    client::{Answer, Delivery},
    ingester::Ingester,
    webhook::payload::{self, with},
};

fn issues(payload: &Value) -> Delivery {
    Delivery::json("issues", payload)
}

/// With a waiting task for issue 42.
async fn waiting() -> (Ingester, Answer) {
    let ingester = Ingester::start().await;
    let first = issues(&payload::opened()).post(ingester.address).await;
    assert_eq!(first.status, 202, "{first:?}");
    (ingester, first)
}

fn unlabeled(label: Option<&str>) -> Value {
    let mut payload = payload::later("unlabeled");
    payload["label"] = label.map_or(Value::Null, |name| json!({"name": name}));
    payload
}

#[tokio::test]
async fn a_closed_deleted_or_moved_issue_needs_no_task_whoever_did_it() {
    for action in ["closed", "deleted", "transferred"] {
        let (ingester, first) = waiting().await;
        let by_a_bot = [("/sender/login", json!("stale[bot]")), ("/issue/state", json!("closed"))];
        let cancelled =
            ingester.told(issues(&with(payload::later(action), &by_a_bot)), "task_cancelled").await;
        assert_eq!(cancelled.text("task_id"), first.text("task_id"));
        assert_eq!(ingester.status(&first).await, "cancelled");
        ingester.told(issues(&payload::later(action)), "ignored").await;
        ingester.stop().await;
    }
}

#[tokio::test]
async fn a_running_task_is_asked_to_stop() {
    let (ingester, first) = waiting().await;
    ingester.claim(first.text("specialty")).await;
    for _ in 0..2 {
        let asked = ingester.told(issues(&payload::later("closed")), "cancel_requested").await;
        assert_eq!(asked.text("task_id"), first.text("task_id"));
    }
    ingester.stop().await;
}

#[tokio::test]
async fn taking_the_trigger_label_away_ends_the_task_and_taking_another_does_not() {
    let (ingester, first) = waiting().await;
    ingester.told(issues(&unlabeled(Some("wontfix"))), "ignored").await;
    ingester.told(issues(&unlabeled(None)), "ignored").await;
    assert_eq!(ingester.status(&first).await, "pending");
    ingester.told(issues(&unlabeled(Some("Claude"))), "task_cancelled").await;
    assert_eq!(ingester.status(&first).await, "cancelled");
    ingester.stop().await;
}

#[tokio::test]
async fn what_happened_before_the_task_was_started_does_not_touch_it() {
    let (ingester, first) = waiting().await;
    let before = json!("2025-03-03T09:12:43Z");
    let mut edited = payload::later("edited");
    edited["changes"] = json!({"title": {"from": "x"}});
    for payload in [payload::later("closed"), unlabeled(Some("claude")), edited] {
        let late = with(payload, &[("/issue/updated_at", before.clone()), ("/issue/title", json!("Old"))]);
        let answer = ingester.told(issues(&late), "ignored").await;
        assert!(answer.text("reason").contains("happened later"), "{answer:?}");
    }
    let mut command = payload::commented("/claude cancel");
    command["comment"]["created_at"] = before;
    ingester.told(Delivery::json("issue_comment", &command), "ignored").await;
    assert_eq!(ingester.status(&first).await, "pending");
    ingester.stop().await;
}

/// The issue with other words in it, of which an edit has changed `changed`.
fn edited(changed: &[&str]) -> Value {
    let mut payload = payload::later("edited");
    payload["changes"] = changed.iter().map(|part| ((*part).to_owned(), json!({"from": "x"}))).collect();
    with(payload, &[("/issue/title", json!("New title")), ("/issue/body", json!("new<!-- hidden --> body"))])
}

#[tokio::test]
async fn an_edit_by_somebody_trusted_changes_what_waits_in_the_parts_it_touched() {
    let (ingester, first) = waiting().await;
    let before = ingester.task(&first).await.1;
    ingester.told(issues(&edited(&["title"])), "task_changed").await;
    let (record, spec) = ingester.task(&first).await;
    assert_eq!((record.title.as_str(), spec.title.as_str()), ("New title", "New title"));
    assert_eq!(spec.body, before.body, "what somebody else may have written there since is not vouched for");
    ingester.told(issues(&edited(&["body"])), "task_changed").await;
    assert_eq!(ingester.task(&first).await.1.body, "new body");
    ingester.told(issues(&edited(&["title", "body"])), "ignored").await;
    assert_eq!(ingester.pending().await, 1);

    ingester.claim(record.specialty.as_str()).await;
    let late = with(edited(&["title"]), &[("/issue/title", json!("Too late"))]);
    let answer = ingester.told(issues(&late), "ignored").await;
    assert!(answer.text("reason").contains("runs already"), "{answer:?}");
    ingester.stop().await;
}

#[tokio::test]
async fn an_edit_or_a_label_of_somebody_untrusted_does_not_enter() {
    let ingester = Ingester::start().await;
    let eves = [("/issue/user/login", json!("eve")), ("/issue/author_association", json!("NONE"))];
    let labeled = with(with(payload::labeled(), &eves), &[("/sender/login", json!("acme"))]);
    let first = issues(&labeled).post(ingester.address).await;
    assert_eq!(first.status, 202, "{first:?}");
    let before = ingester.task(&first).await.1;
    let mut urgent = payload::later("labeled");
    urgent["label"] = json!({"name": "priority: high"});
    for payload in [edited(&["title", "body"]), urgent] {
        let by_eve = with(with(payload, &eves), &[("/sender/login", json!("eve"))]);
        let answer = ingester.told(issues(&by_eve), "ignored").await;
        assert!(answer.text("reason").contains("author eve is NONE"), "{answer:?}");
    }
    assert_eq!(ingester.task(&first).await.1, before);
    ingester.stop().await;
}

#[tokio::test]
async fn a_label_moves_what_waits() {
    let (ingester, first) = waiting().await;
    let mut payload = payload::later("labeled");
    payload["label"] = json!({"name": "area/frontend"});
    let labels = json!([{"name": "bug"}, {"name": "area/frontend"}, {"name": "P3"}]);
    let payload = with(payload, &[("/issue/labels", labels)]);
    ingester.told(issues(&payload), "task_changed").await;
    let (record, spec) = ingester.task(&first).await;
    assert_eq!((record.specialty.as_str(), record.priority), ("frontend", Priority::Low));
    assert_eq!(spec.labels, ["bug", "area/frontend", "P3"]);
    ingester.told(issues(&payload), "ignored").await;
    ingester.stop().await;
}
