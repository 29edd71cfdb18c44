//! Why there is no private redis-server.

use std::{io, path::PathBuf};

const INSTALL: &str =
    "install it (Debian, Ubuntu: apt-get install redis-server) or set redis.url to a server that runs";

/// The private redis-server cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedRedisError {
    #[error("no redis-server on PATH; {INSTALL}")]
    Missing,
    #[error(
        "{} is version {found}, and {floor} or later is needed; install a newer one \
         (https://redis.io/docs/latest/operate/oss_and_stack/install/ has packages for every distribution), \
         or set redis.url to such a server",
        program.display()
    )]
    TooOld { program: PathBuf, found: String, floor: String },
    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("the private redis-server did not start; its log, {}, ends with: {tail}", log.display())]
    DidNotStart { log: PathBuf, tail: String },
    #[error(
        "another process owns the private redis-server in {} and it does not answer; end that process and try again",
        dir.display()
    )]
    OwnerSilent { dir: PathBuf },
    #[error("a redis-server of an earlier owner (process {pid}) still runs in {} and cannot be ended", dir.display())]
    LeftOver { pid: i32, dir: PathBuf },
    #[error(
        "no Redis is configured, and the private one of this user has never run: \
         start it with `claude-cluster up` or `claude-cluster workflow`, or set redis.url"
    )]
    NeverRan,
}

impl EmbeddedRedisError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}
