//! Claude Code that is ended in the middle of its Bash tool, by whatever hand.

use nix::sys::signal::Signal;
use shared::Status;
use testkit::model_api::{Dialect, ModelApi, Turn};

use super::{
    home::eventually,
    killed,
    user::{AtWork, Cli, User, left_in_workspaces},
};

fn busy_user() -> User {
    let api = ModelApi::start(Dialect::Messages, |asked| killed::busy_once(asked, Turn::bash));
    User::new(Cli::Claude, api.unwrap())
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn a_stopped_worker_leaves_nothing_and_gives_the_task_back() {
    killed::a_stopped_worker_leaves_nothing_and_gives_the_task_back(&busy_user());
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn a_killed_worker_leaves_no_process_and_the_next_one_finishes_the_task() {
    killed::a_killed_worker_leaves_no_process_and_the_next_one_finishes_the_task(&busy_user());
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn claude_code_killed_alone_takes_its_tools_along_and_the_task_is_tried_again_later() {
    let user = busy_user();
    let at_work = AtWork::start(&user);
    user.signal_named("claude", Signal::SIGKILL);
    eventually("no tool is left", || user.sleepers() == 0);
    eventually("the task waits for another try", || {
        matches!(at_work.record().status, Status::Delayed { .. })
    });
    assert_eq!(at_work.record().attempts, 1);
    user.published_nothing();
    eventually("the workspace is gone", || left_in_workspaces(&user).is_empty());
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn a_cancel_kills_claude_code_with_everything_that_its_bash_started() {
    let user = busy_user();
    let at_work = AtWork::start(&user);
    at_work.cancel(&user);
    eventually("the task is cancelled", || matches!(at_work.record().status, Status::Cancelled { .. }));
    eventually("no tool is left", || user.sleepers() == 0);
    user.published_nothing();
}
