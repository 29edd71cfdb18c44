//! Claims tasks, runs the coding agent and the tests in an isolated workspace, publishes the result.

pub mod account;
mod boot_clock;
pub mod daemon;
mod executor;
mod heartbeat;
mod identity;
mod ledger;
mod poller;
mod reporter;
pub mod run;
mod slot;
mod specialties;
mod stop;
mod sweeper;
mod system;

pub use daemon::{HeldEnd, WorkerError, run, run_held};
pub use slot::TaskEnd;
pub use stop::{Stop, StopLevel, StopSender};
