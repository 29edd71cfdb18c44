//! What a command's exit code tells a script. `docs/cli.md` documents each.

use std::{io, process};

use shared::{FailureClass, queue::QueueError};
use worker::WorkerError;

use crate::{embedded_redis::EmbeddedRedisError, error::CommandError};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    Success,
    /// The task that was run failed.
    TaskFailed,
    /// The command line makes no sense; clap's own code.
    Usage,
    Configuration,
    /// A program that is needed is missing or too old.
    MissingTool,
    /// Redis cannot be reached or refuses.
    Redis,
    /// No such task.
    NotFound,
    /// The task that was run was cancelled.
    Cancelled,
    /// The task is in a state that does not allow it.
    WrongState,
    /// GitHub does not answer; later it may.
    GitHub,
    /// Waited for as long as was asked.
    TimedOut,
    /// The machine refused something, or there is a defect.
    Internal,
    /// Ended by this signal.
    Signal(i32),
    /// That of a part of this process.
    Part(u8),
}

/// Set in the code of a process that a signal ended, as shells report it.
const BY_SIGNAL: u8 = 128;

const SIGTERM: i32 = nix::sys::signal::Signal::SIGTERM as i32;

const SIGPIPE: i32 = nix::sys::signal::Signal::SIGPIPE as i32;

impl ExitCode {
    pub fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::TaskFailed => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::MissingTool => 4,
            Self::Redis => 5,
            Self::NotFound => 6,
            Self::Cancelled => 7,
            Self::WrongState => 8,
            Self::GitHub => 9,
            Self::TimedOut => 10,
            Self::Internal => 70,
            Self::Part(code) => code,
            Self::Signal(signal) => BY_SIGNAL.saturating_add(u8::try_from(signal).unwrap_or(0)),
        }
    }

    /// Whether starting the same command again cannot help.
    pub fn is_lasting(number: i32) -> bool {
        let lasting = [Self::Usage, Self::Configuration, Self::MissingTool];
        lasting.iter().any(|code| i32::from(code.number()) == number)
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

impl From<&CommandError> for ExitCode {
    fn from(error: &CommandError) -> Self {
        match error {
            CommandError::Usage(_) => Self::Usage,
            CommandError::GitHub(failure) if failure.class == FailureClass::Transient => Self::GitHub,
            CommandError::Config(_)
            | CommandError::GitHub(_)
            | CommandError::Setting(_)
            | CommandError::Telemetry(_)
            | CommandError::StateDir { .. }
            | CommandError::NoHome
            | CommandError::Listen { .. }
            | CommandError::Ingest(_)
            | CommandError::Classify(_)
            | CommandError::Worker(
                WorkerError::Identity(_)
                | WorkerError::Specialty(_)
                | WorkerError::Setup(_)
                | WorkerError::Elsewhere { .. },
            ) => Self::Configuration,
            CommandError::MissingTool(_)
            | CommandError::EmbeddedRedis(EmbeddedRedisError::Missing | EmbeddedRedisError::TooOld { .. }) => {
                Self::MissingTool
            }
            CommandError::Worker(WorkerError::Queue(error)) | CommandError::Queue(error) => of_queue(error),
            CommandError::EmbeddedRedis(_) => Self::Redis,
            CommandError::Part { code, .. } => Self::Part(*code),
            CommandError::Worker(WorkerError::ToldToEnd) => Self::Signal(SIGTERM),
            CommandError::NoSuchTask(_) => Self::NotFound,
            CommandError::WrongState(_) => Self::WrongState,
            CommandError::TaskFailed(_) => Self::TaskFailed,
            CommandError::TaskCancelled(_) => Self::Cancelled,
            CommandError::TimedOut(_) => Self::TimedOut,
            CommandError::Stopped { signal } => Self::Signal(*signal),
            CommandError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Self::Signal(SIGPIPE),
            CommandError::Worker(WorkerError::Defect | WorkerError::Beat(_))
            | CommandError::Output(_)
            | CommandError::Io { .. }
            | CommandError::Internal(_) => Self::Internal,
        }
    }
}

fn of_queue(error: &QueueError) -> ExitCode {
    match error {
        QueueError::Address(_) => ExitCode::Configuration,
        QueueError::Unreachable(_) | QueueError::Refused(_) | QueueError::Unsuitable(_) => ExitCode::Redis,
        QueueError::Unexpected { .. } | QueueError::Spec { .. } => ExitCode::Internal,
    }
}
