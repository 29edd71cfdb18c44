//! Why an operation on the queue did not happen, or why nobody knows whether it did.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What a caller of the queue branches on.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The configured address is not one of Redis.
    #[error(
        "the Redis address is not usable: {0}; use redis://host:port, rediss://host:port or unix:///path"
    )]
    Address(String),
    /// No answer: not reachable, cut off, or too slow. The operation may have happened; repeating it is safe.
    #[error("redis cannot be reached: {0}")]
    Unreachable(String),
    /// Redis answered that it will not: full, read-only, still loading, or without the permission.
    #[error("redis refuses: {0}")]
    Refused(String),
    /// The server lacks what the queue needs.
    #[error("{0}")]
    Unsuitable(String),
    /// A script or command met what it should not have met: a defect, or keys changed by hand.
    #[error("redis answered {operation} unexpectedly: {detail}")]
    Unexpected { operation: &'static str, detail: String },
    /// A specification that this version cannot read.
    #[error("the specification of task {id} cannot be read: {detail}")]
    Spec { id: String, detail: String },
}

impl QueueError {
    /// Whether waiting and trying again can help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Refused(_))
    }

    pub(super) fn unexpected(operation: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Unexpected { operation, detail: detail.to_string() }
    }
}

impl From<RedisError> for QueueError {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => Self::Unreachable(text),
            ErrorKind::AuthenticationFailed => {
                Self::Refused(format!("{text}; check redis.url and redis.password"))
            }
            ErrorKind::Server(kind) => match kind {
                ServerErrorKind::BusyLoading
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::MasterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::NoScript
                | ServerErrorKind::NoPerm => Self::Refused(text),
                ServerErrorKind::ResponseError if text.contains(SCRIPT_WITHOUT_PERMISSION) => {
                    Self::Refused(text)
                }
                _ => Self::unexpected("a script", text),
            },
            ErrorKind::Extension if is_refusal(error.code()) => Self::Refused(text),
            _ if error.is_timeout() || error.is_connection_dropped() || error.is_connection_refusal() => {
                Self::Unreachable(text)
            }
            _ => Self::unexpected("a command", text),
        }
    }
}

/// How a server says that the user lacks a permission that a script needs; the code is a bare `ERR`.
const SCRIPT_WITHOUT_PERMISSION: &str = "The user executing the script can't";

/// Codes that the client library hands through: full, snapshot failing, too few replicas, no password given.
fn is_refusal(code: Option<&str>) -> bool {
    matches!(code, Some("OOM" | "MISCONF" | "NOREPLICAS" | "NOAUTH" | "WRONGPASS" | "UNKILLABLE" | "BUSY"))
}
