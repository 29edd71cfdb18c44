//! From what the agent has made to what people find.

use std::path::Path;

use shared::{
    Outcome, crash_point::CrashPoint, github::Repository, harmless::harmless, outcome::TestsSummary,
    task::cut,
};

use super::{Phase, Problem, attempt::Attempt, commit_message::commit_message};
use crate::{
    agent::Answer,
    github::{Content, Published, PullRequests, Standing},
    mirror::Base,
    publish::{Changes, Forge, Publication, Pushed, Remote, Rules, Work, publish, pull_request},
    worktree::{Snapshot, Worktree},
};

/// What the agent has made and the tests have said of it.
pub(super) struct Made {
    pub snapshot: Snapshot,
    pub tests: TestsSummary,
    pub answer: Answer,
    pub rounds: u32,
}

/// What became of work whose tests are red.
pub(super) enum Kept {
    Nowhere,
    /// For people to go on with.
    Draft {
        branch: String,
        url: String,
    },
    /// Pushed, but no pull request could be made.
    Branch {
        branch: String,
        why: String,
    },
    /// An earlier result is there, and is not replaced by a worse one.
    BehindOpen,
}

/// Where one run's work goes.
pub(super) struct Delivery<'a> {
    pub attempt: &'a Attempt<'a>,
    pub remote: &'a Remote,
    pub mirror: &'a Path,
    pub worktree: &'a Worktree<'a>,
    pub base: &'a Base,
    /// The branch, unless pull requests from it were closed.
    pub branch: &'a str,
}

impl Delivery<'_> {
    /// Publishes work that is good.
    pub(super) async fn deliver(&self, made: Made) -> Result<Outcome, Problem> {
        let reporter = self.attempt.reporter;
        let phase = reporter.begin(Phase::Publishing).await;
        let outcome = match &self.remote.forge {
            Forge::PlainGit => {
                let Pushed { commit, .. } = self.push(self.branch, &made).await?;
                Outcome::Branch { branch: self.branch.to_owned(), commit, tests: made.tests }
            }
            Forge::GitHub(repository) => {
                let (branch, standing) =
                    PullRequests(repository).free_branch(self.branch, &self.base.branch).await?;
                let Pushed { commit, changes } = self.push(&branch, &made).await?;
                let draft = match made.tests {
                    TestsSummary::Failed { .. } => true,
                    TestsSummary::NoneFound => self.attempt.config.publish.draft_untested,
                    TestsSummary::Passed { .. } => false,
                };
                let content = Content { draft, ..self.content(&made, changes) };
                let published = self.propose(repository, &branch, &content).await?;
                if standing == Standing::Draft && !draft {
                    self.make_ready(repository, &published).await;
                }
                let Published { url, number, .. } = published;
                Outcome::PullRequest { url, number, branch, commit, tests: made.tests }
            }
        };
        reporter.took(phase).await;
        Ok(outcome)
    }

    /// Keeps work whose tests are red, as a draft pull request where there is a forge and that is wished.
    pub(super) async fn keep(&self, made: &Made) -> Result<Kept, Problem> {
        let Forge::GitHub(repository) = &self.remote.forge else { return Ok(Kept::Nowhere) };
        let rules = self.attempt.config.rules(&self.attempt.input.spec.repository);
        if !rules.is_ok_and(|rules| rules.draft_on_red()) {
            return Ok(Kept::Nowhere);
        }
        let phase = self.attempt.reporter.begin(Phase::Publishing).await;
        let (branch, standing) = PullRequests(repository).free_branch(self.branch, &self.base.branch).await?;
        if standing == Standing::Open {
            return Ok(Kept::BehindOpen);
        }
        let Pushed { changes, .. } = self.push(&branch, made).await?;
        let proposed = self.propose(repository, &branch, &self.content(made, changes)).await;
        self.attempt.reporter.took(phase).await;
        match proposed {
            Ok(Published { url, .. }) => Ok(Kept::Draft { branch, url }),
            Err(Problem::Failed(failure)) => Ok(Kept::Branch { branch, why: failure.message }),
            Err(lost @ Problem::LeaseLost) => Err(lost),
        }
    }

    /// Commits, and pushes the commit.
    async fn push(&self, branch: &str, made: &Made) -> Result<Pushed, Problem> {
        let Attempt { git, workspace, still_held, reporter, input, config, .. } = *self.attempt;
        let message = commit_message(&input.spec, &input.node);
        self.worktree.bundle(&made.snapshot, self.base, &message).await?;
        CrashPoint::Committed.reached();
        let access = self.remote.access().await?;
        let publication = Publication {
            git,
            workspace,
            mirror: self.mirror,
            url: &self.remote.url,
            access: access.as_ref(),
            branch,
            base: self.base,
            tested: &made.snapshot,
            rules: Rules {
                protected: &config.publish.protected_paths,
                bytes_max: config.publish.change_bytes_max,
                secrets: reporter.redactor(),
            },
            still_held,
        };
        let pushed = publish(&publication).await?;
        reporter.engine(&format!("pushed {} to {branch}", cut(&pushed.commit, 12))).await;
        Ok(pushed)
    }

    /// The pushed branch becomes a pull request, with labels and people where they are configured.
    async fn propose(
        &self,
        repository: &Repository,
        branch: &str,
        content: &Content,
    ) -> Result<Published, Problem> {
        let reporter = self.attempt.reporter;
        let pulls = PullRequests(repository);
        let published = pulls.publish(branch, content, self.attempt.still_held).await?;
        CrashPoint::Proposed.reached();
        reporter.engine(&format!("pull request #{}: {}", published.number, published.url)).await;
        if let Err(problem) = pulls.adorn(&published, &self.attempt.config.publish).await {
            reporter.engine(&format!("labels, assignees or reviewers were not set: {problem}")).await;
        }
        CrashPoint::Adorned.reached();
        Ok(published)
    }

    /// What was a draft because its tests were red is none any more.
    async fn make_ready(&self, repository: &Repository, published: &Published) {
        let reporter = self.attempt.reporter;
        match PullRequests(repository).make_ready(published).await {
            Ok(()) => reporter.engine("the draft of an earlier run is ready for review now").await,
            Err(problem) => {
                let line = format!("it is still a draft of an earlier run: mark it as ready ({problem})");
                reporter.engine(&line).await;
                self.attempt.talk.still_a_draft();
            }
        }
    }

    /// A draft; the texts are harmless and without secrets.
    fn content(&self, made: &Made, changes: Changes) -> Content {
        let Attempt { input, reporter, talk, .. } = *self.attempt;
        let work = Work { answer: &made.answer.text, changes, tests: &made.tests, rounds: made.rounds };
        let body = pull_request(input.spec.issue, &work, &talk.facts());
        Content {
            title: reporter.redact(&harmless(&input.spec.title)),
            body: reporter.redact(&body),
            base: self.base.branch.clone(),
            draft: true,
        }
    }
}
