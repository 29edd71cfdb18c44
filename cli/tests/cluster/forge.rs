//! A cluster whose repository is on GitHub, and what must be there when its one issue is done.

use std::fs;

use serde_json::Value;
use shared::{Status, TaskId, TaskRecord, TaskSpec, task::Trigger};
use testkit::{
    GitRemote, TestGitHub,
    audit::{Limits, audit},
    github::TOKEN,
    webhook::Opened,
};

use crate::pc::{Cluster, Pc, TIGHT, until};

const SECRET: &str = "a secret of the webhook";

/// Solves the issue, and leaves a process behind that outlives its group.
const SOLVING_AGENT: &str = r#"#!/bin/sh
cat > /dev/null
setsid sh -c 'while :; do sleep 1; done' "$0" &
echo working
echo 42 > answer
echo 'It is 42 now.'
"#;

pub struct Forge {
    pub cluster: Cluster,
    pub github: TestGitHub,
}

impl Forge {
    pub async fn new() -> Self {
        Self::with_agent(SOLVING_AGENT).await
    }

    /// On a Redis Cluster.
    pub async fn on_slots() -> Self {
        Self::on_slots_with(SOLVING_AGENT).await
    }

    pub async fn on_slots_with(script: &str) -> Self {
        Self::on(Cluster::on_slots(TIGHT, script)).await
    }

    pub async fn with_agent(script: &str) -> Self {
        Self::on(Cluster::with_agent(TIGHT, script)).await
    }

    pub async fn on(mut cluster: Cluster) -> Self {
        let files = [("Makefile", "test:\n\tgrep -qx 42 answer\n"), ("answer", "41\n")];
        let github = TestGitHub::start(GitRemote::with_files(&files).unwrap()).await.unwrap();
        let settings = [
            ("GITHUB_TOKEN", TOKEN),
            ("GITHUB_WEBHOOK_SECRET", SECRET),
            ("CLAUDE_CLUSTER__GITHUB__BASE_URL", &github.api_url()),
            ("CLAUDE_CLUSTER__GITHUB__GIT_BASE_URL", &github.git_url()),
            ("CLAUDE_CLUSTER__QUEUE__RETRY_BASE_MS", "50"),
        ];
        cluster.settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { cluster, github }
    }

    /// The task of issue 7, as a webhook makes it.
    pub fn task(id: &str) -> TaskSpec {
        TaskSpec {
            specialty: "backend".parse().unwrap(),
            issue: Some(7),
            trigger: Trigger::Labeled,
            ..TaskSpec::new(id.parse().unwrap(), "octo/cat".parse().unwrap(), "Correct the answer")
        }
    }

    pub async fn enqueue(&self) -> TaskId {
        let spec = Self::task("a");
        self.cluster.queue.enqueue_issue(&spec, None).await.unwrap();
        spec.id
    }

    /// Starts an ingester and returns it with the address of its webhooks.
    pub async fn ingester(&self, name: &str, variables: &[(&str, &str)]) -> (Pc, String) {
        let arguments = ["ingest", "--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"];
        let pc = self.cluster.spawn(name, name, &arguments, variables);
        let url = until("the ingester listens", || async {
            let log = pc.log();
            log.lines().find_map(|line| line.strip_prefix("webhooks: ")).map(str::to_owned)
        })
        .await;
        (pc, url)
    }

    /// Delivers that somebody has opened the issue; `None` when nobody answers.
    pub async fn deliver(url: &str, guid: &str) -> Option<(u16, Value)> {
        let title = "Correct the answer of the api";
        Opened { repository: "octo/cat", issue: 7, title, guid }.deliver(url, SECRET).await.ok()
    }

    /// One branch with one commit of what was asked for, one pull request, one comment that says so.
    pub async fn assert_published_once(&self, record: &TaskRecord) {
        let Status::Completed { result, .. } = &record.status else { panic!("{record:?}") };
        let branch = result.branch.clone().unwrap();
        let remote = self.github.remote();
        assert_eq!(remote.branches().unwrap(), [branch.clone(), "main".to_owned()]);
        assert_eq!(remote.read(&branch, "answer").unwrap(), "42\n");
        assert_eq!(remote.git(&["rev-list", "--count", &format!("main..{branch}")]).unwrap(), "1");
        assert_eq!(Some(remote.git(&["rev-parse", &branch]).unwrap()), result.commit);
        {
            let state = self.github.state();
            let pulls: Vec<_> = state.pulls.iter().map(|pull| (&pull.head, pull.is_open)).collect();
            assert_eq!(pulls, [(&branch, true)]);
            assert!(result.url.as_ref().unwrap().ends_with(&format!("/{}", state.pulls[0].number)));
        }
        until("the one comment says that it is done", || async {
            let state = self.github.state();
            assert_eq!(state.comments.len(), 1, "{:#?}", state.comments);
            state.comments[0].body.contains("**Done:**").then_some(())
        })
        .await;
        self.assert_settled_once(&record.id, "completed").await;
    }

    pub async fn assert_settled_once(&self, id: &TaskId, end: &str) {
        let events = self.cluster.queue.events_after(&"backend".parse().unwrap(), None, 1_000).await.unwrap();
        let ends = ["completed", "failed", "cancelled"];
        let settled: Vec<&str> = events
            .iter()
            .filter(|event| event.task == id.as_str() && ends.contains(&event.event.as_str()))
            .map(|event| event.event.as_str())
            .collect();
        assert_eq!(settled, [end]);
    }

    /// Neither in Redis nor among the processes is anything left of what was under way.
    pub async fn assert_nothing_left(&self) {
        let redis = &self.cluster.redis;
        let count = |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            redis.command::<u64>(&words).unwrap()
        };
        until("every effect has been carried out", || async {
            (count("XLEN ccc:{backend}:outbox") == 0).then_some(())
        })
        .await;
        audit(redis, "ccc", &Limits::default()).unwrap().assert_settled();
        assert_eq!(count("EXISTS ccc:issue:octo/cat#7"), 0);
        self.cluster.no_agent_left().await;
    }
}

/// Waits until no workspace is left on this PC.
pub async fn assert_no_workspace_left(pc: &Pc) {
    let root = pc.state.join("claude-cluster/workspaces");
    let left = || fs::read_dir(&root).map_or(0, Iterator::count);
    until("no workspace is left", || async { (left() == 0).then_some(()) }).await;
}
