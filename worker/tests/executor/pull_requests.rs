//! What a pull request gets besides its branch, and as whom.

use shared::{FailureClass, task_log::LogStream};
use testkit::{
    faults::Fault,
    github::{APP_ID, APP_LOGIN, App},
};

use crate::github_stage::GitHubStage;

#[tokio::test]
async fn a_pull_request_says_what_changed_and_gets_labels_and_people_once() {
    let mut on = GitHubStage::solving().await;
    let publish = &mut on.stage.config.publish;
    publish.labels = vec!["claude-made".to_owned()];
    publish.assignees = vec!["ann".to_owned()];
    publish.reviewers = vec!["bob".to_owned(), "octo/core".to_owned()];
    on.run().await.pull_request();
    on.run().await.pull_request();
    let pull = on.github.state().pulls[0].clone();
    assert!(pull.body.contains("| Changes | 1 file, +1 −1 |"), "{}", pull.body);
    assert_eq!((pull.labels, pull.assignees), (vec!["claude-made".to_owned()], vec!["ann".to_owned()]));
    assert_eq!((pull.reviewers, pull.teams), (vec!["bob".to_owned()], vec!["core".to_owned()]));
}

#[tokio::test]
async fn labels_that_cannot_be_set_cost_the_run_nothing() {
    let mut on = GitHubStage::solving().await;
    on.stage.config.publish.labels = vec!["x".to_owned()];
    on.github.faults().add("/labels", Fault::Status(403));
    let run = on.run().await;
    run.pull_request();
    assert!(run.lines(LogStream::Engine).iter().any(|line| line.contains("were not set")), "{run:#?}");
}

#[tokio::test]
async fn a_draft_becomes_ready_after_a_green_run_and_where_it_cannot_the_comment_says_so() {
    for has_graphql in [true, false] {
        let mut on = GitHubStage::new("cat >/dev/null; echo x >> answer").await;
        on.github.state().has_graphql = has_graphql;
        on.run().await.failure();
        assert!(on.github.state().pulls[0].is_draft);
        let solving = on.stage.program("solving.sh", "cat >/dev/null; echo 42 > answer");
        on.stage.config.agent.command = vec![solving.display().to_string()];
        on.run().await.pull_request();
        assert_eq!(on.github.state().pulls[0].is_draft, !has_graphql);
        assert_eq!(on.status().contains("mark it as ready"), !has_graphql, "{}", on.status());
    }
}

#[tokio::test]
async fn untested_work_is_a_draft_where_that_is_wished() {
    for draft_untested in [false, true] {
        let mut on = GitHubStage::solving().await;
        on.stage.config.publish.draft_untested = draft_untested;
        on.github.remote().commit("main", &[("Makefile", "all:\n")]).unwrap();
        on.run().await.pull_request();
        assert_eq!(on.github.state().pulls[0].is_draft, draft_untested);
        assert!(on.github.state().pulls[0].body.contains("none found"));
    }
}

#[tokio::test]
async fn an_app_publishes_under_its_own_name_with_a_token_minted_for_the_push() {
    let mut on = GitHubStage::solving().await;
    let app = App::new().unwrap();
    let config = &mut on.stage.config.github;
    config.token = String::new().into();
    (config.app_id, config.app_key) = (APP_ID.to_string(), app.key.clone().into());
    on.github.install(app);
    let run = on.run().await;
    run.pull_request();
    assert!(on.status().contains("**Done:**"));
    assert!(on.github.state().comments.iter().all(|comment| comment.author == APP_LOGIN));
    // One to ask with, one to fetch with, one to push with.
    assert_eq!(on.github.with_app(|app| app.asked.len()), 3);
    assert!(!format!("{run:?}").contains("ghs_"), "{run:#?}");
}

#[tokio::test]
async fn a_token_that_may_only_read_fails_the_run_with_what_to_do() {
    let on = GitHubStage::solving().await;
    on.github.make_read_only();
    let run = on.run().await;
    assert_eq!(run.failure().class, FailureClass::Configuration, "{run:#?}");
    assert!(run.failure().message.contains("do not give the right"), "{run:#?}");
}
