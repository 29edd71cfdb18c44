//! From an issue to its pull request through an emulator of GitHub that others have made: its webhooks go to a real
//! ingester, a real worker clones and pushes by HTTP with a token and talks to the emulator's API.
//!
//! `scripts/test --real` fetches the emulator and names it in `CLAUDE_CLUSTER_TEST_EMULATE`. What it lacks, git over
//! HTTP and failures, stands before it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "real_github/emulator.rs"]
mod emulator;
#[path = "cluster/pc.rs"]
#[expect(dead_code, reason = "shared with the tests of a cluster")]
mod pc;

use std::{
    io::{self, BufRead, BufReader},
    process::{Child, Stdio},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::{
    GitRemote, TestGitHub,
    faults::Fault,
    github::{APP_ID, APP_LOGIN, App, TOKEN},
};

use emulator::Emulator;
use pc::{Cluster, LONG, Pc, until};

const SECRET: &str = "a secret of the webhook";
const AGENT: &str = "#!/bin/sh\ncat > prompt.txt\necho 42 > answer\necho 'It is 42 now.'\n";

const MAKE_PULL: &str = "POST /api/v3/repos/octo/cat/pulls";
const MAKE_COMMENT: &str = "POST /api/v3/repos/octo/cat/issues/1/comments";
const CHANGE_PULL: &str = "PATCH /api/v3/repos/octo/cat/pulls";
const CHANGE_COMMENT: &str = "PATCH /api/v3/repos/octo/cat/issues/comments";

/// A cluster whose repository is on GitHub, with its ingester.
struct Team {
    cluster: Cluster,
    emulator: Emulator,
    github: TestGitHub,
    ingester: Child,
}

impl Team {
    async fn new() -> Self {
        Self::with(None).await
    }

    /// Signs in as this app instead of by a token.
    async fn with(app: Option<App>) -> Self {
        let mut cluster = Cluster::with_agent(LONG, AGENT);
        let emulator = Emulator::start(cluster.dir.path(), app.as_ref().map(|app| app.key.as_str())).await;
        let files = [("Makefile", "test:\n\tgrep -qx 42 answer\n"), ("answer", "41\n")];
        let remote = GitRemote::with_files(&files).unwrap();
        let github = TestGitHub::before(emulator.url(), remote).await.unwrap();
        let (token, app_id, app_key) = match &app {
            Some(app) => ("", APP_ID.to_string(), app.key.clone()),
            None => (TOKEN, String::new(), String::new()),
        };
        let settings = [
            ("GITHUB_TOKEN", token),
            ("CLAUDE_CLUSTER__GITHUB__APP_ID", &app_id),
            ("CLAUDE_CLUSTER__GITHUB__APP_KEY", &app_key),
            ("CLAUDE_CLUSTER__GITHUB__WRITE_PAUSE_MS", "0"),
            ("GITHUB_WEBHOOK_SECRET", SECRET),
            ("CLAUDE_CLUSTER__GITHUB__BASE_URL", &github.api_url()),
            ("CLAUDE_CLUSTER__GITHUB__GIT_BASE_URL", &github.git_url()),
        ];
        cluster.settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let ingester = start_ingester(&cluster, &emulator).await;
        Self { cluster, emulator, github, ingester }
    }

    fn worker(&self) -> Pc {
        self.cluster.start("pc-1", "w1")
    }

    async fn open_issue(&self) {
        let issue = json!({"title": "Correct the answer", "body": "It must be 42."});
        assert_eq!(self.emulator.ask("POST", "issues", &issue).await["number"], 1);
    }

    /// Waits until GitHub has been asked this so many times.
    async fn asked(&self, request: &str, times: usize) {
        let count = || async { (self.github.faults().count(request) >= times).then_some(()) };
        until(&format!("{request} is asked for"), count).await;
    }

    /// Waits until the one status comment says that it is done.
    async fn done(&self, pc: &Pc) {
        let said = || async {
            let comments = self.emulator.get("issues/1/comments").await;
            let body = comments[0]["body"].as_str().unwrap_or_default().to_owned();
            assert!(!body.contains("**Failed"), "{body}\n{}", pc.log());
            body.contains("**Done:**").then_some(())
        };
        until("the comment says done", said).await;
    }

    async fn assert_one_of_each(&self) -> Value {
        let pulls = self.emulator.get("pulls?state=all").await;
        assert_eq!(pulls.as_array().unwrap().len(), 1, "{pulls:#}");
        let comments = self.emulator.get("issues/1/comments").await;
        assert_eq!(comments.as_array().unwrap().len(), 1, "{comments:#}");
        let branch = pulls[0]["head"]["ref"].as_str().unwrap();
        assert_eq!(self.github.remote().branches().unwrap(), [branch, "main"]);
        assert_eq!(self.github.remote().read(branch, "answer").unwrap(), "42\n");
        pulls[0].clone()
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        let _ = self.ingester.kill();
        let _ = self.ingester.wait();
    }
}

/// Starts an ingester and has the emulator send its webhooks there.
async fn start_ingester(cluster: &Cluster, emulator: &Emulator) -> Child {
    let state = cluster.dir.path().join("ingester");
    std::fs::create_dir(&state).unwrap();
    let mut command = cluster.command(&state);
    command
        .args(["ingest", "--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    // More lines follow, and a program whose output nobody reads ends.
    std::thread::spawn(move || io::copy(&mut said, &mut io::sink()));
    let url = line.trim().strip_prefix("webhooks: ").unwrap();
    let config = json!({"url": url, "secret": SECRET, "content_type": "json"});
    let hook = json!({"name": "web", "active": true, "events": ["issues"], "config": config});
    emulator.ask("POST", "hooks", &hook).await;
    child
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn an_issue_becomes_a_pull_request_and_a_second_task_updates_the_same_one() {
    let team = Team::new().await;
    let pc = team.worker();
    team.open_issue().await;
    team.done(&pc).await;
    let first = team.assert_one_of_each().await;
    assert!(first["body"].as_str().unwrap().starts_with("Closes #1\n"), "{first:#}");

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
    let team = Team::with(Some(App::new().unwrap())).await;
    let pc = team.worker();
    team.open_issue().await;
    team.done(&pc).await;
    let pull = team.assert_one_of_each().await;
    assert_eq!(pull["user"]["login"], APP_LOGIN, "{pull:#}");
    let comments = team.emulator.get("issues/1/comments").await;
    assert_eq!(comments[0]["user"]["login"], APP_LOGIN, "{comments:#}");
    assert!(!pc.log().contains("PRIVATE KEY") && !pc.log().contains("ghs_"), "{}", pc.log());
}

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
