//! What is read of a webhook's payload: the fields that decide, and nothing else.
//!
//! Structs of our own instead of a client library's: real payloads carry fields, nulls and whole events
//! that typed models of the API refuse, and a field we do not read must never cost us an issue.

use serde::{Deserialize, de::IgnoredAny};

/// What every event has in common. Parsing it also proves that the whole payload is JSON.
#[derive(Debug, Deserialize)]
pub struct Envelope {
    pub action: Option<String>,
}

/// The payload of an `issues` or `issue_comment` event.
#[derive(Debug, Deserialize)]
pub struct IssuePayload {
    pub issue: Issue,
    /// The label that was set or removed; absent where it was deleted from the repository.
    pub label: Option<Label>,
    /// The comment that was made.
    pub comment: Option<Comment>,
    /// What an edit has changed.
    pub changes: Option<Changes>,
    pub repository: Repository,
    /// Who caused the event; not always the issue's author.
    pub sender: Account,
}

/// Which parts of an issue an edit has changed; their former values do not matter.
#[derive(Debug, Deserialize)]
pub struct Changes {
    pub title: Option<IgnoredAny>,
    pub body: Option<IgnoredAny>,
}

/// A comment below an issue.
#[derive(Clone, Debug, Deserialize)]
pub struct Comment {
    pub body: Option<String>,
    /// `null` once the account is deleted.
    pub user: Option<Account>,
    /// What `user` is to the repository.
    pub author_association: Option<String>,
    pub created_at: Option<String>,
}

/// An issue as the payload carries it.
#[derive(Clone, Debug, Deserialize)]
pub struct Issue {
    pub number: u64,
    pub title: String,
    /// `null` for an issue without text.
    pub body: Option<String>,
    pub labels: Option<Vec<Label>>,
    /// `null` once the account is deleted.
    pub user: Option<Account>,
    /// What `user` is to the repository. Says nothing about the sender.
    pub author_association: Option<String>,
    pub state: Option<String>,
    /// When the event happened, by the forge's clock: whatever triggers also changes the issue.
    pub updated_at: Option<String>,
    /// Present where the issue is a pull request in truth.
    pub pull_request: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Label {
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub struct Repository {
    /// `owner/name`. The payload's URLs are not read: a worker's own configuration says where to clone from.
    pub full_name: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    pub login: String,
    /// `User`, `Bot` or `Organization`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

impl Account {
    /// GitHub's logins do not differ by case.
    pub fn is(&self, login: &str) -> bool {
        self.login.eq_ignore_ascii_case(login)
    }

    pub fn is_bot(&self) -> bool {
        self.kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("bot"))
            || self.login.to_ascii_lowercase().ends_with("[bot]")
    }
}
