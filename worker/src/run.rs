//! One run of a task: workspace, agent, tests, publication.
//!
//! A run knows nothing of Redis. It is told to stop, it reports, and it asks before each publishing step
//! whether its lease still stands.

mod agent_round;
mod attempt;
mod commit_message;
mod completion;
mod delivery;
mod groundwork;
mod issue_talk;
mod opinion;
mod reporter;
mod spending;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use shared::{Failure, Outcome, Specialty, TaskSpec, lifecycle::Fence, task_log::LogLine};
use tokio::sync::{mpsc, watch};

pub use self::spending::{Allowance, Charge};
pub(crate) use self::{
    attempt::Attempt, issue_talk::IssueTalk, opinion::Opinion, reporter::Reporter, spending::Spending,
};

/// Reports that wait for the queue. When it is full the run waits, and with it the agent's pipe.
pub const REPORTS_MAX: usize = 256;

/// What a run does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Mirror and workspace.
    Preparing,
    /// The agent works; rounds count from 1.
    Agent { round: u32 },
    /// The tests run.
    Testing { round: u32 },
    /// Commit, fence check, push.
    Publishing,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preparing => f.write_str("preparing"),
            Self::Agent { round: 1 } => f.write_str("agent"),
            Self::Agent { round } => write!(f, "fixing (round {round})"),
            Self::Testing { round: 1 } => f.write_str("testing"),
            Self::Testing { round } => write!(f, "testing (round {round})"),
            Self::Publishing => f.write_str("publishing"),
        }
    }
}

/// Why a run is told to stop; a later variant overrides an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopReason {
    /// The worker ends; the task goes back uncounted.
    Shutdown,
    /// A person cancelled the task.
    Cancelled { by: String },
    /// Another holds the task, or nobody can say: nothing may be published.
    LeaseLost,
}

/// What a run tells while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Phase(Phase),
    Line(LogLine),
}

/// The answer to "may I publish?".
pub type FenceCheck = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// A run's connection to whoever holds the lease.
pub struct RunControl {
    /// `Some` as soon as the run must end. Every wait of a run listens to it.
    pub stop: watch::Receiver<Option<StopReason>>,
    pub reports: mpsc::Sender<Report>,
    /// Asked before each publishing step; `false` means that the lease is gone.
    pub still_held: FenceCheck,
    /// Asked before each word on the issue; may wait until another has ended there what it says.
    pub may_tell: FenceCheck,
    /// Told what the agent's calls have cost, and asked before each what may still be spent.
    pub charge: Charge,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct RunInput {
    pub spec: TaskSpec,
    /// Which claim of the task this is, from 1.
    pub run: u32,
    /// Transient failures that counted so far.
    pub attempts: u32,
    pub fence: Fence,
    /// The worker's node id, for the commit's trailers.
    pub node: String,
    /// Specialties that workers serve, for a second opinion; empty: none is asked for.
    pub choices: Vec<Specialty>,
}

/// How a run ended. By then no process of the run is alive and its workspace is gone (or kept, if so configured).
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnd {
    Finished(Outcome),
    Failed(Failure),
    Stopped(StopReason),
    /// Nothing was done: this machine cannot run anything now, which is nobody's failure.
    NotBegun {
        why: String,
    },
    /// Nothing was begun: it belongs to another specialty, as the specification says now.
    Referred(Box<TaskSpec>),
}

/// What ends an attempt without an outcome.
#[derive(Debug)]
pub(crate) enum Problem {
    Failed(Failure),
    /// The fence check said no: another may hold the task.
    LeaseLost,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
