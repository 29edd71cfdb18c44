//! Why a configuration was refused.

use std::{io, path::PathBuf};

/// A configuration that is not used, and the place to mend it. Values of secret keys never appear in it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {problem}", place(origin, *line))]
    Syntax { origin: String, line: Option<usize>, problem: String },
    #[error("{origin}: there is no setting '{key}'; did you mean '{nearest}'?")]
    UnknownKey { origin: String, key: String, nearest: String },
    #[error("{origin}: {key} {problem}")]
    BadValue { origin: String, key: String, problem: String },
}

fn place(origin: &str, line: Option<usize>) -> String {
    line.map_or_else(|| origin.to_owned(), |line| format!("{origin}, line {line}"))
}
