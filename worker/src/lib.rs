//! Claims tasks, runs the coding agent and the tests in an isolated workspace, publishes the result.

pub mod executor;
pub mod host;
pub mod run;
pub mod supervise;

mod agent;
mod bounded_read;
mod branch;
mod child;
mod credentials;
mod git;
mod mirror;
mod output;
mod process_tree;
mod prompt;
mod publish;
mod redact;
mod sandbox;
mod verify;
mod workspace;
mod worktree;
