//! What people do on GitHub: labels, commands, closing; and strangers.

use serde_json::json;

use crate::{
    emulator::STRANGER_TOKEN,
    team::{CHANGE_PULL, Setup, Team},
};

/// Issues start nothing by being opened.
const NOT_ON_OPEN: &[(&str, &str)] = &[("CLAUDE_CLUSTER__GITHUB__TRIGGER_ON_OPEN", "false")];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn a_label_of_the_owner_starts_what_a_stranger_asked_for() {
    let team = Team::new().await;
    let issue = json!({"title": "Correct the answer", "body": "It must be 42."});
    team.emulator.ask_as(STRANGER_TOKEN, "POST", "issues", &issue).await;
    let (status, answer) = team.answered(1).await;
    assert_eq!((status, &answer["status"]), (200, &json!("ignored")), "{answer}");
    team.emulator.ask_as(STRANGER_TOKEN, "POST", "issues/1/comments", &json!({"body": "/claude"})).await;
    assert_eq!(team.answered(2).await.1["status"], "ignored");
    assert_eq!(team.status_comments().await, [""; 0], "a stranger's issue is not commented on");

    team.label("claude").await;
    let (status, answer) = team.answered(3).await;
    assert_eq!((status, &answer["status"]), (202, &json!("task_created")), "{answer}");
    let pc = team.worker();
    team.done(&pc).await;
    team.assert_one_of_each().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn commands_start_change_cancel_and_start_again_and_the_one_comment_tells_of_each() {
    let team = Team::with(Setup { variables: NOT_ON_OPEN, ..Setup::default() }).await;
    team.open_issue().await;
    assert_eq!(team.answered(1).await.1["status"], "ignored");
    team.comment("/claude testing\nUse the new table.").await;
    let said = team.says("**Queued** for `testing`, priority medium").await;
    assert!(said.contains("no worker that is online"), "{said}");
    team.comment("/claude priority high").await;
    team.says("**Queued** for `testing`, priority high, changed by `octo`").await;
    let id = team.task("pending").await.id;
    let spec = team.cluster.queue.spec(&id).await.unwrap().unwrap();
    assert_eq!(spec.requirements, ["Use the new table."]);
    team.comment("/claude cancel").await;
    team.says("**Cancelled** before a worker took it").await;
    assert_eq!(team.task("cancelled").await.id, id);

    team.comment("/claude retry").await;
    team.says("**Queued**").await;
    let pc = team.worker();
    team.done(&pc).await;
    let first = team.assert_one_of_each().await;
    team.comment("/claude retry").await;
    team.asked(CHANGE_PULL, 1).await;
    team.task("completed").await;
    team.done(&pc).await;
    assert_eq!(team.assert_one_of_each().await["number"], first["number"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn closing_and_taking_the_label_away_end_what_waits() {
    let team = Team::new().await;
    team.open_issue().await;
    team.says("**Queued**").await;
    team.emulator.ask("PATCH", "issues/1", &json!({"state": "closed"})).await;
    let said = team.says("**Cancelled** before a worker took it").await;
    assert!(said.contains("octo closed the issue"), "{said}");

    team.emulator.ask("PATCH", "issues/1", &json!({"state": "open"})).await;
    team.says("**Queued**").await;
    team.label("claude").await;
    team.emulator.ask("DELETE", "issues/1/labels/claude", &json!(null)).await;
    let said = team.says("**Cancelled** before a worker took it").await;
    assert!(said.contains("octo removed the label"), "{said}");
    assert_eq!(team.tasks("cancelled").await.len(), 2);
    assert_eq!(team.tasks("pending").await, []);
}
