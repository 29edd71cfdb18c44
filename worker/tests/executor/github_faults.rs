//! A GitHub that fails, at every moment of a run.

use shared::FailureClass;
use testkit::faults::Fault;

use crate::github_stage::{COMMENTS, GitHubStage};

/// Every request of a run to the API, as `METHOD path` has it.
const REQUESTS: [&str; 7] = [
    "GET /api/v3/repos/octo/cat",
    "GET /api/v3/user",
    "GET /api/v3/repos/octo/cat/issues/7/comments",
    "POST /api/v3/repos/octo/cat/issues/7/comments",
    "GET /api/v3/repos/octo/cat/pulls",
    "POST /api/v3/repos/octo/cat/pulls",
    "PATCH /api/v3/repos/octo/cat/issues/comments/",
];

async fn each_request_fails_once(fault: Fault) {
    let mut on = GitHubStage::solving().await;
    on.stage.config.github.timeout_ms = 500;
    for request in REQUESTS.iter().rev() {
        on.github.faults().add(request, fault);
    }
    on.run().await.pull_request();
    assert_eq!(on.github.faults().left(), 0, "{:#?}", on.github.faults().requests());
    assert_eq!(on.github.state().pulls.len(), 1);
    assert!(on.status().contains("**Done:**"));
}

#[tokio::test]
async fn an_error_of_the_server_at_each_request_costs_nothing_but_time() {
    each_request_fails_once(Fault::Status(502)).await;
}

#[tokio::test]
async fn a_rate_limit_at_each_request_is_waited_out() {
    each_request_fails_once(Fault::RateLimited(1)).await;
}

#[tokio::test]
async fn a_connection_closed_before_anything_was_done_is_tried_again() {
    each_request_fails_once(Fault::Closed).await;
}

#[tokio::test]
async fn a_lost_answer_makes_neither_a_second_pull_request_nor_a_second_comment() {
    each_request_fails_once(Fault::AnswerLost).await;
}

#[tokio::test]
async fn a_stalled_request_is_given_up_and_tried_again() {
    each_request_fails_once(Fault::Stalled).await;
}

#[tokio::test]
async fn a_comment_that_cannot_be_written_costs_the_run_nothing() {
    for fault in [Fault::Status(403), Fault::RateLimited(3_600)] {
        let on = GitHubStage::solving().await;
        for _ in 0..2 {
            on.github.faults().add(&format!("POST /api/v3/repos/octo/cat{COMMENTS}"), fault);
        }
        let run = on.run().await;
        run.pull_request();
        assert!(on.github.state().comments.is_empty());
        let told = run.lines(shared::task_log::LogStream::Engine);
        assert_eq!(told.iter().filter(|line| line.contains("status comment")).count(), 1, "{told:#?}");
    }
}

#[tokio::test]
async fn git_that_fails_is_tried_later_and_git_that_is_not_let_in_is_not() {
    for (status, class) in [(500, FailureClass::Transient), (403, FailureClass::Configuration)] {
        let on = GitHubStage::solving().await;
        on.github.faults().add("GET /octo/cat.git/info/refs", Fault::Status(status));
        let run = on.run().await;
        assert_eq!(run.failure().class, class, "{run:#?}");
    }
}

#[tokio::test]
async fn a_limit_longer_than_anybody_waits_sends_the_task_away_until_then() {
    let on = GitHubStage::solving().await;
    on.github.faults().add("GET /api/v3/repos/octo/cat", Fault::RateLimited(1_800));
    let run = on.run().await;
    let failure = run.failure();
    assert_eq!((failure.class, failure.retry_after.unwrap().as_secs()), (FailureClass::Transient, 1_800));
}
