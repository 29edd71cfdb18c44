//! What is to be done: a task's specification, made once and read by whoever runs it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{RepositoryName, Specialty, TaskId};

/// Version of [`TaskSpec`]'s encoding. A reader refuses what is newer than itself and says so.
pub const SPEC_VERSION: u8 = 1;

/// Largest body that is kept, in bytes; GitHub's own limit for an issue is 65,536 characters.
pub const BODY_BYTES_MAX: usize = 262_144;

/// Largest title that is kept, in bytes.
pub const TITLE_BYTES_MAX: usize = 1_024;

/// Which of a specialty's three streams a task waits in; strict: a lower one starts only when no higher waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    High,
    #[default]
    Medium,
    Low,
}

impl Priority {
    /// Highest first: the order in which streams are claimed from.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// The text names no priority.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a priority is high, medium or low")]
pub struct InvalidPriority;

impl FromStr for Priority {
    type Err = InvalidPriority;

    fn from_str(text: &str) -> Result<Self, InvalidPriority> {
        Self::ALL.into_iter().find(|p| p.as_str() == text).ok_or(InvalidPriority)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What made the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An issue was opened or reopened.
    IssueOpened,
    /// The trigger label was set.
    Labeled,
    /// A person asked by comment.
    Comment,
    /// The command line or the HTTP API.
    #[default]
    Manual,
}

/// Why a task has its specialty, as the classifier saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    pub secondary: Option<Specialty>,
    /// `low`, `medium` or `high`.
    pub complexity: Option<String>,
    pub technologies: Vec<String>,
    /// One short sentence a reason, such as `label area/frontend` or `title: "react" (+3.0 frontend)`.
    pub reasons: Vec<String>,
    /// How far the specialty led in the text, in points. `None`: a label, a person or a move decided.
    #[serde(default)]
    pub margin: Option<f32>,
}

/// A task as it was when it was triggered. Later edits of the issue do not reach it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub id: TaskId,
    pub repository: RepositoryName,
    /// The issue's number on the forge; `None` for a task that no issue asked for.
    pub issue: Option<u64>,
    pub title: String,
    /// Untrusted text, as of the trigger, at most [`BODY_BYTES_MAX`].
    pub body: String,
    pub labels: Vec<String>,
    pub author: Option<String>,
    pub trigger: Trigger,
    /// Whatever the caller of the API asked for, such as `backend`.
    pub requirements: Vec<String>,
    pub specialty: Specialty,
    pub priority: Priority,
    pub classification: Classification,
    /// When it was triggered, by the forge's clock, in ms since the Unix epoch: what was written below the issue
    /// later does not reach the task. `None`: no comments do.
    #[serde(default)]
    pub triggered_at_ms: Option<u64>,
}

impl TaskSpec {
    /// A task with nothing but what every task has; the rest is set by struct update.
    pub fn new(id: TaskId, repository: RepositoryName, title: &str) -> Self {
        Self {
            id,
            repository,
            issue: None,
            title: cut(title, TITLE_BYTES_MAX).to_owned(),
            body: String::new(),
            labels: Vec::new(),
            author: None,
            trigger: Trigger::Manual,
            requirements: Vec::new(),
            specialty: Specialty::general(),
            priority: Priority::Medium,
            classification: Classification::default(),
            triggered_at_ms: None,
        }
    }
}

/// `text` cut to at most `bytes_max` bytes, never inside a character.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_never_splits_a_character() {
        assert_eq!(cut("日本語", 4), "日");
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut("é", 1), "");
    }
}
