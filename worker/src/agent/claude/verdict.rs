//! From the typed fields of a run's last result to its verdict.

use std::time::Duration;

use super::wire::ResultLine;
use crate::agent::{Answer, Cause, Verdict};

/// What a run has told by its end.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// It was asked to resume a session.
    pub resumed: bool,
    /// From the first line; without one, the CLI did not get as far as the API.
    pub session: Option<String>,
    /// The class of an API failure that no result has followed yet.
    pub error: Option<ApiError>,
    pub limit_resets_at_s: Option<u64>,
    /// The last result, with the API failure before it.
    pub result: Option<(ResultLine, Option<ApiError>)>,
}

/// What the CLI's own line says of an API failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub class: String,
    /// `connection_failed` and the like, where there was no answer.
    pub detail: Option<String>,
}

pub(super) fn judge(ended: Ended, code: i32, stderr: Option<&str>, now_s: u64) -> Verdict {
    let Some((result, error)) = ended.result else {
        let cause = if ended.session.is_some() { Cause::Crashed } else { Cause::NotStarted };
        return Verdict::failed(cause, format!("code {code}, {}", stderr.unwrap_or("it said nothing")));
    };
    if ended.resumed && ended.session.is_none() && result.subtype == "error_during_execution" {
        return Verdict::SessionUnknown;
    }
    let refused = result.stop_reason.as_deref() == Some("refusal");
    if !refused && result.subtype == "success" && !result.is_error {
        return Verdict::Done(Answer { text: result.result.unwrap_or_default(), session: ended.session });
    }
    let cause = match classify(&result, error.as_ref()) {
        _ if refused => Cause::Refusal,
        Cause::UsageLimit(_) => {
            let rest = ended.limit_resets_at_s.map(|at| Duration::from_secs(at.saturating_sub(now_s)));
            Cause::UsageLimit(rest)
        }
        cause => cause,
    };
    let said = result.result.or(result.errors.into_iter().next()).unwrap_or_default();
    Verdict::failed(cause, said)
}

fn classify(result: &ResultLine, error: Option<&ApiError>) -> Cause {
    match (result.subtype.as_str(), result.terminal_reason.as_deref()) {
        ("error_max_turns", _) => return Cause::TurnsExhausted,
        ("error_max_budget_usd", _) => return Cause::MoneyExhausted,
        (_, Some("prompt_too_long")) => return Cause::PromptTooLong,
        (_, Some(reason)) if reason.starts_with("aborted") => return Cause::Crashed,
        _ => {}
    }
    let class = error.map(|error| error.class.as_str());
    let detail = error.and_then(|error| error.detail.as_deref());
    match (class, result.api_error_status) {
        (Some("authentication_failed"), _) | (_, Some(401 | 403)) => Cause::Authentication,
        (Some("billing_error"), _) => Cause::Billing,
        (Some("rate_limit"), _) | (_, Some(429)) => Cause::UsageLimit(None),
        (_, Some(529)) => Cause::Overloaded,
        (_, Some(404)) => Cause::UnknownModel,
        (Some("invalid_request"), _) | (_, Some(400..=499)) => Cause::InvalidRequest,
        (Some(_), None) if detail == Some("connection_failed") => Cause::Connection,
        _ => Cause::ServerError,
    }
}
