//! How an agent's run is to be judged, and what follows from it.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use shared::{Failure, FailureClass, task::cut};

/// Of what an agent's CLI says of its failure, shown to people, in bytes.
const SAID_BYTES_MAX: usize = 400;

/// What an agent left behind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub text: String,
    /// To be resumed in a later round.
    pub session: Option<String>,
}

/// How a run is to be judged. Whether it changed anything is seen in the tree, and a cancel comes from outside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Done(Answer),
    /// The session to be resumed is not known; a fresh start may still succeed.
    SessionUnknown,
    Failed(Trouble),
}

/// Why an agent did not get to its end. Told from typed fields, never from what a model says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    TurnsExhausted,
    MoneyExhausted,
    /// No credentials, or none that the API accepts.
    Authentication,
    /// The account has no credit.
    Billing,
    /// With the time until its reset, where that was told.
    UsageLimit(Option<Duration>),
    Overloaded,
    /// The API failed otherwise.
    ServerError,
    Connection,
    PromptTooLong,
    Refusal,
    UnknownModel,
    /// The API did not take the request as it was.
    InvalidRequest,
    /// Interrupted from outside, or ended before its result.
    Crashed,
    /// Never got as far as its API.
    NotStarted,
    /// A program that is judged by its exit code said no.
    GaveUp(i32),
    /// Ended by the wall clock.
    OverTime,
    /// Ended for its inactivity.
    Silent,
}

/// A cause, and what the program itself said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub cause: Cause,
    pub said: String,
}

impl Verdict {
    pub(crate) fn failed(cause: Cause, said: impl Into<String>) -> Self {
        Self::Failed(Trouble { cause, said: said.into() })
    }
}

impl Trouble {
    /// With other words of the program's.
    pub(crate) fn map_said(self, change: impl FnOnce(&str) -> String) -> Self {
        Self { said: change(&self.said), ..self }
    }

    /// What follows, and what a person is told. `cli` is the name of a program that everybody knows.
    pub(crate) fn into_failure(self, cli: Option<&str>) -> Failure {
        let (class, what) = consequence(self.cause, SystemTime::now());
        let message = match cut(self.said.trim(), SAID_BYTES_MAX) {
            "" => what,
            said => match cli {
                Some(cli) => format!("{what} ({cli}: {said})"),
                None => format!("{what} ({said})"),
            },
        };
        let mut failure = Failure::new(class, message);
        if let Cause::UsageLimit(rest) = self.cause {
            failure.retry_after = rest;
        }
        failure
    }
}

fn consequence(cause: Cause, now: SystemTime) -> (FailureClass, String) {
    use FailureClass::{Configuration, Task, Transient, UsageLimit};

    let (class, what) = match cause {
        Cause::TurnsExhausted => (Task, "the agent used up agent.max_turns; split the issue or raise it"),
        Cause::MoneyExhausted => {
            (Task, "the agent used up agent.max_budget_usd; split the issue or raise it")
        }
        Cause::Authentication => (
            Configuration,
            "the API accepts no credentials of this worker; set the key of its agent: ANTHROPIC_API_KEY or \
             CLAUDE_CODE_OAUTH_TOKEN, OPENAI_API_KEY, GEMINI_API_KEY",
        ),
        Cause::Billing => (Configuration, "the account has no credit; top it up or use another"),
        Cause::UsageLimit(reset) => return (UsageLimit, limited(reset, now)),
        Cause::Overloaded => (Transient, "the API is overloaded"),
        Cause::ServerError => (Transient, "the API failed"),
        Cause::Connection => (Transient, "the connection to the API was lost"),
        Cause::PromptTooLong => (Task, "the conversation outgrew the model; split the issue"),
        Cause::Refusal => (Task, "the model refused this task; reword the issue"),
        Cause::UnknownModel => {
            (Configuration, "the API does not know what it was asked for; check agent.model")
        }
        Cause::InvalidRequest => (Task, "the API refused the request"),
        Cause::Crashed => (Transient, "the agent ended before its result"),
        Cause::NotStarted => (
            Configuration,
            "the agent program cannot be run, or did not start; check agent.command, agent.extra_args, \
             sandbox.tool_paths and the installed version",
        ),
        Cause::GaveUp(code) => return (Task, format!("the agent ended with code {code}")),
        Cause::OverTime => (
            Task,
            "the agent ran longer than agent.wall_clock_ms and was ended; split the issue or raise the limit",
        ),
        Cause::Silent => (
            Task,
            "the agent printed nothing for agent.inactivity_ms and was ended; retry, or raise the limit",
        ),
    };
    (class, what.to_owned())
}

/// What an account's limit means for whoever waits.
fn limited(reset: Option<Duration>, now: SystemTime) -> String {
    let at = reset.and_then(|reset| {
        let since = now.checked_add(reset)?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        DateTime::<Utc>::from_timestamp(i64::try_from(since.as_secs()).ok()?, 0)
    });
    let until = match at {
        Some(at) => format!("until {}", at.format("%Y-%m-%d %H:%M:%S UTC")),
        None => "and was told no reset: it is tried again after a pause".to_owned(),
    };
    format!(
        "the account met its usage limit {until}; the task is back in line and counts no attempt. To go on sooner, \
         raise the account's limit or let a worker with another one take the task"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_the_class_that_the_documentation_names() {
        use FailureClass::{Configuration, Task, Transient, UsageLimit};

        for (cause, class) in [
            (Cause::TurnsExhausted, Task),
            (Cause::MoneyExhausted, Task),
            (Cause::Authentication, Configuration),
            (Cause::Billing, Configuration),
            (Cause::UsageLimit(None), UsageLimit),
            (Cause::Overloaded, Transient),
            (Cause::ServerError, Transient),
            (Cause::Connection, Transient),
            (Cause::PromptTooLong, Task),
            (Cause::Refusal, Task),
            (Cause::UnknownModel, Configuration),
            (Cause::InvalidRequest, Task),
            (Cause::Crashed, Transient),
            (Cause::NotStarted, Configuration),
            (Cause::GaveUp(3), Task),
            (Cause::OverTime, Task),
            (Cause::Silent, Task),
        ] {
            let failure = Trouble { cause, said: "its words".to_owned() }.into_failure(Some("codex"));
            assert_eq!(failure.class, class, "{cause:?}");
            assert!(failure.message.ends_with("(codex: its words)"), "{}", failure.message);
        }
    }

    #[test]
    fn a_usage_limit_says_when_it_ends_and_what_to_do() {
        let rest = Some(Duration::from_secs(9));
        let limit =
            Trouble { cause: Cause::UsageLimit(rest), said: String::new() }.into_failure(Some("claude"));
        assert_eq!(limit.retry_after, rest);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_590);
        let told = limited(rest, now);
        assert!(
            told.contains("until 2025-12-31 23:59:59 UTC;") && told.contains("To go on sooner"),
            "{told}"
        );
        for unknown in [None, Some(Duration::MAX), Some(Duration::from_secs(1 << 60))] {
            assert!(limited(unknown, now).contains("no reset"));
        }
    }
}
