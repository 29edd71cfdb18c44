//! A worker that is stopped or killed while a tool of its agent runs.

use nix::sys::signal::Signal;
use shared::Status;
use testkit::model_api::{Asked, Turn};

use super::{
    home::eventually,
    user::{AtWork, User, left_in_workspaces},
};

/// Leaves one process in the tool's own session and one outside of it.
pub const BUSY: &str = "touch tool-runs; (setsid sleep 600 &); exec sleep 600";

/// A tool that never ends, and for whoever begins anew the whole work.
pub fn busy_once(asked: &Asked, tool: impl Fn(&str) -> Turn) -> Turn {
    match asked.number {
        0 => tool(BUSY),
        1 => tool("echo 42 > answer"),
        _ => Turn::say("Done."),
    }
}

/// SIGTERM: the agent may go on for `worker.drain_ms`, then the task is given back uncounted.
pub fn a_stopped_worker_leaves_nothing_and_gives_the_task_back(user: &User) {
    let mut at_work = AtWork::start(user);
    at_work.worker.signal(Signal::SIGTERM);
    assert_eq!(at_work.worker.code(), 0, "{}", at_work.worker.output());
    user.home.assert_no_process_is_left();
    assert_eq!(left_in_workspaces(user), [""; 0]);
    let record = at_work.record();
    assert!(matches!(record.status, Status::Pending), "{record:?}");
    assert_eq!((record.attempts, record.lost), (0, 0));
    user.published_nothing();
    at_work.restart(user);
    at_work.assert_completed_in_the_end();
}

/// SIGKILL: the agent dies with its worker, and the next process of the worker finishes the task.
pub fn a_killed_worker_leaves_no_process_and_the_next_one_finishes_the_task(user: &User) {
    let mut at_work = AtWork::start(user);
    at_work.worker.signal(Signal::SIGKILL);
    assert_eq!(at_work.worker.code(), -1);
    user.home.assert_no_process_is_left();
    user.published_nothing();
    at_work.restart(user);
    at_work.assert_completed_in_the_end();
    assert_eq!(at_work.record().lost, 1);
    eventually("the workspaces are gone", || left_in_workspaces(user).is_empty());
}
