//! What an event asks for: a task, its end, or other words in it.

use shared::{config::Rules, task::Trigger};

use crate::{
    classify::Classifier,
    command::{self, Command, Unclear, Wishes},
    event::{IssueEvent, What},
};

/// Characters of a foreign name that an answer repeats.
const NAME_CHARS_MAX: usize = 60;

/// What is to be done where whoever caused the event may have it done.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'e> {
    Start {
        trigger: Trigger,
        wishes: Wishes,
        /// What a comment asks for besides.
        text: &'e str,
    },
    /// The issue's waiting or running task is of no more use.
    Stop(Stop),
    /// A waiting task gets these as they are now.
    Change(Parts),
}

/// Parts of an issue that an event has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub title: bool,
    pub body: bool,
    pub labels: bool,
}

/// Why a task is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Closed,
    Unlabeled,
    Asked,
}

/// Why an event does nothing; answered with 200, for nothing went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    #[error("event {0} is not handled")]
    Event(String),
    #[error("action {action} of {event} is not handled")]
    Action { event: String, action: String },
    #[error("github.trigger_on_open is off; set the label '{label}' on the issue to start")]
    OpeningDoesNotTrigger { label: String },
    #[error(
        "only the label '{label}' starts a task, and nothing of this issue waits that another could change"
    )]
    OtherLabel { label: String },
    #[error("a pull request is not an issue")]
    PullRequest,
    #[error("the issue is closed")]
    Closed,
    #[error("the comment does not begin with /claude")]
    NoCommand,
    #[error(transparent)]
    Unclear(#[from] Unclear),
    #[error("no task of this issue waits or runs")]
    NoTask,
    #[error("task {0} runs already with the text it was started with")]
    Runs(String),
    #[error("task {0} was started by something that happened later")]
    Older(String),
    #[error("task {0} has been given as many requirements as it can hold")]
    TooManyRequirements(String),
    #[error("title, text and labels are as they were")]
    NothingChanged,
    #[error(
        "this issue has started {runs_max} tasks within 24 hours, the most that runs_per_issue_per_day allows"
    )]
    TooManyRuns { runs_max: u32 },
    #[error("repository {0} is not allowed here; add a [[repository]] entry whose match fits it")]
    RepositoryNotAllowed(String),
    #[error("{0} is this system's own account")]
    OwnEvent(String),
    #[error("{0} is a bot; bots never start a task")]
    Bot(String),
    #[error("{0} is in denied_logins")]
    Denied(String),
    #[error("author {login} is {association}; trusted are: {trusted}")]
    UntrustedAuthor { login: String, association: String, trusted: String },
    #[error("{login} {may} here; trusted are: {trusted}")]
    UntrustedActor { login: String, may: String, trusted: String },
}

impl Ignored {
    /// Whether the event asked for something and was turned down.
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Event(_)
                | Self::Action { .. }
                | Self::OtherLabel { .. }
                | Self::PullRequest
                | Self::NoCommand
                | Self::NoTask
                | Self::NothingChanged
        )
    }
}

/// A name from outside, cut for an answer or a log line.
pub fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

/// What `event` asks for.
pub fn step<'e>(
    event: &'e IssueEvent,
    rules: &Rules<'_>,
    classifier: &Classifier,
) -> Result<Step<'e>, Ignored> {
    if event.issue.pull_request.is_some() {
        return Err(Ignored::PullRequest);
    }
    let label = || rules.trigger_label().to_owned();
    let is_trigger = |name: &str| name.to_lowercase() == rules.trigger_label().to_lowercase();
    let start = |trigger| Step::Start { trigger, wishes: Wishes::default(), text: "" };
    let step = match &event.what {
        What::Closed => return Ok(Step::Stop(Stop::Closed)),
        What::Unlabeled(Some(name)) if is_trigger(name) => return Ok(Step::Stop(Stop::Unlabeled)),
        What::Opened | What::Reopened if rules.trigger_on_open() => start(Trigger::IssueOpened),
        What::Opened | What::Reopened => return Err(Ignored::OpeningDoesNotTrigger { label: label() }),
        What::Labeled(name) if is_trigger(name) => start(Trigger::Labeled),
        What::Labeled(_) | What::Unlabeled(_) => Step::Change(Parts { labels: true, ..Parts::default() }),
        What::Edited { title, body } => Step::Change(Parts { title: *title, body: *body, labels: false }),
        What::Commented(comment) => {
            let read = command::read(comment.body.as_deref().unwrap_or_default(), classifier);
            let asked = read.ok_or(Ignored::NoCommand)??;
            let start = |wishes| Step::Start { trigger: Trigger::Comment, wishes, text: asked.text };
            match asked.command {
                Command::Cancel => return Ok(Step::Stop(Stop::Asked)),
                Command::Run(wishes) => start(wishes),
                Command::Retry => start(Wishes::default()),
            }
        }
    };
    if event.issue.state.as_deref() == Some("closed") { Err(Ignored::Closed) } else { Ok(step) }
}
