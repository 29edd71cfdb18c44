//! The states of a task, who moves it out of each, and when.
//!
//! ```text
//!   create-task        enqueue
//!       |                 |
//!       v     release     v        claim            complete
//!     held ----------> pending ------------> active ---------> completed
//!       |                 ^  ^                 |  |    fail
//!       |   run-task      |  |  release        |  +----------> failed
//!       +-----------------|--|-- (to active)   |  |    cancel flag, then any end of the run
//!                         |  |  reclaim        |  +----------> cancelled
//!                         |  +-----------------+
//!                         |   due              | retry (transient failure, attempts left)
//!                         +------ delayed <----+
//! ```
//! `cancel` moves held, pending and delayed straight to cancelled; a manual retry (`rerun`) moves failed and cancelled
//! to pending, a forced release active to pending. Every arrow is one Lua script in
//! `queue/lua` and one function in [`crate::queue`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{FailureClass, Priority, RepositoryName, Specialty, TaskId};

/// A fencing token: grows with every claim of a task, so that what an earlier holder does late is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The directory of one run, below the workspace root of its worker.
pub fn workspace_name(task: &TaskId, fence: Fence) -> String {
    format!("{task}-{fence}")
}

/// Milliseconds since the Unix epoch, by Redis' clock.
pub type UnixMs = u64;

/// Where a task is, with what is known only there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// Made by `create-task`, in no stream; left by `run-task` or `release`.
    Held,
    /// Waiting to be claimed; left by a claim or a cancel.
    Pending,
    /// Leased by one worker; left by settlement, or by reclaim when the lease ran out.
    Active {
        worker: String,
        fence: Fence,
        claimed_at: UnixMs,
        lease_expires_at: UnixMs,
        /// What the worker last said it does, such as `testing`.
        phase: String,
        phase_since: UnixMs,
        cancel_requested: bool,
    },
    /// Waiting for its retry; left when due, or by a cancel.
    Delayed { due_at: UnixMs },
    /// Done.
    Completed { finished_at: UnixMs, result: Settled },
    /// Given up; see the class and the message.
    Failed { finished_at: UnixMs, class: FailureClass, message: String, branch: Option<String> },
    /// Cancelled by a person or as a duplicate.
    Cancelled { finished_at: UnixMs, reason: String },
}

/// The outcome as the record keeps it, in short plain fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// `pull_request`, `branch` or `no_change`.
    pub outcome: String,
    pub branch: Option<String>,
    pub commit: Option<String>,
    pub url: Option<String>,
    pub tests: Option<String>,
    /// The agent's answer where it changed nothing.
    pub message: Option<String>,
}

impl Status {
    /// The word that Redis and every output use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Pending => "pending",
            Self::Active { .. } => "active",
            Self::Delayed { .. } => "delayed",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Whether nothing moves the task on by itself any more.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled { .. })
    }
}

/// The run that a task has now, or had last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    pub worker: String,
    pub claimed_at: UnixMs,
}

/// A task as Redis has it now: the plain fields. The specification is read apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    pub id: TaskId,
    pub repository: RepositoryName,
    pub issue: Option<u64>,
    /// Cut to 64 bytes; the specification has it whole.
    pub title: String,
    pub specialty: Specialty,
    pub priority: Priority,
    pub created_at: UnixMs,
    /// How often it was claimed.
    pub runs: u32,
    /// Transient failures that counted.
    pub attempts: u32,
    /// Leases that ran out while Redis was up, or whose worker process was proven dead.
    pub lost: u32,
    /// What its agents have cost in all runs, in millionths of a US dollar, as far as they told.
    pub micro_usd: u64,
    /// `None` until the first claim.
    pub last_run: Option<LastRun>,
    /// The specialty that it is being moved to; nobody claims it on the way.
    pub moving_to: Option<Specialty>,
    #[serde(flatten)]
    pub status: Status,
}
