//! A stage whose repository is on GitHub.

use std::time::Duration;

use shared::{Outcome, TaskSpec, task::Trigger};
use testkit::{GitRemote, TestGitHub, github::TOKEN};
use worker::run::RunEnd;

use crate::stage::{MAKEFILE, Run, Stage};

/// The path of the one issue's comments.
pub const COMMENTS: &str = "/issues/7/comments";

pub struct GitHubStage {
    pub stage: Stage,
    pub github: TestGitHub,
}

impl GitHubStage {
    /// The agent is this script.
    pub async fn new(script: &str) -> Self {
        let mut stage = Stage::new().agent(script);
        let remote = GitRemote::with_files(&[("Makefile", MAKEFILE), ("answer", "41\n")]).unwrap();
        let github = TestGitHub::start(remote).await.unwrap();
        let config = &mut stage.config.github;
        config.token = TOKEN.to_owned().into();
        config.base_url = github.api_url();
        config.git_base_url = github.git_url();
        (config.timeout_ms, config.write_pause_ms) = (2_000, 0);
        Self { stage, github }
    }

    /// With an agent that does what issue 7 asks for.
    pub async fn solving() -> Self {
        Self::new("cat >/dev/null; echo 42 > answer; echo 'It is 42 now.'").await
    }

    /// The task of issue 7, as a webhook makes it.
    pub fn task(&self) -> TaskSpec {
        let mut spec = self.stage.task("Correct the answer");
        spec.repository = "octo/cat".parse().unwrap();
        (spec.issue, spec.trigger) = (Some(7), Trigger::Labeled);
        "It must be 42.".clone_into(&mut spec.body);
        spec.triggered_at_ms = Some(1_733_652_000_000);
        spec
    }

    pub async fn run(&self) -> Run {
        self.stage.run(self.task()).await
    }

    /// Waits until GitHub has been asked this.
    pub async fn until_asked(&self, request: &str) {
        while self.github.faults().count(request) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The text of the one status comment.
    pub fn status(&self) -> String {
        let state = self.github.state();
        let ours: Vec<_> =
            state.comments.iter().filter(|c| c.body.contains("claude-cluster:status")).collect();
        assert_eq!(ours.len(), 1, "{ours:#?}");
        ours[0].body.clone()
    }
}

impl Run {
    /// Number and branch of the pull request that the run ended in.
    pub fn pull_request(&self) -> (u64, &str) {
        match &self.end {
            RunEnd::Finished(Outcome::PullRequest { number, branch, .. }) => (*number, branch),
            _ => panic!("no pull request: {self:#?}"),
        }
    }
}
