//! Task model, lifecycle, queue on Redis, configuration and telemetry of Claude Code Cluster.
//!
//! The other crates depend on this one and never on each other: `cli -> {ingest, worker} -> shared`.
//! Only [`queue`] speaks Redis; no other module and no other crate names a key or a command.
//!
//! As a library: [`queue`] has a tour and an example; a task is a [`TaskSpec`], what Redis knows of it a [`TaskRecord`]
//! with its [`Status`], and [`lifecycle`] draws who moves it where.

pub mod config;
pub mod crash_point;
pub mod github;
pub mod harmless;
pub mod hidden_text;
pub mod lifecycle;
pub mod outcome;
pub mod queue;
pub mod repository;
pub mod retry;
pub mod specialty;
pub mod state_dir;
pub mod task;
pub mod task_id;
pub mod task_log;
pub mod telemetry;
pub mod worker_info;

pub use lifecycle::{Status, TaskRecord};
pub use outcome::{Failure, FailureClass, Outcome};
pub use repository::RepositoryName;
pub use specialty::Specialty;
pub use task::{Priority, TaskSpec};
pub use task_id::TaskId;
