//! What happened to an issue since a time, told from what it is now and from its history.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use shared::{RepositoryName, github::IssueEventEntry};

use crate::{
    event::{IssueEvent, What},
    payload::{Account, Comment, Issue},
};

/// By how much the times of an issue and of its history may differ.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(2);

/// Who closed an issue where GitHub's lists do not say; nobody has to be trusted for that.
const SOMEBODY: &str = "somebody";

/// An issue as GitHub lists it.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub issue: Issue,
    pub created_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    pub closed_by: Option<Account>,
    /// `reopened` of an issue that was closed before.
    pub state_reason: Option<String>,
}

/// A comment as GitHub lists it.
#[derive(Clone, Debug, Deserialize)]
pub struct CommentEntry {
    pub id: u64,
    #[serde(flatten)]
    pub comment: Comment,
    pub updated_at: DateTime<Utc>,
    /// Ends with the issue's number.
    pub issue_url: String,
}

impl Entry {
    pub fn updated_at(&self) -> Option<DateTime<Utc>> {
        self.issue.updated_at.as_deref()?.parse().ok()
    }

    pub fn is_closed(&self) -> bool {
        self.issue.state.as_deref() == Some("closed")
    }

    pub fn has_label(&self, label: &str) -> bool {
        self.issue.labels.iter().flatten().any(|known| same(&known.name, label))
    }

    /// Whether only the history tells what happened. It costs a request.
    pub fn needs_history(&self, label: &str, has_task: bool) -> bool {
        let open_issue = self.issue.pull_request.is_none() && !self.is_closed();
        let reopened = self.state_reason.as_deref() == Some("reopened");
        open_issue && (self.has_label(label) || reopened || has_task)
    }

    /// What happened at `since` or later, in order, as far as it still holds: an issue that is closed by now was not
    /// worth opening. `history` is needed where [`Entry::needs_history`] says so.
    pub fn events(
        &self,
        repository: &RepositoryName,
        label: &str,
        since: DateTime<Utc>,
        history: &[IssueEventEntry],
        has_task: bool,
    ) -> Vec<IssueEvent> {
        if self.issue.pull_request.is_some() {
            return Vec::new();
        }
        let event = |what: What, actor: Option<Account>, at: DateTime<Utc>, name: String| {
            let actor = actor.filter(|_| at >= since)?;
            let issue = Issue {
                updated_at: Some(at.to_rfc3339_opts(SecondsFormat::Millis, true)),
                ..self.issue.clone()
            };
            Some((
                at,
                IssueEvent { repository: repository.clone(), issue, actor, what, delivery: Some(name) },
            ))
        };
        let updated_at = self.updated_at().unwrap_or(self.created_at);
        let number = self.issue.number;
        let own = |what: &str| format!("poll-{repository}#{number}-{what}").to_ascii_lowercase();
        if self.is_closed() {
            let somebody = || Account { login: SOMEBODY.to_owned(), kind: None };
            let by = self.closed_by.clone().unwrap_or_else(somebody);
            let closed = event(What::Closed, Some(by), self.closed_at.unwrap_or(updated_at), own("closed"));
            return closed.into_iter().map(|(_, event)| event).collect();
        }
        let last =
            |wanted: &dyn Fn(&IssueEventEntry) -> bool| history.iter().rev().find(|entry| wanted(entry));
        let reopened = last(&|entry| entry.event == "reopened");
        let labelled = last(&|entry| {
            matches!(entry.event.as_str(), "labeled" | "unlabeled")
                && entry.label.as_ref().is_some_and(|known| same(&known.name, label))
        });
        let labelled = labelled.filter(|entry| (entry.event == "labeled") == self.has_label(label));
        let told = |entry: &IssueEventEntry, what: What| {
            event(
                what,
                entry.actor.as_ref().map(account),
                entry.created_at,
                format!("poll-event-{}", entry.id),
            )
        };
        let mut events: Vec<_> = [
            event(What::Opened, self.issue.user.clone(), self.created_at, own("opened")),
            reopened.and_then(|entry| told(entry, What::Reopened)),
            labelled.and_then(|entry| {
                let name = label.to_owned();
                told(
                    entry,
                    if entry.event == "labeled" { What::Labeled(name) } else { What::Unlabeled(Some(name)) },
                )
            }),
            // Who edited it is not told. It was the author, or somebody who may push.
            Some(What::Edited { title: true, body: true })
                .filter(|_| has_task && updated_at > self.created_at + CLOCKS_DIFFER)
                .and_then(|what| event(what, self.issue.user.clone(), updated_at, own("edited"))),
        ]
        .into_iter()
        .flatten()
        .collect();
        events.sort_by_key(|(at, _)| *at);
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// Whether the issue may have got another text since `at`, at which somebody other than its author vouched for it.
    pub fn may_have_changed_since(&self, at: DateTime<Utc>, actor: &Account) -> bool {
        let by_author = self.issue.user.as_ref().is_some_and(|author| actor.is(&author.login));
        !by_author && self.updated_at().is_none_or(|updated| updated > at + CLOCKS_DIFFER)
    }
}

impl CommentEntry {
    pub fn issue_number(&self) -> Option<u64> {
        self.issue_url.rsplit('/').next()?.parse().ok()
    }

    /// Whether it was written at `since` or later and is as it was written: a text that was changed may be somebody
    /// else's.
    pub fn is_new(&self, since: DateTime<Utc>) -> bool {
        // GitHub's times are whole seconds.
        self.created_at().is_some_and(|at| at >= since && self.updated_at.timestamp() <= at.timestamp())
    }

    pub fn created_at(&self) -> Option<DateTime<Utc>> {
        self.comment.created_at.as_deref()?.parse().ok()
    }

    /// The event of its being written below `issue`.
    pub fn event(&self, repository: &RepositoryName, issue: &Issue) -> Option<IssueEvent> {
        Some(IssueEvent {
            repository: repository.clone(),
            issue: issue.clone(),
            actor: self.comment.user.clone()?,
            what: What::Commented(self.comment.clone()),
            delivery: Some(format!("poll-comment-{}", self.id)),
        })
    }
}

/// Whether a text was given another title since `at`.
pub fn renamed_since(history: &[IssueEventEntry], at: DateTime<Utc>) -> bool {
    history.iter().any(|entry| entry.event == "renamed" && entry.created_at > at)
}

fn account(known: &shared::github::Account) -> Account {
    Account { login: known.login.clone(), kind: known.kind.clone() }
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
