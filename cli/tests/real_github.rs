//! From an issue to its pull request through an emulator of GitHub that others have made: its webhooks go to a real
//! ingester, a real worker clones and pushes by HTTP with a token and talks to the emulator's API.
//!
//! `scripts/test --real` fetches the emulator and names it in `CLAUDE_CLUSTER_TEST_EMULATE`. What it lacks, git over
//! HTTP, a check of the token, failures and webhooks that are sent again, stands before it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "real_github/deliveries.rs"]
mod deliveries;
#[path = "real_github/emulator.rs"]
mod emulator;
#[path = "real_github/mailbox.rs"]
mod mailbox;
#[path = "cluster/pc.rs"]
#[expect(dead_code, reason = "shared with the tests of a cluster")]
mod pc;
#[path = "real_github/refusals.rs"]
mod refusals;
#[path = "real_github/team.rs"]
mod team;
#[path = "real_github/triggers.rs"]
mod triggers;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use testkit::{
    faults::Fault,
    github::{APP_LOGIN, App, TOKEN},
};

use pc::until;
use team::{CHANGE_COMMENT, CHANGE_PULL, MAKE_PULL, Setup, Team};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn an_issue_becomes_a_pull_request_and_a_second_task_updates_the_same_one() {
    let team = Team::new().await;
    let pc = team.worker();
    let opened = Instant::now();
    team.open_issue().await;
    team.done(&pc).await;
    let first = team.assert_one_of_each().await;
    assert!(first["body"].as_str().unwrap().starts_with("Closes #1\n"), "{first:#}");

    // The comment says so before the task is settled, and until then the issue has it still.
    until("the first task is settled", || async { (team.tasks("completed").await.len() == 1).then_some(()) })
        .await;
    // Within two whole seconds of the opening a label is taken for another word of it: clocks differ.
    until("the label is something new", || async {
        (opened.elapsed() > Duration::from_secs(4)).then_some(())
    })
    .await;
    team.emulator.ask("POST", "issues/1/labels", &json!({"labels": ["claude"]})).await;
    team.asked(CHANGE_PULL, 1).await;
    // Begun, done; begun again, done again: all but the first change the comment.
    team.asked(CHANGE_COMMENT, 3).await;
    team.done(&pc).await;
    assert_eq!(team.assert_one_of_each().await["number"], first["number"]);
    assert!(!pc.log().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn a_worker_killed_between_push_and_pull_request_leaves_one_pull_request_and_one_comment() {
    killed_at(MAKE_PULL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn a_worker_killed_between_pull_request_and_settlement_leaves_one_of_each() {
    killed_at(CHANGE_COMMENT).await;
}

async fn killed_at(request: &str) {
    let team = Team::new().await;
    team.github.faults().add(request, Fault::Stalled);
    let mut pc = team.worker();
    team.open_issue().await;
    team.asked(request, 1).await;
    pc.signal(Signal::SIGKILL);
    pc.ended().await;
    let pc = team.worker();
    team.done(&pc).await;
    team.assert_one_of_each().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn an_app_publishes_and_comments_under_its_own_name() {
    let team = Team::with(Setup { app: Some(App::new().unwrap()), ..Setup::default() }).await;
    let pc = team.worker();
    team.open_issue().await;
    team.done(&pc).await;
    let pull = team.assert_one_of_each().await;
    assert_eq!(pull["user"]["login"], APP_LOGIN, "{pull:#}");
    let comments = team.emulator.get("issues/1/comments").await;
    assert_eq!(comments[0]["user"]["login"], APP_LOGIN, "{comments:#}");
    assert!(!pc.log().contains("PRIVATE KEY") && !pc.log().contains("ghs_"), "{}", pc.log());
}
