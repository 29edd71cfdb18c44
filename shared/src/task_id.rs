//! The name of a task, unique over the whole cluster.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest id that a caller may choose, in bytes.
pub const ID_BYTES_MAX: usize = 100;

/// A task's id: a UUID v7 as text, or the caller's own `[A-Za-z0-9._-]{1,100}`.
///
/// The alphabet has no character that means something to Redis Cluster's hash tags, to a shell, to a
/// path or to git, so an id may stand in a key, a directory name and a commit trailer as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

/// The text is not a task id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a task id is 1 to {ID_BYTES_MAX} characters of A-Z a-z 0-9 . _ - and does not begin with '.' or '-'"
)]
pub struct InvalidTaskId;

impl TaskId {
    /// A new id. Version 7, so that ids sort by the time they were made.
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskId {
    type Err = InvalidTaskId;

    fn from_str(text: &str) -> Result<Self, InvalidTaskId> {
        let fits = (1..=ID_BYTES_MAX).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        // "." and ".." are directories, "-x" is a flag.
        let safe_start = !text.starts_with(['.', '-']);
        if fits && plain && safe_start { Ok(Self(text.to_owned())) } else { Err(InvalidTaskId) }
    }
}

impl TryFrom<String> for TaskId {
    type Error = InvalidTaskId;

    fn try_from(text: String) -> Result<Self, InvalidTaskId> {
        text.parse()
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_are_valid_and_sort_by_time() {
        let first = TaskId::generate();
        let second = TaskId::generate();
        assert!(first < second);
        assert_eq!(first.as_str().parse::<TaskId>(), Ok(first.clone()));
    }

    #[test]
    fn ids_that_would_be_paths_flags_or_key_syntax_are_refused() {
        for bad in ["", ".", "..", "-rf", "a b", "a/b", "a{b}", "ä", &"x".repeat(101)] {
            assert_eq!(bad.parse::<TaskId>(), Err(InvalidTaskId), "{bad}");
        }
        for good in ["task-20241208-001", "a", "A.b_c-1", &"x".repeat(100)] {
            assert!(good.parse::<TaskId>().is_ok(), "{good}");
        }
    }
}
