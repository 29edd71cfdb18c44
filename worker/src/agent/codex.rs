//! Codex without a terminal: one JSON object a line.
//!
//! Its output tells a failure in a sentence alone. The class stands in its session log, of which two lines are
//! printed after its end, by a shell inside the sandbox. Measured with 0.169.0; see `docs/agents.md`.

mod wire;

use std::{ffi::OsString, time::Duration};

use serde_json::{Value, json};
use shared::config::{AgentConfig, given};

use self::wire::{Item, Logged, Message, RateLimits};
use super::{Answer, Call, Cause, Event, Start, Verdict, now_s, tell_unknown};
use crate::{
    child::Pipe,
    credentials,
    output::{Line, Tail},
};

const RUN: &str = include_str!("codex/run.sh");

/// Where requests go that a key of its own signs.
const API: &str = "https://api.openai.com/v1";

/// A window of an account's limit that is used up, in percent.
const USED_UP: f64 = 100.0;

/// End of what is no JSON that is kept, in bytes.
const COMPLAINTS_BYTES_MAX: usize = 2 * 1024;

pub(super) fn call(config: &AgentConfig, program: Vec<OsString>, start: Start<'_>) -> Call {
    let mut argv: Vec<OsString> = ["/bin/sh", "-c", RUN, "codex"].map(OsString::from).to_vec();
    argv.extend(program);
    let mut push = |args: &[&str]| argv.extend(args.iter().map(OsString::from));
    push(&["exec"]);
    if let Start::Resume(_) = start {
        push(&["resume"]);
    }
    // The sandbox around it confines it; one inside of the other cannot be had everywhere.
    push(&["--json", "--skip-git-repo-check"]);
    match start {
        Start::Judge => push(&["--sandbox", "read-only"]),
        Start::Fresh | Start::Resume(_) => push(&["--dangerously-bypass-approvals-and-sandbox"]),
    }
    if !config.model.is_empty() {
        push(&["-m", &config.model]);
    }
    if given(&config.openai_api_key).is_some() {
        push(&["-c", "model_provider=\"cluster\"", "-c", &provider(config)]);
    }
    if !config.system_prompt.is_empty() {
        push(&["-c", &format!("developer_instructions={}", json!(config.system_prompt))]);
    }
    push(&config.extra_args.iter().map(String::as_str).collect::<Vec<_>>());
    if let Start::Resume(session) = start {
        push(&[session]);
    }
    push(&["-"]);
    Call { argv, env: credentials::for_codex(config), preface: None }
}

/// A provider of one's own: the built-in one has no setting for its retries.
fn provider(config: &AgentConfig) -> String {
    let url = Some(config.openai_base_url.as_str()).filter(|url| !url.is_empty()).unwrap_or(API);
    let (url, retries) = (json!(url), config.retries_max);
    format!(
        "model_providers.cluster={{name=\"cluster\",base_url={url},wire_api=\"responses\",\
         env_key=\"OPENAI_API_KEY\",request_max_retries={retries},stream_max_retries={retries}}}"
    )
}

/// Reads one run's lines and remembers what the verdict needs.
pub(crate) struct Reading {
    resumed: bool,
    model: String,
    version: String,
    session: Option<String>,
    answer: String,
    turn: Turn,
    error_info: Value,
    limits: RateLimits,
    complaints: Tail,
    unknown: u32,
}

/// How the last turn ended.
enum Turn {
    Open,
    Completed,
    Failed(String),
}

impl Reading {
    pub(super) fn new(start: Start<'_>, model: &str, version: &str) -> Self {
        Self {
            resumed: matches!(start, Start::Resume(_)),
            model: model.to_owned(),
            version: version.to_owned(),
            session: None,
            answer: String::new(),
            turn: Turn::Open,
            error_info: Value::Null,
            limits: RateLimits::default(),
            complaints: Tail::new(COMPLAINTS_BYTES_MAX),
            unknown: 0,
        }
    }

    pub(super) fn line(&mut self, from: Pipe, line: &Line) -> Vec<Event> {
        if from == Pipe::Stderr {
            self.complaints.push(&line.text);
            return vec![Event::Notice(line.text.clone())];
        }
        let message = serde_json::from_str(&line.text).unwrap_or_else(|_| {
            self.complaints.push(&line.text);
            Message::Unknown
        });
        self.message(message).into_iter().collect()
    }

    fn message(&mut self, message: Message) -> Option<Event> {
        match message {
            Message::ThreadStarted { thread_id } => {
                self.session = Some(thread_id.clone());
                let (model, version) = (self.model.clone(), self.version.clone());
                Some(Event::Started { agent: "codex", session: thread_id, model, version })
            }
            Message::TurnCompleted { usage } => {
                self.turn = Turn::Completed;
                Some(Event::Tokens { input: usage.input_tokens, output: usage.output_tokens })
            }
            Message::TurnFailed { error } => {
                self.turn = Turn::Failed(error.message);
                None
            }
            Message::Error(said) => Some(Event::Notice(said.message)),
            Message::ItemStarted { item: Item::CommandExecution { command, .. } } => {
                Some(Event::Tool { name: "shell".to_owned(), detail: command })
            }
            Message::ItemCompleted { item } => self.completed(item),
            Message::Logged { payload } => self.logged(payload),
            Message::TurnStarted | Message::ItemStarted { .. } | Message::ItemUpdated => None,
            Message::Unknown => {
                self.unknown += 1;
                None
            }
        }
    }

    fn completed(&mut self, item: Item) -> Option<Event> {
        let tool = |name: &str, detail| Some(Event::Tool { name: name.to_owned(), detail });
        match item {
            Item::AgentMessage { text } => {
                self.answer.clone_from(&text);
                Some(Event::Text(text))
            }
            Item::CommandExecution { exit_code: Some(code), aggregated_output, .. } if code != 0 => {
                Some(Event::ToolFailed(format!("exit code {code}: {aggregated_output}")))
            }
            Item::FileChange { changes } => {
                let paths: Vec<String> = changes.into_iter().map(|change| change.path).collect();
                tool("edit", paths.join(" "))
            }
            Item::McpToolCall { server, tool: name } => tool(&server, name),
            Item::WebSearch { query } => tool("search", query),
            Item::Error { message } => Some(Event::Notice(message)),
            Item::CommandExecution { .. } | Item::Other => None,
        }
    }

    fn logged(&mut self, payload: Logged) -> Option<Event> {
        match payload {
            Logged::TaskComplete { error } => {
                self.error_info = error.map(|error| error.codex_error_info).unwrap_or_default();
                let limited = self.error_info == "usage_limit_exceeded";
                limited.then(|| Event::Limit { kind: "usage".to_owned(), resets_at_s: self.resets_at_s() })
            }
            Logged::TokenCount { rate_limits } => {
                self.limits = rate_limits.unwrap_or_default();
                None
            }
            Logged::Other => None,
        }
    }

    /// When the last of the limits that are used up resets.
    fn resets_at_s(&self) -> Option<u64> {
        let windows = [&self.limits.primary, &self.limits.secondary].into_iter().flatten();
        windows.filter(|window| window.used_percent >= USED_UP).filter_map(|window| window.resets_at).max()
    }

    pub(super) fn verdict(self, code: i32) -> Verdict {
        self.judge(code, now_s())
    }

    fn judge(self, code: i32, now_s: u64) -> Verdict {
        tell_unknown("codex", self.unknown);
        let last = self.complaints.last().unwrap_or("it said nothing");
        match self.turn {
            Turn::Completed => Verdict::Done(Answer { text: self.answer, session: self.session }),
            Turn::Failed(ref said) => {
                let rest = || self.resets_at_s().map(|at| Duration::from_secs(at.saturating_sub(now_s)));
                Verdict::failed(cause(&self.error_info, rest), said.clone())
            }
            Turn::Open if self.session.is_some() => {
                Verdict::failed(Cause::Crashed, format!("code {code}, {last}"))
            }
            // It ends so when it does not find the session. What else keeps it from starting, keeps a fresh
            // start from it too, and is told then.
            Turn::Open if self.resumed => Verdict::SessionUnknown,
            Turn::Open => Verdict::failed(Cause::NotStarted, format!("code {code}, {last}")),
        }
    }
}

fn cause(info: &Value, rest: impl FnOnce() -> Option<Duration>) -> Cause {
    let (word, facts) = match info {
        Value::String(word) => (word.as_str(), &Value::Null),
        Value::Object(map) => map.iter().next().map_or(("", &Value::Null), |(word, facts)| (word, facts)),
        _ => ("", &Value::Null),
    };
    match (word, facts["http_status_code"].as_u64()) {
        ("usage_limit_exceeded", _) => Cause::UsageLimit(rest()),
        (_, Some(429)) => Cause::UsageLimit(None),
        ("unauthorized", _) | (_, Some(401 | 403)) => Cause::Authentication,
        ("model_not_found", _) | (_, Some(404)) => Cause::UnknownModel,
        ("context_window_exceeded", _) => Cause::PromptTooLong,
        ("cyber_policy", _) => Cause::Refusal,
        ("bad_request", _) | (_, Some(400..=499)) => Cause::InvalidRequest,
        ("server_overloaded", _) => Cause::Overloaded,
        (
            "http_connection_failed" | "response_stream_connection_failed" | "response_stream_disconnected",
            None,
        ) => Cause::Connection,
        _ => Cause::ServerError,
    }
}

#[cfg(test)]
mod tests;
