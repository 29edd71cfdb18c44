//! One file a command: its options, and what it does.

pub mod agents;
pub mod cancel;
pub mod classify;
pub mod config_show;
pub mod create_task;
pub mod github;
pub mod ingest;
pub mod join_command;
pub mod logs;
pub mod run_task;
pub mod setup;
pub mod start_coordinator;
pub mod start_node;
pub mod status;
pub mod up;
pub mod worker;
pub mod workflow;

use shared::TaskId;

/// A task id on the command line.
pub fn task_id(text: &str) -> Result<TaskId, String> {
    text.parse().map_err(|error: shared::task_id::InvalidTaskId| error.to_string())
}
