//! Who may start a task, and for which repository.

use serde_json::{Value, json};
use shared::config::RepositoryConfig;

use crate::{
    client::Delivery,
    ingester::Ingester,
    webhook::payload::{self, by, with},
};

async fn ignored(ingester: &Ingester, payload: &Value, reason: &str) {
    let answer = Delivery::json("issues", payload).post(ingester.address).await;
    assert_eq!((answer.status, answer.text("status")), (200, "ignored"), "{answer:?}");
    assert!(answer.text("reason").contains(reason), "{answer:?}");
    assert_eq!(ingester.pending().await, 0);
}

#[tokio::test]
async fn bots_strangers_and_its_own_account_start_nothing() {
    let ingester = Ingester::start().await;
    let bot = with(payload::opened(), &[("/sender/type", json!("Bot"))]);
    ignored(&ingester, &bot, "is a bot").await;
    ignored(&ingester, &by(payload::opened(), "dependabot[bot]", "COLLABORATOR"), "is a bot").await;
    ignored(&ingester, &by(payload::opened(), "Shop-Claude", "OWNER"), "own account").await;
    for association in ["NONE", "CONTRIBUTOR", "FIRST_TIME_CONTRIBUTOR"] {
        ignored(&ingester, &by(payload::opened(), "eve", association), association).await;
        ignored(&ingester, &by(payload::labeled(), "eve", association), association).await;
    }
    ingester.stop().await;
}

#[tokio::test]
async fn somebody_else_who_labels_or_reopens_has_to_be_the_owner() {
    let ingester = Ingester::start().await;
    let stranger = [("/sender/login", json!("eve"))];
    ignored(&ingester, &with(payload::labeled(), &stranger), "eve").await;
    ignored(&ingester, &with(payload::reopened(), &stranger), "eve").await;
    let strangers_text = [("/issue/author_association", json!("NONE")), ("/issue/user/login", json!("eve"))];
    let reopened_by_owner =
        with(with(payload::reopened(), &strangers_text), &[("/sender/login", json!("acme"))]);
    ignored(&ingester, &reopened_by_owner, "author eve is NONE").await;
    let labeled_by_owner =
        with(with(payload::labeled(), &strangers_text), &[("/sender/login", json!("acme"))]);
    let answer = Delivery::json("issues", &labeled_by_owner).post(ingester.address).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    ingester.stop().await;
}

#[tokio::test]
async fn only_listed_repositories_are_served_where_there_is_a_list() {
    let ingester = Ingester::start_with(|config| {
        config.repository = vec![RepositoryConfig { pattern: "acme/api-*".to_owned(), ..Default::default() }];
    })
    .await;
    ignored(&ingester, &payload::opened(), "repository acme/shop is not allowed here").await;
    let listed = with(payload::opened(), &[("/repository/full_name", json!("Acme/API-orders"))]);
    assert_eq!(Delivery::json("issues", &listed).post(ingester.address).await.status, 202);
    ingester.stop().await;
}

#[tokio::test]
async fn opening_can_be_switched_off_and_the_label_renamed() {
    let ingester = Ingester::start_with(|config| {
        config.github.trigger_on_open = false;
        config.github.trigger_label = "Do It".to_owned();
    })
    .await;
    ignored(&ingester, &payload::opened(), "set the label 'Do It'").await;
    ignored(&ingester, &payload::labeled(), "only the label 'Do It'").await;
    let labeled = with(payload::labeled(), &[("/label/name", json!("do it"))]);
    assert_eq!(Delivery::json("issues", &labeled).post(ingester.address).await.status, 202);
    ingester.stop().await;
}

#[tokio::test]
async fn a_clone_url_in_the_payload_is_never_looked_at() {
    let ingester = Ingester::start().await;
    let payload = with(payload::opened(), &[("/repository/clone_url", json!("ext::sh -c id"))]);
    let answer = Delivery::json("issues", &payload).post(ingester.address).await;
    assert_eq!(ingester.task(&answer).await.1.repository.to_string(), "acme/shop");
    ingester.stop().await;
}
