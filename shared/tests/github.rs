//! The client of GitHub's API, against a server that answers as a test says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::{
    FailureClass,
    config::{Config, GithubConfig},
    github::{
        Changes, GitHub, LISTED_MAX, MARKER, PAGE_ENTRIES, Patience, Permission, Repository, StatusComment,
        Unsaid,
    },
};
use testkit::{
    GitRemote, TestGitHub,
    faults::Fault,
    github::{APP_ID, App, LOGIN, TOKEN},
};

const COMMENTS: &str = "/issues/7/comments";
const OLD: &str = "2024-12-08T09:00:00Z";

struct Stage {
    server: TestGitHub,
    github: Arc<GitHub>,
    config: GithubConfig,
}

impl Stage {
    async fn new() -> Self {
        let server = TestGitHub::start(GitRemote::with_files(&[("a", "a")]).unwrap()).await.unwrap();
        let mut config = Config::defaults().unwrap().github;
        config.token = TOKEN.to_owned().into();
        (config.base_url, config.git_base_url) = (server.api_url(), server.git_url());
        (config.timeout_ms, config.write_pause_ms) = (2_000, 0);
        let github = GitHub::open(&config).unwrap().unwrap();
        Self { server, github, config }
    }

    /// The token is gone, and an app is there.
    async fn with_app() -> Self {
        let mut stage = Self::new().await;
        let app = App::new().unwrap();
        stage.config.token = String::new().into();
        stage.config.app_id = APP_ID.to_string();
        stage.config.app_key = app.key.clone().into();
        stage.server.install(app);
        stage.github = GitHub::open(&stage.config).unwrap().unwrap();
        stage
    }

    fn minted(&self) -> usize {
        self.server.with_app(|app| app.asked.len())
    }

    fn repository(&self) -> Repository {
        self.github.repository(&"octo/cat".parse().unwrap()).unwrap()
    }

    async fn say(&self, text: &str) -> Result<(), Unsaid> {
        StatusComment::of(&self.repository(), 7).say(text, || async { true }).await
    }

    fn bodies(&self) -> Vec<String> {
        self.server.state().comments.iter().map(|comment| comment.body.clone()).collect()
    }
}

fn patience() -> Patience {
    Patience::new(Duration::from_secs(20))
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_permission_is_what_github_says_and_nothing_for_somebody_unknown() {
    let stage = Stage::new().await;
    for (login, permission) in [("ann", "admin"), ("bob", "write"), ("ci%5Bbot%5D", "read"), ("eve", "odd")] {
        stage.server.state().permissions.push((login.to_owned(), permission.to_owned()));
    }
    let repository = stage.repository();
    for (login, permission) in [
        ("ann", Permission::Admin),
        ("bob", Permission::Write),
        ("ci[bot]", Permission::Read),
        ("eve", Permission::None),
        ("nobody", Permission::None),
        ("../../user", Permission::None),
        ("", Permission::None),
    ] {
        assert_eq!(repository.permission(login, &mut patience()).await.unwrap(), permission, "{login}");
    }
}

#[tokio::test]
async fn what_has_changed_is_listed_since_a_time_and_not_sent_again_while_nothing_has() {
    let stage = Stage::new().await;
    for n in 0..150 {
        stage.server.state().comment(
            "ann",
            "OWNER",
            &format!("n{n}"),
            &format!("2024-12-08T09:{:02}:{:02}Z", n / 60, n % 60),
        );
    }
    let repository = stage.repository();
    let all = repository.changed_comments::<Value>(time(OLD), None, 10, &mut patience()).await.unwrap();
    let Changes::Found { entries, etag: None, complete: true } = all else { panic!("{all:#?}") };
    assert_eq!((entries.len(), &entries[149]["body"]), (150, &Value::from("n149")));

    let late = time("2024-12-08T09:02:20Z");
    let some = repository.changed_comments::<Value>(late, None, 10, &mut patience()).await.unwrap();
    let Changes::Found { entries, etag: Some(etag), complete: true } = some else { panic!("{some:#?}") };
    assert_eq!(entries.len(), 10);
    let again = repository.changed_comments::<Value>(late, Some(&etag), 10, &mut patience()).await.unwrap();
    assert_eq!(again, Changes::NotModified);
    stage.server.state().comments[149].body = "edited".to_owned();
    let edited = repository.changed_comments::<Value>(late, Some(&etag), 10, &mut patience()).await.unwrap();
    assert!(matches!(edited, Changes::Found { .. }), "{edited:#?}");

    let issues = repository.changed_issues::<Value>(late, None, 10, &mut patience()).await.unwrap();
    let Changes::Found { entries, .. } = issues else { panic!("{issues:#?}") };
    assert_eq!(entries[0]["number"], 7);
}

#[tokio::test]
async fn what_is_left_of_the_rate_limit_is_known_after_an_answer() {
    let stage = Stage::new().await;
    assert_eq!(stage.github.rate(), None);
    stage.repository().comments(7, &mut patience()).await.unwrap();
    let rate = stage.github.rate().unwrap();
    assert_eq!((rate.limit, rate.remaining, rate.reset_s), (5_000, 4_999, 1_893_456_000));
}

#[tokio::test]
async fn however_many_write_a_first_status_at_once_one_comment_is_left() {
    let stage = Stage::new().await;
    let texts: Vec<String> = (0..6).map(|n| format!("n{n}")).collect();
    let said = futures_util::future::join_all(texts.iter().map(|text| stage.say(text))).await;
    assert!(said.iter().all(Result::is_ok), "{said:?}");
    stage.say("last").await.unwrap();
    assert_eq!(stage.bodies(), [format!("{MARKER}\nlast")]);
}

#[tokio::test]
async fn a_second_status_comment_that_a_crash_has_left_is_removed_and_anybody_elses_is_not() {
    let stage = Stage::new().await;
    for (author, text) in [(LOGIN, "first"), ("eve", "forged"), (LOGIN, "second")] {
        stage.server.state().comment(author, "MEMBER", &format!("{MARKER}\n{text}"), OLD);
    }
    stage.say("now").await.unwrap();
    assert_eq!(stage.bodies(), [format!("{MARKER}\nnow"), format!("{MARKER}\nforged")]);
}

#[tokio::test]
async fn a_status_comment_that_somebody_deletes_is_made_anew() {
    let stage = Stage::new().await;
    let comment = StatusComment::of(&stage.repository(), 7);
    comment.say("one", || async { true }).await.unwrap();
    stage.server.state().comments.clear();
    comment.say("two", || async { true }).await.unwrap();
    assert_eq!(stage.bodies(), [format!("{MARKER}\ntwo")]);
}

#[tokio::test]
async fn whoever_may_not_write_any_more_writes_nothing() {
    let stage = Stage::new().await;
    let comment = StatusComment::of(&stage.repository(), 7);
    assert!(comment.say("one", || async { false }).await.is_err());
    assert!(stage.bodies().is_empty());
}

#[tokio::test]
async fn a_lost_answer_leaves_one_status_comment() {
    for fault in [Fault::AnswerLost, Fault::Closed, Fault::Status(500)] {
        let stage = Stage::new().await;
        stage.server.faults().add(&format!("POST /api/v3/repos/octo/cat{COMMENTS}"), fault);
        stage.say("one").await.unwrap();
        assert_eq!(stage.bodies(), [format!("{MARKER}\none")], "{fault:?}");
    }
}

#[tokio::test]
async fn an_app_works_with_one_token_for_one_repository_and_what_it_needs() {
    let stage = Stage::with_app().await;
    stage.say("one").await.unwrap();
    stage.say("two").await.unwrap();
    assert_eq!(stage.bodies(), [format!("{MARKER}\ntwo")]);
    let asked = stage.server.with_app(|app| app.asked.clone());
    let needed = json!({"contents": "write", "issues": "write", "pull_requests": "write"});
    assert_eq!(asked, [json!({"repositories": ["cat"], "permissions": needed})]);
}

#[tokio::test]
async fn what_an_installation_gives_for_workflows_is_asked_for_too() {
    let stage = Stage::with_app().await;
    stage.server.with_app(|app| app.permissions["workflows"] = "write".into());
    stage.repository().comments(7, &mut patience()).await.unwrap();
    assert_eq!(stage.server.with_app(|app| app.asked[0]["permissions"]["workflows"].clone()), "write");
}

#[tokio::test]
async fn a_revoked_token_of_an_app_is_replaced_once_and_the_write_is_done_once() {
    let stage = Stage::with_app().await;
    stage.say("one").await.unwrap();
    stage.server.revoke_tokens();
    stage.say("two").await.unwrap();
    assert_eq!((stage.minted(), stage.bodies().len()), (2, 1));
}

#[tokio::test]
async fn a_token_near_its_end_is_not_used_and_git_always_gets_a_new_one() {
    let stage = Stage::with_app().await;
    stage.server.with_app(|app| app.life_s = 200);
    stage.repository().comments(7, &mut patience()).await.unwrap();
    stage.server.with_app(|app| app.life_s = 3_600);
    stage.repository().comments(7, &mut patience()).await.unwrap();
    stage.repository().comments(7, &mut patience()).await.unwrap();
    assert_eq!(stage.minted(), 2);
    stage.repository().git_token().await.unwrap();
    assert_eq!(stage.minted(), 3);
}

#[tokio::test]
async fn an_app_that_is_set_up_wrongly_is_told_what_to_do() {
    let stage = Stage::with_app().await;
    stage.server.with_app(|app| app.permissions["issues"] = "read".into());
    let error = stage.repository().comments(7, &mut patience()).await.err().unwrap();
    let failure = error.into_failure("cannot read");
    assert!(failure.class == FailureClass::Configuration && failure.message.contains("issues"), "{failure}");

    let mut config = stage.config.clone();
    config.app_id = "815".to_owned();
    let stranger = GitHub::open(&config).unwrap().unwrap();
    let error = stranger.own(&mut patience()).await.err().unwrap();
    assert!(error.into_failure("cannot ask").message.contains("app_key_file"));

    for (key, told) in [("", "is empty"), ("-----BEGIN NOTHING-----", "PEM")] {
        config.app_key = key.to_owned().into();
        let failure = GitHub::open(&config).err().unwrap();
        assert!(failure.message.contains(told), "{failure}");
    }
}

#[tokio::test]
async fn writes_wait_for_each_other_and_reads_do_not() {
    let mut stage = Stage::new().await;
    stage.config.write_pause_ms = 300;
    stage.github = GitHub::open(&stage.config).unwrap().unwrap();
    let began = Instant::now();
    for text in ["one", "two", "three"] {
        stage.say(text).await.unwrap();
    }
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_owners_repositories_come_from_the_list_that_has_them_all_and_within_a_bound() {
    let s = Stage::new().await;
    for (owner, list) in [("octo", "/orgs/octo/repos"), (LOGIN, "/user/repos"), ("ann", "/users/ann/repos")] {
        let listed = s.github.repositories_of(owner, &mut patience()).await.unwrap();
        // One of them is archived.
        assert_eq!((listed.names.len(), listed.complete), (LISTED_MAX - 1, false), "{owner}");
        assert_eq!(listed.names[0].to_string(), "octo/r0");
        let asked = s.server.asked();
        let asked = asked.iter().filter(|asked| asked.path == format!("/api/v3{list}")).count();
        assert_eq!(asked, LISTED_MAX / PAGE_ENTRIES, "{list}");
    }
}

#[tokio::test]
async fn an_apps_repositories_are_listed_by_a_token_that_may_do_nothing_else() {
    let s = Stage::with_app().await;
    for _ in 0..2 {
        let listed = s.github.repositories_of("octo", &mut patience()).await.unwrap();
        assert_eq!((listed.names, listed.complete), (vec!["octo/cat".parse().unwrap()], true));
    }
    let minted = s.server.with_app(|app| app.asked.clone());
    assert_eq!(minted, [json!({"permissions": {"metadata": "read"}})]);
    let nobody = s.github.repositories_of("nobody", &mut patience()).await.unwrap_err();
    assert_eq!(nobody.status(), Some(404));
}
