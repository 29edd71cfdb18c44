//! A cluster whose repository is on GitHub, with an ingester, and what must be there in the end.

use serde_json::{Value, json};
use shared::{Status, TaskRecord};
use testkit::{
    GitRemote, TestGitHub,
    github::{APP_ID, App, TOKEN},
};

use crate::{
    emulator::Emulator,
    mailbox::Mailbox,
    pc::{Cluster, LONG, Pc, until},
};

const SECRET: &str = "a secret of the webhook";
const AGENT: &str = "#!/bin/sh\ncat > prompt.txt\necho 42 > answer\necho 'It is 42 now.'\n";

pub const MAKE_PULL: &str = "POST /api/v3/repos/octo/cat/pulls";
pub const MAKE_COMMENT: &str = "POST /api/v3/repos/octo/cat/issues/1/comments";
pub const CHANGE_PULL: &str = "PATCH /api/v3/repos/octo/cat/pulls";
pub const CHANGE_COMMENT: &str = "PATCH /api/v3/repos/octo/cat/issues/comments";

pub struct Team {
    pub cluster: Cluster,
    pub emulator: Emulator,
    pub github: TestGitHub,
    pub mailbox: Mailbox,
    /// `None` where it was not to be started.
    pub ingester: Option<Pc>,
}

/// What is not as usual.
pub struct Setup {
    /// Signs in as this app instead of by a token.
    pub app: Option<App>,
    /// Variables of every process.
    pub variables: &'static [(&'static str, &'static str)],
    /// Without, nobody is told anything by GitHub.
    pub webhook: bool,
    pub ingester: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { app: None, variables: &[], webhook: true, ingester: true }
    }
}

impl Team {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let Setup { app, variables, webhook, ingester } = setup;
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
            ("CLAUDE_CLUSTER__QUEUE__RETRY_BASE_MS", "50"),
            ("GITHUB_WEBHOOK_SECRET", SECRET),
            ("CLAUDE_CLUSTER__GITHUB__BASE_URL", &github.api_url()),
            ("CLAUDE_CLUSTER__GITHUB__GIT_BASE_URL", &github.git_url()),
        ];
        let all = settings.into_iter().chain(variables.iter().copied());
        cluster.settings = all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mailbox = Mailbox::start().await;
        if webhook {
            let config = json!({"url": mailbox.url(), "secret": SECRET, "content_type": "json"});
            let events = ["issues", "issue_comment"];
            let hook = json!({"name": "web", "active": true, "events": events, "config": config});
            emulator.ask("POST", "hooks", &hook).await;
        }
        let mut team = Self { cluster, emulator, github, mailbox, ingester: None };
        if ingester {
            let (pc, url) = team.start_ingester("ingester", &[]).await;
            team.mailbox.send_to(&[&url]);
            team.ingester = Some(pc);
        }
        team
    }

    /// Starts an ingester and returns it with the address of its webhooks.
    pub async fn start_ingester(&self, name: &str, variables: &[(&str, &str)]) -> (Pc, String) {
        let arguments = ["ingest", "--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"];
        let pc = self.cluster.spawn(name, name, &arguments, variables);
        let url = until("the ingester listens", || async {
            let log = pc.log();
            log.lines().find_map(|line| line.strip_prefix("webhooks: ")).map(str::to_owned)
        })
        .await;
        (pc, url)
    }

    pub fn worker(&self) -> Pc {
        self.cluster.start("pc-1", "w1")
    }

    pub async fn open_issue(&self) {
        let issue = json!({"title": "Correct the answer", "body": "It must be 42."});
        assert_eq!(self.emulator.ask("POST", "issues", &issue).await["number"], 1);
    }

    pub async fn label(&self, label: &str) {
        self.emulator.ask("POST", "issues/1/labels", &json!({"labels": [label]})).await;
    }

    /// The owner comments on the issue.
    pub async fn comment(&self, text: &str) {
        self.emulator.ask("POST", "issues/1/comments", &json!({"body": text})).await;
    }

    /// Waits until GitHub has been asked this so many times.
    pub async fn asked(&self, request: &str, times: usize) {
        let count = || async { (self.github.faults().count(request) >= times).then_some(()) };
        until(&format!("{request} is asked for"), count).await;
    }

    /// Waits until so many deliveries were answered, and returns the first answer to the last of them.
    pub async fn answered(&self, deliveries: usize) -> (u16, Value) {
        let answers = until("the delivery is answered", || async {
            Some(self.mailbox.answers()).filter(|answers| answers.len() >= deliveries)
        });
        answers.await[deliveries - 1][0].clone().expect("an answer")
    }

    /// The comments that begin with the status' mark.
    pub async fn status_comments(&self) -> Vec<String> {
        let comments = self.emulator.get("issues/1/comments?per_page=100").await;
        let bodies = comments.as_array().unwrap().iter().map(|comment| comment["body"].as_str().unwrap());
        bodies.filter(|body| body.starts_with(shared::github::MARKER)).map(str::to_owned).collect()
    }

    /// Waits until the status comment contains `text`, and returns it.
    pub async fn says(&self, text: &str) -> String {
        until(&format!("the issue says {text}"), || async {
            let said = self.status_comments().await;
            assert!(said.len() <= 1, "{said:#?}");
            said.into_iter().find(|body| body.contains(text))
        })
        .await
    }

    /// Waits until the status comment says that it is done.
    pub async fn done(&self, pc: &Pc) {
        until("the comment says done", || async {
            let body = self.status_comments().await.pop().unwrap_or_default();
            assert!(!body.contains("**Failed"), "{body}\n{}", pc.log());
            body.contains("**Done:**").then_some(())
        })
        .await;
    }

    /// Every task in `status`, of all specialties.
    pub async fn tasks(&self, status: &str) -> Vec<TaskRecord> {
        let queue = &self.cluster.queue;
        let mut tasks = Vec::new();
        for specialty in queue.specialties().await.unwrap() {
            tasks.extend(queue.list(&specialty, status, None, 100).await.unwrap().tasks);
        }
        tasks
    }

    /// Waits until a task is in `status`, and returns it.
    pub async fn task(&self, status: &str) -> TaskRecord {
        until(&format!("a task is {status}"), || async { self.tasks(status).await.pop() }).await
    }

    /// Waits until a task has failed for want of something that has to be set up first; its message.
    pub async fn failed_to_be_set_up(&self) -> String {
        let record = self.task("failed").await;
        let Status::Failed { class, message, .. } = record.status else { panic!("{record:?}") };
        assert_eq!(class, shared::FailureClass::Configuration, "{message}");
        message
    }

    pub async fn assert_one_of_each(&self) -> Value {
        let pulls = self.emulator.get("pulls?state=all").await;
        assert_eq!(pulls.as_array().unwrap().len(), 1, "{pulls:#}");
        let comments = self.status_comments().await;
        assert_eq!(comments.len(), 1, "{comments:#?}");
        let branch = pulls[0]["head"]["ref"].as_str().unwrap();
        assert_eq!(self.github.remote().branches().unwrap(), [branch, "main"]);
        assert_eq!(self.github.remote().read(branch, "answer").unwrap(), "42\n");
        pulls[0].clone()
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        if let Some(ingester) = self.ingester.as_ref().filter(|_| std::thread::panicking()) {
            eprintln!("the ingester says:\n{}", ingester.log());
        }
    }
}
