//! How a run of a task ended, and what follows from it.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A run that ended in something a person can look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// A pull request stands on the forge.
    PullRequest { url: String, number: u64, branch: String, commit: String, tests: TestsSummary },
    /// A branch was pushed and nothing else: a plain git remote.
    Branch { branch: String, commit: String, tests: TestsSummary },
    /// The agent changed nothing; its answer is what there is.
    NoChange { answer: String },
}

/// What is known of the tests of the published commit. Only [`TestsSummary::Passed`] means that they passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tests", rename_all = "snake_case")]
pub enum TestsSummary {
    Passed {
        command: String,
        /// How many passed, where the runner's output says so.
        #[serde(default)]
        count: Option<u32>,
    },
    Failed {
        command: String,
        /// They fail in the same way on the base branch, without the change.
        #[serde(default)]
        as_before: bool,
    },
    NoneFound,
}

impl fmt::Display for TestsSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { command, count: Some(count) } => write!(f, "{count} passed ({command})"),
            Self::Passed { command, count: None } => write!(f, "passed ({command})"),
            Self::Failed { command, as_before: true } => {
                write!(f, "failed as on the base branch ({command})")
            }
            Self::Failed { command, as_before: false } => write!(f, "failed ({command})"),
            Self::NoneFound => f.write_str("none found"),
        }
    }
}

/// What kind of failure it was; this alone decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Clone or fetch failed, forge 5xx, agent overloaded, connection lost. Retried with back-off, counted.
    Transient,
    /// The agent account's limit. Returned uncounted; the account is suspended until the reset.
    UsageLimit,
    /// The lease ran out while Redis was up. Returned at once, counted apart; poison after three.
    LostWorker,
    /// Tests still red, budget or turns exhausted, timed out. Failed.
    Task,
    /// No credentials, agent missing, repository not allowed, unknown specialty. Failed at once.
    Configuration,
}

impl FailureClass {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::UsageLimit => "usage_limit",
            Self::LostWorker => "lost_worker",
            Self::Task => "task",
            Self::Configuration => "configuration",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FailureClass {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Transient, Self::UsageLimit, Self::LostWorker, Self::Task, Self::Configuration]
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or(())
    }
}

/// A run that ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{class}: {message}")]
pub struct Failure {
    pub class: FailureClass,
    /// For a person: what happened and what to do about it.
    pub message: String,
    /// How long until a limit resets, where the agent or the forge said so.
    pub retry_after: Option<Duration>,
    /// A branch with partial work, where some was kept.
    pub branch: Option<String>,
}

impl Failure {
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None, branch: None }
    }

    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FailureClass::Transient, message)
    }

    pub fn task(message: impl Into<String>) -> Self {
        Self::new(FailureClass::Task, message)
    }

    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(FailureClass::Configuration, message)
    }
}
