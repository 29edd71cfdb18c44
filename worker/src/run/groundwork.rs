//! What is done with the tests before the agent: what they need is fetched, and where that is wished they run
//! once on the base branch, so that what was red before is told apart.

use shared::{Failure, config::TestConfig};

use super::{Problem, Reporter};
use crate::{
    cache::{DependencyCache, Kept},
    mirror::Base,
    verify::{Failures, TestPlan, TestRun, Verifier},
    workspace::Workspace,
    worktree::Worktree,
};

/// What the tests say without the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Baseline {
    /// Green, or nobody asked.
    Nothing,
    Red {
        tail: String,
        failures: Failures,
    },
}

impl Baseline {
    /// Whether a red run's output complains of nothing that was not there before.
    pub(super) fn explains(&self, tail: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Red { failures, .. } => Failures::of(tail).are_among(failures),
        }
    }

    /// The output that the agent is told of.
    pub(super) fn tail(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Red { tail, .. } => Some(tail),
        }
    }
}

pub(super) struct Groundwork<'a> {
    pub verifier: &'a Verifier<'a>,
    pub worktree: &'a Worktree<'a>,
    pub workspace: &'a Workspace,
    pub cache: DependencyCache<'a>,
    pub config: &'a TestConfig,
    pub reporter: &'a Reporter,
}

impl Groundwork<'_> {
    /// Leaves the tree as the base has it, but for what is ignored.
    pub(super) async fn lay(&self, plan: &TestPlan, base: &Base) -> Result<Baseline, Problem> {
        if plan.setup.is_none() && !plan.baseline {
            return Ok(Baseline::Nothing);
        }
        self.fetch(plan).await?;
        let baseline = if plan.baseline { self.run(plan).await? } else { Baseline::Nothing };
        self.worktree.restore(base).await?;
        Ok(baseline)
    }

    async fn fetch(&self, plan: &TestPlan) -> Result<(), Failure> {
        if plan.setup.is_none() {
            return Ok(());
        }
        let home = self.workspace.home();
        let keeps = self.config.cache_bytes_max > 0;
        if keeps && let Err(error) = self.cache.restore(&home).await {
            tracing::warn!(%error, "what earlier setups have fetched cannot be used");
        }
        // A base that cannot be set up is told; the change may mend it.
        if self.verifier.set_up(plan, self.reporter).await?.is_some() {
            self.reporter.engine("the setup of the tests fails on the base branch").await;
            return Ok(());
        }
        if keeps {
            match self.cache.keep(&home, &self.workspace.tree(), self.config.cache_bytes_max).await {
                Ok(Kept::Stored | Kept::Unchanged) => {}
                Ok(Kept::TooLarge) => {
                    self.reporter
                        .engine("what the setup fetches is more than test.cache_bytes_max and not kept")
                        .await;
                }
                Err(error) => tracing::warn!(%error, "what the setup has fetched cannot be kept"),
            }
        }
        Ok(())
    }

    async fn run(&self, plan: &TestPlan) -> Result<Baseline, Failure> {
        self.reporter.engine("the tests run on the base branch first").await;
        Ok(match self.verifier.run(plan, self.reporter).await? {
            TestRun::Passed { .. } | TestRun::NoneCollected => Baseline::Nothing,
            TestRun::Failed { tail, .. } => {
                self.reporter.engine("the tests are red on the base branch already").await;
                Baseline::Red { failures: Failures::of(&tail), tail }
            }
        })
    }
}
