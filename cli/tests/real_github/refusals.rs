//! What GitHub refuses, and what goes wrong with each write.

use serde_json::json;
use testkit::{
    faults::Fault,
    github::{App, TOKEN},
};

use crate::{
    pc::until,
    team::{CHANGE_COMMENT, MAKE_COMMENT, MAKE_PULL, Setup, Team},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn whatever_goes_wrong_with_each_write_there_is_one_pull_request_and_one_comment() {
    for fault in [Fault::Status(500), Fault::AnswerLost, Fault::RateLimited(1)] {
        let team = Team::new().await;
        for write in [MAKE_COMMENT, MAKE_PULL, CHANGE_COMMENT] {
            team.github.faults().add(write, fault);
        }
        let pc = team.worker();
        team.open_issue().await;
        team.done(&pc).await;
        team.assert_one_of_each().await;
        assert_eq!(team.github.faults().left(), 0, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn a_token_that_may_only_read_fails_the_task_with_what_to_do() {
    let team = Team::new().await;
    team.github.make_read_only();
    let _pc = team.worker();
    team.open_issue().await;
    let said = || async {
        let comments = team.emulator.get("issues/1/comments").await;
        let body = comments[0]["body"].as_str().unwrap_or_default().to_owned();
        body.contains("**Failed:** something has to be set up first").then_some(body)
    };
    let body = until("the comment says what to do", said).await;
    assert!(body.contains("do not give the right"), "{body}");
    assert_eq!(team.emulator.get("pulls?state=all").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn a_token_that_has_expired_fails_the_task_with_what_to_do_and_a_new_one_does_it() {
    let team = Team::new().await;
    team.github.revoke_tokens();
    let pc = team.worker();
    team.open_issue().await;
    let message = team.failed_to_be_set_up().await;
    assert!(message.contains("401") && message.contains("set GITHUB_TOKEN"), "{message}");
    assert_eq!(team.emulator.get("pulls?state=all").await, json!([]));
    assert_eq!(team.github.remote().branches().unwrap(), ["main"]);
    team.github.let_in(TOKEN);
    team.comment("/claude retry").await;
    team.done(&pc).await;
    team.assert_one_of_each().await;
    assert!(!pc.log().contains(TOKEN) && !message.contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn a_token_of_an_app_that_expires_before_a_write_is_minted_anew() {
    let team = Team::with(Setup { app: Some(App::new().unwrap()), ..Setup::default() }).await;
    for write in [MAKE_COMMENT, MAKE_PULL, CHANGE_COMMENT] {
        team.github.faults().add(write, Fault::Status(401));
    }
    let pc = team.worker();
    team.open_issue().await;
    team.done(&pc).await;
    team.assert_one_of_each().await;
    assert_eq!(team.github.faults().left(), 0);
    // One each for reading, fetching and pushing, and one for each that was refused.
    assert!(team.github.faults().count("/access_tokens") >= 6, "{:#?}", team.github.faults().requests());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn a_repository_that_is_gone_fails_the_task_with_what_to_do() {
    let team = Team::new().await;
    team.open_issue().await;
    assert_eq!(team.answered(1).await.0, 202);
    team.emulator.ask("DELETE", "", &json!(null)).await;
    let _pc = team.worker();
    let message = team.failed_to_be_set_up().await;
    assert!(message.contains("404") && message.contains("the token may not see it"), "{message}");
    assert_eq!(team.github.remote().branches().unwrap(), ["main"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn a_pull_request_that_is_refused_fails_the_task_and_is_made_by_the_next() {
    let team = Team::new().await;
    team.github.faults().add(MAKE_PULL, Fault::Status(422));
    let pc = team.worker();
    team.open_issue().await;
    let said = team.says("**Failed.**").await;
    assert!(said.contains("GitHub answered 422: as the test says"), "{said}");
    assert_eq!(team.emulator.get("pulls?state=all").await, json!([]));
    team.comment("/claude retry").await;
    until("the second attempt is done", || async { team.tasks("completed").await.pop() }).await;
    team.done(&pc).await;
    team.assert_one_of_each().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn reads_that_fail_or_are_limited_are_repeated_and_cost_nothing_else() {
    let team = Team::new().await;
    for (request, fault) in [
        ("GET /api/v3/repos/octo/cat", Fault::Status(500)),
        ("GET /api/v3/repos/octo/cat", Fault::RateLimited(1)),
        ("GET /api/v3/repos/octo/cat/pulls", Fault::Closed),
        ("GET /api/v3/repos/octo/cat/pulls", Fault::RateLimited(1)),
    ] {
        team.github.faults().add(request, fault);
    }
    let pc = team.worker();
    team.open_issue().await;
    team.done(&pc).await;
    team.assert_one_of_each().await;
    assert_eq!(team.github.faults().left(), 0);
    let record = team.task("completed").await;
    assert_eq!((record.runs, record.attempts), (1, 0));
}
