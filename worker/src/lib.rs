//! Claims tasks, runs the coding agent and the tests in an isolated workspace, publishes the result.

pub mod daemon;
pub mod executor;
mod guidance;
pub mod host;
pub mod run;
pub mod supervise;

mod account;
mod agent;
mod boot_clock;
mod bounded_read;
mod branch;
mod cache;
mod child;
mod credentials;
mod git;
mod github;
mod harmless;
mod health;
mod heartbeat;
mod identity;
mod ledger;
mod mirror;
mod output;
mod poller;
mod process_tree;
mod prompt;
mod publish;
mod redact;
mod sandbox;
mod scribe;
mod slot;
mod specialties;
mod stop;
mod sweeper;
mod system;
mod verify;
mod workspace;
mod worktree;

pub use daemon::{HeldEnd, WorkerError, run, run_held};
pub use executor::Executor;
pub use host::Host;
pub use slot::TaskEnd;
pub use stop::{Stop, StopLevel, StopSender};
