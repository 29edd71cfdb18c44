//! Why an operation on the queue did not happen, or why nobody knows whether it did.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::tls;

/// What a caller of the queue branches on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// The configured address is not one of Redis.
    #[error(
        "the Redis address is not usable: {0}; use redis://host:port, rediss://host:port or unix:///path, or redis.sentinels or redis.cluster"
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

    /// Whether this connection's user lacks a right: another's may do it.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Self::Refused(text) if text.contains(DENIED_ADVICE))
    }

    /// What a script told of one task, the rest of its answer being good.
    pub(super) fn of_one_task(operation: &'static str, detail: &str) -> Self {
        if detail.contains(SCRIPT_WITHOUT_PERMISSION) {
            return Self::Refused(format!("{detail}; {DENIED_ADVICE}"));
        }
        Self::unexpected(operation, detail)
    }

    pub(super) fn unexpected(operation: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Unexpected { operation, detail: detail.to_string() }
    }
}

impl From<RedisError> for QueueError {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        let advised = |advice: &str| format!("{text}; {advice}");
        match error.kind() {
            ErrorKind::AuthenticationFailed => {
                Self::Refused(advised("check redis.user and redis.password, or those in redis.url"))
            }
            ErrorKind::MasterNameNotFoundBySentinel => Self::Refused(text),
            _ if is_cut_off(&error) => {
                Self::Unreachable(tls::advice(&text).map_or_else(|| text.clone(), advised))
            }
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::Refused(text),
            ErrorKind::Server(_) if text.contains(SCRIPT_WITHOUT_PERMISSION) => {
                Self::Refused(advised(refusal("NOPERM").unwrap_or_default()))
            }
            ErrorKind::Server(_) | ErrorKind::Extension => match error.code().and_then(refusal) {
                Some(advice) => Self::Refused(advised(advice)),
                None if matches!(error.kind(), ErrorKind::Server(_)) => Self::unexpected("a script", text),
                None => Self::unexpected("a command", text),
            },
            _ => Self::unexpected("a command", text),
        }
    }
}

/// Whether nobody knows what became of the command, or no server was there to take it.
fn is_cut_off(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::ClusterConnectionNotFound)
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        // A blocking read on a master that became a replica.
        || error.code() == Some("UNBLOCKED")
}

/// How a server says that the user lacks a permission that a script needs; the code is a bare `ERR`.
const SCRIPT_WITHOUT_PERMISSION: &str = "The user executing the script can't";

const DENIED_ADVICE: &str = "give its user the rights that scripts/redis-acl prints";

/// What to do about a server that answers with this code instead of doing its part; `None` where the answer is not
/// a refusal.
fn refusal(code: &str) -> Option<&'static str> {
    Some(match code {
        "OOM" => "its memory is full: raise maxmemory; meanwhile workers go on and drain it",
        "MISCONF" => "it cannot write its data to the disk: look at its log and at the disk",
        "READONLY" => "it is a replica: name the master, or let redis.sentinels find it",
        "LOADING" => "it reads its data after a start; this passes",
        "NOREPLICAS" => "it has too few replicas (min-replicas-to-write) to take anything",
        "NOAUTH" => "set redis.user and redis.password",
        "WRONGPASS" => "check redis.user and redis.password",
        "NOPERM" => DENIED_ADVICE,
        "DENIED" => "it is in protected mode: give it a password and set redis.password",
        "MASTERDOWN" => "it is a replica that has lost its master",
        "CLUSTERDOWN" => "a part of the cluster is down; this passes when its nodes are back",
        "TRYAGAIN" | "ASK" | "MOVED" => "the cluster moves this slot to another node; this passes",
        "BUSY" | "UNKILLABLE" => "a script of somebody else keeps it busy",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: &str, detail: &str) -> QueueError {
        redis::make_extension_error(code.to_owned(), Some(detail.to_owned())).into()
    }

    #[test]
    fn a_refusal_says_what_to_do_and_is_waited_out() {
        for code in ["OOM", "MISCONF", "NOREPLICAS", "NOAUTH", "DENIED", "UNKILLABLE"] {
            let error = answered(code, "detail");
            assert!(matches!(error, QueueError::Refused(_)), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(code) && text.contains("; ") && error.is_passing(), "{text}");
        }
    }

    #[test]
    fn a_blocked_read_whose_master_was_replaced_is_tried_elsewhere() {
        let error = answered("UNBLOCKED", "instance state changed (master -> replica?)");
        assert!(matches!(error, QueueError::Unreachable(_)), "{error:?}");
    }
}
