//! Which events ask for a task.

use shared::{config::GithubConfig, task::Trigger};

use crate::event::{Envelope, IssuesEvent};

/// Characters of a foreign name that an answer repeats.
const NAME_CHARS_MAX: usize = 60;

/// Why an event makes no task; answered with 200, for nothing went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    #[error("event {0} is not handled")]
    Event(String),
    #[error("action {0} of an issue is not handled")]
    Action(String),
    #[error("github.trigger_on_open is off; set the label '{label}' on the issue to start")]
    OpeningDoesNotTrigger { label: String },
    #[error("only the label '{label}' starts a task")]
    OtherLabel { label: String },
    #[error("a pull request is not an issue")]
    PullRequest,
    #[error("the issue is closed")]
    Closed,
    #[error("repository {0} is not allowed here; add a [[repository]] entry whose match fits it")]
    RepositoryNotAllowed(String),
    #[error("{0} is this system's own account")]
    OwnEvent(String),
    #[error("{0} is a bot; bots never start a task")]
    Bot(String),
    #[error("author {login} is {association}; trusted are: {trusted}")]
    UntrustedAuthor { login: String, association: String, trusted: String },
    #[error(
        "nothing in the event says what {0} may do here; only the issue's trusted author or the repository's owner starts a task"
    )]
    UnknownActor(String),
}

impl Ignored {
    pub fn event(name: &str) -> Self {
        Self::Event(short(name))
    }

    /// Whether the event asked for a task and was turned down.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Event(_) | Self::Action(_) | Self::OtherLabel { .. } | Self::PullRequest)
    }
}

/// A name from outside, cut for an answer or a log line.
pub fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

/// The kind of trigger that an `issues` event's action can be, before the rest of the payload is read.
pub fn of_action(envelope: &Envelope, github: &GithubConfig) -> Result<Trigger, Ignored> {
    match envelope.action.as_deref() {
        Some("opened" | "reopened") if github.trigger_on_open => Ok(Trigger::IssueOpened),
        Some("opened" | "reopened") => {
            Err(Ignored::OpeningDoesNotTrigger { label: github.trigger_label.clone() })
        }
        Some("labeled") => Ok(Trigger::Labeled),
        other => Err(Ignored::Action(short(other.unwrap_or("(none)")))),
    }
}

/// Whether the issue and the label are such that a task may start.
pub fn check(trigger: &Trigger, event: &IssuesEvent, github: &GithubConfig) -> Result<(), Ignored> {
    if event.issue.pull_request.is_some() {
        return Err(Ignored::PullRequest);
    }
    if event.issue.state.as_deref() == Some("closed") {
        return Err(Ignored::Closed);
    }
    if *trigger == Trigger::Labeled {
        let wanted = github.trigger_label.as_str();
        let set = event.label.as_ref().map_or("", |label| label.name.as_str());
        // An empty setting means that no label triggers.
        if wanted.is_empty() || set.to_lowercase() != wanted.to_lowercase() {
            return Err(Ignored::OtherLabel { label: wanted.to_owned() });
        }
    }
    Ok(())
}
