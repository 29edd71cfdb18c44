//! From the typed fields of a run's last result to what follows.

use std::time::Duration;

use shared::{Failure, FailureClass, task::cut};

use super::wire::ResultLine;
use crate::agent::{Answer, Verdict};

/// Of what the CLI says, shown in a failure, in bytes.
const DETAIL_BYTES_MAX: usize = 400;

/// What a run has told by its end.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// It was asked to resume a session.
    pub resumed: bool,
    /// From the first line; without one, the CLI did not get as far as the API.
    pub session: Option<String>,
    /// The class of an API failure that no result has followed yet.
    pub error: Option<String>,
    pub limit_resets_at_s: Option<u64>,
    /// The last result, with the class of the API failure before it.
    pub result: Option<(ResultLine, Option<String>)>,
}

pub(super) fn judge(ended: Ended, code: i32, stderr: Option<&str>, now_s: u64) -> Verdict {
    let Some((result, error)) = ended.result else {
        return Verdict::Failed(without_result(ended.session.is_some(), code, stderr));
    };
    if ended.resumed && ended.session.is_none() && result.subtype == "error_during_execution" {
        return Verdict::SessionUnknown;
    }
    if result.stop_reason.as_deref() == Some("refusal") {
        return Verdict::Failed(failed(
            "the model refused this task; reword the issue",
            FailureClass::Task,
            &result,
        ));
    }
    if result.subtype == "success" && !result.is_error {
        return Verdict::Done(Answer { text: result.result.unwrap_or_default(), session: ended.session });
    }
    let (class, what) = classify(&result, error.as_deref());
    let mut failure = failed(what, class, &result);
    if class == FailureClass::UsageLimit {
        failure.retry_after = ended.limit_resets_at_s.map(|at| Duration::from_secs(at.saturating_sub(now_s)));
    }
    Verdict::Failed(failure)
}

fn without_result(began: bool, code: i32, stderr: Option<&str>) -> Failure {
    let said = cut(stderr.unwrap_or("it said nothing"), DETAIL_BYTES_MAX);
    if began {
        // Killed from outside, or out of memory.
        Failure::transient(format!("claude ended with code {code} before its result ({said})"))
    } else {
        Failure::configuration(format!(
            "claude did not start, code {code} ({said}); check agent.command, agent.extra_args and the installed version"
        ))
    }
}

fn classify(result: &ResultLine, error: Option<&str>) -> (FailureClass, &'static str) {
    use FailureClass::{Configuration, Task, Transient, UsageLimit};

    match (result.subtype.as_str(), result.terminal_reason.as_deref()) {
        ("error_max_turns", _) => {
            return (Task, "the agent used up agent.max_turns; split the issue or raise it");
        }
        ("error_max_budget_usd", _) => {
            return (Task, "the agent used up agent.max_budget_usd; split the issue or raise it");
        }
        (_, Some("prompt_too_long")) => return (Task, "the conversation outgrew the model; split the issue"),
        (_, Some(reason)) if reason.starts_with("aborted") => return (Transient, "claude was interrupted"),
        _ => {}
    }
    match (error, result.api_error_status) {
        (Some("authentication_failed"), _) | (_, Some(401 | 403)) => (
            Configuration,
            "the API accepts no credentials of this worker; set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN",
        ),
        (Some("billing_error"), _) => (Configuration, "the account has no credit; top it up or use another"),
        (Some("rate_limit"), _) | (_, Some(429)) => (UsageLimit, "the account met its usage limit"),
        (_, Some(404)) => (Configuration, "the API does not know what it was asked for; check agent.model"),
        (Some("invalid_request"), _) | (_, Some(400..=499)) => (Task, "the API refused the request"),
        _ => (Transient, "the API failed"),
    }
}

fn failed(what: &str, class: FailureClass, result: &ResultLine) -> Failure {
    let said = result.result.as_deref().or(result.errors.first().map(String::as_str)).unwrap_or_default();
    match cut(said.trim(), DETAIL_BYTES_MAX) {
        "" => Failure::new(class, what),
        said => Failure::new(class, format!("{what} (claude: {said})")),
    }
}
