//! Something that happened to an issue, whoever told of it.

use chrono::DateTime;
use shared::RepositoryName;

use crate::{
    payload::{Account, Comment, Envelope, Issue, IssuePayload},
    rejection::Rejection,
    trigger::{Ignored, short},
};

/// What a webhook tells or a poll finds: all that the gate decides by.
#[derive(Clone, Debug)]
pub struct IssueEvent {
    /// `owner/name` on the forge.
    pub repository: RepositoryName,
    /// As it was when this happened.
    pub issue: Issue,
    /// Who did it.
    pub actor: Account,
    pub what: What,
    /// What names this event wherever it is told again, such as a webhook's delivery.
    pub delivery: Option<String>,
}

/// What was done to the issue.
#[derive(Clone, Debug)]
pub enum What {
    Opened,
    Reopened,
    /// Closed, deleted or moved to another repository.
    Closed,
    Labeled(String),
    /// `None`: the label is gone from the whole repository, and nothing says which it was.
    Unlabeled(Option<String>),
    /// By one edit; what it left alone may hold what somebody else wrote.
    Edited {
        title: bool,
        body: bool,
    },
    Commented(Comment),
}

impl IssueEvent {
    /// The event that a webhook of this name carries, or why it is none of ours. `parse` reads the whole payload.
    pub fn of_webhook(
        name: &str,
        envelope: &Envelope,
        parse: impl FnOnce() -> Result<IssuePayload, Rejection>,
        delivery: Option<String>,
    ) -> Result<Result<Self, Ignored>, Rejection> {
        let action = envelope.action.as_deref().unwrap_or("(none)");
        let known = match name {
            "issues" => {
                ["opened", "reopened", "closed", "deleted", "transferred", "labeled", "unlabeled", "edited"]
                    .contains(&action)
            }
            // What was written can be changed later by others than its author; only the first version counts.
            "issue_comment" => action == "created",
            _ => return Ok(Err(Ignored::Event(short(name)))),
        };
        if !known {
            return Ok(Err(Ignored::Action { event: short(name), action: short(action) }));
        }
        let payload = parse()?;
        let repository: Option<RepositoryName> = payload.repository.full_name.parse().ok();
        // A path or URL would be valid for a task, but no forge calls a repository so.
        let repository = repository
            .filter(|name| name.forge().is_some())
            .ok_or_else(|| Rejection::malformed("repository.full_name is not owner/name"))?;
        let label = payload.label.map(|label| label.name);
        let what = match action {
            "opened" => What::Opened,
            "reopened" => What::Reopened,
            "labeled" => What::Labeled(label.unwrap_or_default()),
            "unlabeled" => What::Unlabeled(label),
            "edited" => {
                let changes = payload.changes.as_ref();
                What::Edited {
                    title: changes.is_some_and(|changes| changes.title.is_some()),
                    body: changes.is_some_and(|changes| changes.body.is_some()),
                }
            }
            "created" => What::Commented(
                payload.comment.ok_or_else(|| Rejection::malformed("the comment is missing"))?,
            ),
            _ => What::Closed,
        };
        Ok(Ok(Self { repository, issue: payload.issue, actor: payload.sender, what, delivery }))
    }

    /// When it happened, by the forge's clock, in ms since the Unix epoch.
    pub fn at_ms(&self) -> Option<u64> {
        let time = match &self.what {
            What::Commented(comment) => comment.created_at.as_deref(),
            // Whatever happens to an issue changes it.
            _ => self.issue.updated_at.as_deref(),
        };
        u64::try_from(DateTime::parse_from_rfc3339(time?).ok()?.timestamp_millis()).ok()
    }

    /// What the actor is to the repository, where the event says so: it does of authors alone.
    pub fn actors_association(&self) -> Option<&str> {
        let told = |author: Option<&Account>| author.is_some_and(|author| self.actor.is(&author.login));
        match &self.what {
            What::Commented(comment) if told(comment.user.as_ref()) => comment.author_association.as_deref(),
            _ if told(self.issue.user.as_ref()) => self.issue.author_association.as_deref(),
            _ => None,
        }
    }
}
