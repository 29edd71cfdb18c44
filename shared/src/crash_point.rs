//! Every place where a process may die, or freeze, between two effects: tests let it happen exactly there.
//!
//! Compiled in for tests alone. The feature `crash-points` is asked for by development dependencies only, so that
//! what `cargo build` and `cargo install` make has no trace of it: there [`CrashPoint::reached`] is nothing.

use std::{collections::HashMap, hash::BuildHasher};

macro_rules! crash_points {
    ($($(#[doc = $what:literal])+ $point:ident,)+) => {
        /// What has just been done, and what has not yet.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "crash-points", derive(Debug))]
        pub enum CrashPoint {
            $($(#[doc = $what])+ $point,)+
        }

        #[cfg(feature = "crash-points")]
        impl CrashPoint {
            /// Each with the name that arms it.
            pub const ALL: &[(Self, &str)] = &[$((Self::$point, stringify!($point)),)+];
        }
    };
}

crash_points! {
    /// An issue's key is taken for a minute; the task has no locator.
    IssueTaken,
    /// It is remembered what the issue was triggered by, and the task that is to come of it; there is no task.
    TriggerKept,
    /// A task's locator is taken; there is no task.
    LocatorTaken,
    /// A task is enqueued, or held, whose locator is in another slot; the locator has an end still.
    Admitted,
    /// The task of an issue is enqueued; the issue's key lasts a minute.
    IssueEnqueued,
    /// The issue's key lasts; the delivery is not remembered.
    IssueKept,
    /// The delivery is remembered; whoever sent it has no answer.
    DeliveryKept,

    /// An ingester may write on an issue, whose task waits; it has not.
    WaitingAsked,
    /// The issue says that its task waits; the turn to write there is not given back.
    WaitingSaid,

    /// A repository's turn to be polled is taken; nothing has been looked at.
    PollTurnTaken,
    /// All events of a page have been handled; the cursors stand before it.
    PageHandled,
    /// The cursors stand behind it; the turn is taken still.
    CursorsMoved,

    /// A task is marked as moving to another specialty; it is not there.
    MoveMarked,
    /// It is there as well, arriving; its locator names where it came from.
    MoveCopied,
    /// Its locator names where it goes to; it is still in both.
    MoveSwapped,
    /// It has gone from where it was; it is arriving still.
    MoveLeft,
    /// The issue of a task that is to run again is taken for a minute; the task has ended still.
    RerunIssueTaken,
    /// It is pending; its issue's key lasts a minute, its locator has an end.
    RerunPending,

    /// A worker's first beat is told; its former self's tasks are not given back.
    Announced,
    /// They are given back; nothing has been claimed.
    Forfeited,
    /// Tasks are claimed; the worker does not renew them.
    Claimed,
    /// A held task is claimed by id; the worker does not renew it.
    HeldClaimed,
    /// A task is renewed; its issue's key may not name it.
    Entered,
    /// A second task of an issue is asked to be cancelled; it is not given back.
    DuplicateFlagged,
    /// The issue's key names the task; it has no workspace.
    IssueOwned,
    /// The task is on its way to another specialty; it is not there.
    Referred,
    /// The task has a workspace; the issue says nothing of it.
    WorkspaceMade,
    /// The issue says that work begins; nothing is cloned.
    BeginSaid,
    /// The repository is cloned; the agent is not started.
    CheckedOut,
    /// The agent runs.
    AgentStarted,
    /// What an agent has cost is counted for the task; on a Cluster not for its account, and the run does not know.
    Charged,
    /// The agent has ended; nothing is tested.
    AgentEnded,
    /// The work is tested; there is no commit.
    Tested,
    /// There is a commit; it has not left the sandbox.
    Committed,
    /// The commit is in a repository of the worker's own; the fence is not asked.
    Received,
    /// The fence stands; nothing is pushed.
    FenceAsked,
    /// The branch is pushed; there is no pull request.
    Pushed,
    /// The fence stands; no pull request is opened or changed.
    FenceAskedAgain,
    /// There is a pull request; the workspace is there still.
    Proposed,
    /// It has its labels and people; it may be the draft of an earlier run.
    Adorned,
    /// The workspace is gone; the issue says that work goes on.
    WorkspaceRemoved,
    /// The issue says how it ended; the task is not settled.
    EndSaid,
    /// The agent account is suspended; the task that met its limit is not given back.
    AccountSuspended,
    /// The task is moved on; its worker does not know.
    Settled,
    /// It is settled for good; what follows from that in other slots is due.
    EffectDue,
    /// The issue is free again; the task's locator has no end.
    IssueFreed,
    /// The locator has an end; the effect is due still.
    LocatorEnds,
    /// All tasks are given back; the worker has not taken its leave.
    GivenBack,
}

/// What arms a point: its name to be killed there, `NAME:freeze` to be stopped once until somebody says continue.
#[cfg(feature = "crash-points")]
const VARIABLE: &str = "CLAUDE_CLUSTER_CRASH_POINT";

/// Arms what `variables`, the environment, name. Of no effect outside of tests.
pub fn arm<S: BuildHasher>(variables: &HashMap<String, String, S>) {
    #[cfg(feature = "crash-points")]
    armed::arm(variables.get(VARIABLE).map(String::as_str));
    #[cfg(not(feature = "crash-points"))]
    let _ = variables;
}

impl CrashPoint {
    /// The process has come to this point.
    #[cfg(feature = "crash-points")]
    pub fn reached(self) {
        armed::reached(self);
    }

    /// The process has come to this point, and goes on.
    #[cfg(not(feature = "crash-points"))]
    #[inline]
    pub const fn reached(self) {}
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::{
        process,
        sync::{
            OnceLock,
            atomic::{AtomicBool, Ordering},
        },
    };

    use nix::sys::signal::{Signal, raise};

    use super::CrashPoint;

    static ARMED: OnceLock<(CrashPoint, Signal)> = OnceLock::new();
    static MET: AtomicBool = AtomicBool::new(false);

    pub fn arm(text: Option<&str>) {
        let Some(text) = text else { return };
        let (name, signal) = match text.split_once(':') {
            Some((name, "freeze")) => (name, Signal::SIGSTOP),
            _ => (text, Signal::SIGKILL),
        };
        let Some((point, _)) = CrashPoint::ALL.iter().find(|(_, known)| *known == name) else {
            tracing::error!(name, "there is no such crash point");
            process::abort();
        };
        let _ = ARMED.set((*point, signal));
    }

    pub fn reached(point: CrashPoint) {
        let Some((_, signal)) = ARMED.get().filter(|(armed, _)| *armed == point) else { return };
        if !MET.swap(true, Ordering::Relaxed) {
            tracing::info!(?point, %signal, "crash point");
            // To this thread, not to the process: another thread would take the stop, and this one run on meanwhile.
            let _ = raise(*signal);
        }
    }
}
