//! `/claude` in a comment.

use serde_json::json;
use shared::{Priority, task::Trigger};

use crate::{
    client::Delivery,
    ingester::Ingester,
    webhook::payload::{self, with},
};

fn comment(text: &str) -> Delivery {
    Delivery::json("issue_comment", &payload::commented(text))
}

#[tokio::test]
async fn a_command_starts_a_task_as_it_says() {
    let ingester = Ingester::start().await;
    let delivery = comment("/claude frontend priority low\nOnly the <!-- not --> cart, please");
    let answer = delivery.post(ingester.address).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!((answer.text("specialty"), answer.text("priority")), ("frontend", "low"));
    let (_, spec) = ingester.task(&answer).await;
    assert_eq!(spec.trigger, Trigger::Comment);
    assert_eq!(spec.requirements, ["Only the  cart, please"]);
    assert_eq!(spec.triggered_at_ms, Some(1_740_993_224_000), "comments made later are not read");
    assert_eq!(spec.classification.reasons[0], "comment /claude frontend");
    assert_eq!(spec.author.as_deref(), Some("ann-dev"));
    assert_eq!(ingester.told(delivery, "duplicate").await.text("task_id"), answer.text("task_id"));
    ingester.stop().await;
}

#[tokio::test]
async fn whatever_is_no_command_of_somebody_trusted_does_nothing_and_says_why() {
    let ingester = Ingester::start().await;
    let stranger = [("/comment/user/login", json!("eve")), ("/sender/login", json!("eve"))];
    let by_eve = with(payload::commented("/claude"), &stranger);
    for (event, payload, reason) in [
        ("issue_comment", payload::commented("I see it too"), "does not begin with /claude"),
        ("issue_comment", payload::commented("hello\n/claude"), "does not begin with /claude"),
        ("issue_comment", payload::commented("/claude fix it"), "'/claude fix' is not understood"),
        (
            "issue_comment",
            with(by_eve.clone(), &[("/comment/author_association", json!("NONE"))]),
            "eve is NONE",
        ),
        ("issue_comment", with(by_eve, &[("/sender/login", json!("bob"))]), "bob"),
        ("issue_comment", with(payload::commented("/claude"), &[("/sender/type", json!("Bot"))]), "is a bot"),
        (
            "issue_comment",
            with(payload::commented("/claude"), &[("/sender/login", json!("shop-claude"))]),
            "own account",
        ),
        (
            "issue_comment",
            with(payload::commented("/claude"), &[("/action", json!("edited"))]),
            "action edited",
        ),
        (
            "issue_comment",
            with(payload::commented("/claude"), &[("/issue/pull_request", json!({}))]),
            "pull request",
        ),
        (
            "issue_comment",
            with(payload::commented("/claude"), &[("/issue/state", json!("closed"))]),
            "is closed",
        ),
        ("issue_comment", payload::commented("/claude cancel"), "no task of this issue"),
        ("pull_request_review_comment", payload::commented("/claude"), "not handled"),
    ] {
        let answer = ingester.told(Delivery::json(event, &payload), "ignored").await;
        assert!(answer.text("reason").contains(reason), "{reason}: {answer:?}");
    }
    assert_eq!(ingester.pending().await, 0);
    ingester.stop().await;
}

/// The comment as if it was written this many minutes later.
fn later(minutes: u32, text: &str) -> Delivery {
    let at = format!("2025-03-03T09:{}:44Z", 13 + minutes);
    let payload = with(payload::commented(text), &[("/comment/created_at", json!(at))]);
    Delivery::json("issue_comment", &payload)
}

#[tokio::test]
async fn a_command_cancels_and_another_starts_again() {
    let ingester = Ingester::start().await;
    let first = comment("/claude").post(ingester.address).await;
    let cancelled = ingester.told(later(1, "/claude cancel\nnot now"), "task_cancelled").await;
    assert_eq!(cancelled.text("task_id"), first.text("task_id"));
    assert_eq!(ingester.status(&first).await, "cancelled");
    let second = later(2, "/claude retry").post(ingester.address).await;
    assert_eq!(second.status, 202, "{second:?}");
    ingester.claim(second.text("specialty")).await;
    let asked = ingester.told(later(3, "/claude cancel"), "cancel_requested").await;
    assert_eq!(asked.text("task_id"), second.text("task_id"));
    ingester.stop().await;
}

#[tokio::test]
async fn a_command_changes_what_waits_and_leaves_alone_what_runs() {
    let ingester = Ingester::start().await;
    let first = Delivery::json("issues", &payload::opened()).post(ingester.address).await;
    assert_eq!(ingester.told(comment("/claude"), "duplicate").await.text("task_id"), first.text("task_id"));
    let wish = comment("/claude frontend priority low\nOnly the cart");
    for delivery in [wish.clone(), wish, comment("/claude frontend priority low\nOnly the cart")] {
        let changed = ingester.told(delivery, "task_changed").await;
        assert_eq!(changed.text("task_id"), first.text("task_id"));
    }
    let (record, spec) = ingester.task(&first).await;
    assert_eq!((record.specialty.as_str(), record.priority), ("frontend", Priority::Low));
    assert_eq!(spec.requirements, ["Only the cart"], "told again, kept once");
    assert_eq!(ingester.pending().await, 1);

    ingester.claim("frontend").await;
    let late = ingester.told(comment("/claude priority high"), "ignored").await;
    assert!(late.text("reason").contains("runs already"), "{late:?}");
    ingester.stop().await;
}

#[tokio::test]
async fn an_issue_that_starts_itself_again_and_again_comes_to_an_end() {
    let ingester = Ingester::start_with(|config| config.github.runs_per_issue_per_day = 2).await;
    for minutes in [0, 2] {
        assert_eq!(later(minutes, "/claude").post(ingester.address).await.status, 202);
        ingester.told(later(minutes, "/claude"), "duplicate").await;
        ingester.told(later(minutes + 1, "/claude cancel"), "task_cancelled").await;
    }
    let third = ingester.told(later(4, "/claude"), "ignored").await;
    assert!(third.text("reason").contains("2 tasks within 24 hours"), "{third:?}");
    let other = with(payload::commented("/claude"), &[("/issue/number", json!(43))]);
    assert_eq!(Delivery::json("issue_comment", &other).post(ingester.address).await.status, 202);
    ingester.stop().await;
}
