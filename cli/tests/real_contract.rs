//! Every request that is sent to GitHub, held against GitHub's own description of its API by Prism, which others have
//! made: what GitHub would answer 422, it answers 422. Queries of GraphQL are held against GitHub's schema.
//!
//! The client sends nothing that `ENDPOINTS` does not list, and each of these has to be asked for here.
//!
//! `scripts/test --real` fetches Prism, description and schema, and names them in `CLAUDE_CLUSTER_TEST_PRISM`,
//! `CLAUDE_CLUSTER_TEST_OPENAPI` and `CLAUDE_CLUSTER_TEST_GRAPHQL`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "real_contract/graphql.rs"]
mod graphql;
#[path = "commands/home.rs"]
#[expect(dead_code, reason = "shared with the tests of the commands")]
mod home;
#[path = "real_contract/prism.rs"]
mod prism;

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, time::Duration};

use serde_json::{Value, json};
use shared::{
    config::Config,
    github::{ENDPOINTS, Endpoint, GitHub, Patience, Query, StatusComment},
};
use testkit::{
    GitRemote, TestGitHub,
    github::{APP_ID, App, LOGIN, TOKEN},
    http_server::Asked,
};

use home::Home;
use prism::{Prism, Request};

const AGENT: &str = "#!/bin/sh\ncat > /dev/null\necho 42 > answer\necho 'It is 42 now.'\n";
const HOOK: &str = "https://cluster.example.org/webhook/github";

/// What the description of REST leaves out: the address of a renamed repository, which GitHub itself gives where it is
/// asked by the former name, and GraphQL, which has a schema.
const UNDESCRIBED: [&str; 2] = ["/repositories/{repository_id}", "/graphql"];

async fn server() -> TestGitHub {
    let files = [("Makefile", "test:\n\tgrep -qx 42 answer\n"), ("answer", "41\n")];
    TestGitHub::start(GitRemote::with_files(&files).unwrap()).await.unwrap()
}

/// Runs a command against the server, which lives on this test's runtime.
async fn run(home: &Home, github: &TestGitHub, arguments: &[&str]) {
    let mut command = home.command(arguments);
    command
        .env("GITHUB_TOKEN", TOKEN)
        .env("GITHUB_WEBHOOK_SECRET", "a secret of the webhook")
        .env("CLAUDE_CLUSTER__GITHUB__BASE_URL", github.api_url())
        .env("CLAUDE_CLUSTER__GITHUB__GIT_BASE_URL", github.git_url())
        .env("CLAUDE_CLUSTER__GITHUB__WRITE_PAUSE_MS", "0")
        .env("CLAUDE_CLUSTER__PUBLISH__LABELS", "claude-made")
        .env("CLAUDE_CLUSTER__PUBLISH__ASSIGNEES", "ann")
        .env("CLAUDE_CLUSTER__PUBLISH__REVIEWERS", "bob,octo/core");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What commands and a run's publication ask for, each kind of request once.
async fn requests() -> Vec<Request> {
    let (home, github) = (Home::new(), server().await);
    let agent = home.write("agent", AGENT);
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
    let agent = agent.display().to_string();
    for _ in 0..2 {
        let issue = ["workflow", "--repo", "octo/cat", "--issue", "7", "--agent-command", &agent];
        run(&home, &github, &issue).await;
        run(&home, &github, &["github", "install-webhook", "--repo", "octo/cat", "--url", HOOK]).await;
    }
    run(&home, &github, &["github", "check", "--repo", "octo/cat"]).await;
    // A webhook made twice by a crash is removed, and so is a second status comment.
    // One at a time: each look holds the server's state until its statement ends.
    let twin = github.state().hooks[0].clone();
    let status = github.state().comments[0].clone();
    github.state().hooks.push(json!({"id": 999, "active": true, "events": [], "config": twin["config"]}));
    github.state().comment(&status.author, "MEMBER", &status.body, "2029-01-01T00:00:00Z");
    run(&home, &github, &["github", "install-webhook", "--repo", "octo/cat", "--url", HOOK]).await;
    poll(&github).await;
    poll_as_an_app(&github).await;
    let mut kinds = BTreeMap::new();
    for asked in github.asked() {
        kinds.entry(kind_of(&asked)).or_insert(Request::of(&asked));
    }
    kinds.into_values().collect()
}

/// What ingesters ask for besides, with a token.
async fn poll(github: &TestGitHub) {
    let mut config = Config::defaults().unwrap();
    (config.github.base_url, config.github.git_base_url) = (github.api_url(), github.git_url());
    config.github.token = TOKEN.to_owned().into();
    let client = GitHub::open(&config.github).unwrap().unwrap();
    let renamed = client.find_repository("octo", "old-name", &config).await.unwrap();
    let mut patience = Patience::new(Duration::from_secs(20));
    // What the server here answers is of no matter.
    let _ = renamed.issue_events(7, &mut patience).await;
    let _ = renamed.issue_last_edit(7).await;
    StatusComment::of(&renamed, 7).tidy().await.unwrap();
    // An organisation's, its own and another user's.
    for owner in ["octo", LOGIN, "ann"] {
        client.repositories_of(owner, &mut patience).await.unwrap();
    }
}

/// The same with an app's.
async fn poll_as_an_app(github: &TestGitHub) {
    let app = App::new().unwrap();
    let mut config = Config::defaults().unwrap().github;
    (config.base_url, config.git_base_url) = (github.api_url(), github.git_url());
    (config.app_id, config.app_key) = (APP_ID.to_string(), app.key.clone().into());
    github.install(app);
    let client = GitHub::open(&config).unwrap().unwrap();
    let repository = client.repository(&"octo/cat".parse().unwrap()).unwrap();
    let mut patience = Patience::new(Duration::from_secs(20));
    let since = "2024-12-08T09:00:00Z".parse().unwrap();
    client.own(&mut patience).await.unwrap();
    repository.changed_issues::<Value>(since, None, 10, &mut patience).await.unwrap();
    repository.changed_comments::<Value>(since, None, 10, &mut patience).await.unwrap();
    repository.permission("ann", &mut patience).await.unwrap();
    repository.comments(7, &mut patience).await.unwrap();
    client.repositories_of("octo", &mut patience).await.unwrap();
}

/// The method, the path with numbers left out, and the names in query and body.
fn kind_of(asked: &Asked) -> (String, String, Vec<String>) {
    let path = asked.path.chars().filter(|c| !c.is_ascii_digit()).collect();
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let query = asked.query.split('&').filter_map(|pair| pair.split('=').next());
    let names = query.chain(body.as_object().into_iter().flatten().map(|(name, _)| name.as_str()));
    (asked.method.clone(), path, names.map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prism and GitHub's description of its API: scripts/test --real"]
async fn what_is_asked_of_github_is_what_its_own_description_allows() {
    let requests = requests().await;
    assert_all_are_asked_for(&requests);
    let described = |request: &&Request| {
        let known = Endpoint::of(&request.method, &request.path, &request.query).unwrap();
        !UNDESCRIBED.contains(&known.path)
    };
    let rest: Vec<&Request> = requests.iter().filter(described).collect();
    let prism = Prism::start(&rest).await;
    for request in &rest {
        // What `check` sends to be told what the token may, has to be too little for anything to be made of it.
        if request.body == json!({}) {
            prism.assert_lacks_something(request);
        } else {
            prism.assert_allowed(request).await;
        }
    }
    // What would be wrong is told: the check can fail.
    for (ends, name, wrong) in [
        ("/pulls", "title", json!(7)),
        ("/pulls", "head", Value::Null),
        ("/comments", "body", json!(["text"])),
        ("/hooks", "events", json!("issues")),
        ("/access_tokens", "permissions", json!({"contents": "everything"})),
    ] {
        let mut broken = rest
            .iter()
            .find(|request| {
                request.method == "POST" && request.path.ends_with(ends) && request.body != json!({})
            })
            .map(|request| (*request).clone())
            .unwrap();
        broken.body[name] = wrong;
        prism.assert_refused(&broken).await;
    }
    let queries: Vec<&str> = Query::ALL.into_iter().map(Query::text).collect();
    assert_eq!(graphql::problems(&queries), [[""; 0]; 2]);
    for broken in [queries[0].replace("lastEditedAt", "editedAt"), queries[1].replace("ID!", "Int!")] {
        assert_ne!(graphql::problems(&[&broken])[0], [""; 0], "{broken}");
    }
}

/// Of each endpoint there is a request with all names that its query may have.
fn assert_all_are_asked_for(requests: &[Request]) {
    let lacking = |endpoint: &&Endpoint| {
        let asks = |request: &Request| {
            Endpoint::of(&request.method, &request.path, &request.query) == Some(*endpoint)
                && endpoint.query.iter().all(|name| request.query_names().contains(name))
        };
        !requests.iter().any(asks)
    };
    let lacking: Vec<&Endpoint> = ENDPOINTS.iter().filter(lacking).collect();
    assert!(lacking.is_empty(), "not asked for here, and so not checked: {lacking:#?}");
}
