//! Why a command did not do what it was asked to.

use std::{io, net::SocketAddr, path::PathBuf};

use shared::{Failure, TaskId, config::ConfigError, queue::QueueError, telemetry::TelemetryError};

use ingest::{IngestError, classify::ClassifyError};
use worker::WorkerError;

use crate::embedded_redis::EmbeddedRedisError;

/// A failed command, as its user is told. `exit_code` says what each means to a script.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting that only this command can judge.
    #[error("{0}")]
    Setting(String),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("cannot use the state directory {}: {source}", path.display())]
    StateDir { path: PathBuf, source: io::Error },
    #[error("no home directory is known; set HOME or XDG_STATE_HOME")]
    NoHome,
    #[error("{0}")]
    MissingTool(String),
    /// GitHub was asked by this command itself.
    #[error("{}", .0.message)]
    GitHub(Failure),
    #[error(transparent)]
    EmbeddedRedis(#[from] EmbeddedRedisError),
    #[error("{}", with_advice(.0))]
    Queue(#[from] QueueError),
    #[error("there is no task {0}; `claude-cluster status` shows what there is")]
    NoSuchTask(TaskId),
    #[error("{0}")]
    WrongState(String),
    #[error("task failed: {0}")]
    TaskFailed(String),
    #[error("task was cancelled: {0}")]
    TaskCancelled(String),
    /// Waited for as long as was asked.
    #[error("{0}")]
    TimedOut(String),
    #[error("cannot listen on {address}: {source}; choose another with --{flag} or {key}")]
    Listen { address: SocketAddr, flag: &'static str, key: &'static str, source: io::Error },
    /// Told to stop by a signal before the work was done.
    #[error("stopped by a signal")]
    Stopped { signal: i32 },
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Classify(#[from] ClassifyError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A part of `up` that cannot run. It has said why.
    #[error("{name} ended with exit code {code}; see its message above")]
    Part { name: String, code: u8 },
    #[error("{0}")]
    Internal(String),
}

impl CommandError {
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}

fn with_advice(error: &QueueError) -> String {
    match error {
        QueueError::Unreachable(_) => format!("{error}; is it running, and is redis.url (REDIS_URL) right?"),
        other => other.to_string(),
    }
}
