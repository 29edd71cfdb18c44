//! Gemini CLI without a terminal: one JSON object a line.
//!
//! A failure of its API is told by the exit code, which is the HTTP status modulo 256, and by the API's own
//! error object. Measured with 0.61.0; see `docs/agents.md`.

mod wire;

use std::ffi::OsString;

use serde_json::{Value, json};
use shared::config::{AgentConfig, given};

use self::wire::{Failed, Message};
use super::{Answer, Call, Cause, Event, Start, Verdict, tell_unknown};
use crate::{
    child::Pipe,
    credentials,
    output::{Line, Tail},
};

const RUN: &str = include_str!("gemini/run.sh");

/// Tries that its settings allow.
const ATTEMPTS_MAX: u32 = 10;

/// End of what is no JSON that is kept, in bytes.
const COMPLAINTS_BYTES_MAX: usize = 2 * 1024;

/// The name of no tool: with an empty list of tools it would have all.
const NO_TOOL: &str = "none";

/// Its own exit codes.
const NO_CREDENTIALS: i32 = 41;
const BAD_INPUT: i32 = 42;
const BAD_SETTINGS: i32 = 52;
const TURNS: i32 = 53;

pub(super) fn call(config: &AgentConfig, program: Vec<OsString>, start: Start<'_>) -> Call {
    let judges = start == Start::Judge;
    let mut settings = settings(config);
    if judges {
        settings["tools"] = json!({ "core": [NO_TOOL] });
    }
    let settings = settings.to_string();
    let mut argv: Vec<OsString> =
        ["/bin/sh", "-c", RUN, "gemini", settings.as_str()].map(OsString::from).to_vec();
    argv.extend(program);
    let mut push = |args: &[&str]| argv.extend(args.iter().map(OsString::from));
    push(&["--output-format", "stream-json", "--skip-trust"]);
    if !judges {
        push(&["--yolo"]);
    }
    if !config.model.is_empty() {
        push(&["-m", &config.model]);
    }
    if let Start::Resume(_) = start {
        // It takes no ids; the run's home holds this one session.
        push(&["--resume", "latest"]);
    }
    push(&config.extra_args.iter().map(String::as_str).collect::<Vec<_>>());
    let mut env = credentials::for_gemini(config);
    env.push(("NO_BROWSER".to_owned(), "1".into()));
    let preface = Some(config.system_prompt.clone()).filter(|text| !text.is_empty());
    Call { argv, env, preface }
}

fn settings(config: &AgentConfig) -> Value {
    let mut settings = json!({
        "general": {
            "maxAttempts": (config.retries_max + 1).min(ATTEMPTS_MAX),
            "enableAutoUpdate": false,
            "enableAutoUpdateNotification": false,
        },
        "privacy": { "usageStatisticsEnabled": false },
    });
    if given(&config.gemini_api_key).is_some() {
        settings["security"] = json!({ "auth": { "selectedType": "gemini-api-key" } });
    }
    if config.max_turns > 0 {
        settings["model"] = json!({ "maxSessionTurns": config.max_turns });
    }
    if !config.allowed_tools.is_empty() {
        settings["tools"]["core"] = json!(config.allowed_tools);
    }
    if !config.disallowed_tools.is_empty() {
        settings["tools"]["exclude"] = json!(config.disallowed_tools);
    }
    settings
}

/// Reads one run's lines and remembers what the verdict needs.
pub(crate) struct Reading {
    resumed: Option<String>,
    version: String,
    session: Option<String>,
    /// What it has said since its last tool.
    answer: String,
    end: Option<End>,
    complaints: Tail,
    unknown: u32,
}

enum End {
    Success,
    Error(Failed),
}

impl Reading {
    pub(super) fn new(start: Start<'_>, version: &str) -> Self {
        let resumed = match start {
            Start::Resume(session) => Some(session.to_owned()),
            Start::Fresh | Start::Judge => None,
        };
        Self {
            resumed,
            version: version.to_owned(),
            session: None,
            answer: String::new(),
            end: None,
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
            Message::Init { session_id, model } => {
                self.session = Some(session_id.clone());
                let version = self.version.clone();
                Some(Event::Started { agent: "gemini", session: session_id, model, version })
            }
            Message::Said { role, content } => {
                if role != "assistant" {
                    return None;
                }
                self.answer.push_str(&content);
                Some(Event::Text(content))
            }
            Message::ToolUse { tool_name, parameters } => {
                self.answer.clear();
                let telling = ["command", "file_path", "absolute_path", "path", "pattern", "description"];
                let detail = telling.iter().find_map(|key| parameters.get(*key)?.as_str());
                let detail = detail.map_or_else(|| parameters.to_string(), str::to_owned);
                Some(Event::Tool { name: tool_name, detail })
            }
            Message::ToolResult { status, output, error } if status == "error" => {
                let output = output.as_str().map(str::to_owned);
                let said = error.map(|error| error.message).or(output).unwrap_or_default();
                Some(Event::ToolFailed(said))
            }
            Message::ToolResult { .. } => None,
            Message::Error { message } => {
                self.complaints.push(&message);
                Some(Event::Notice(message))
            }
            Message::Result { status, error, stats } => {
                let failed = || End::Error(error.unwrap_or_default());
                self.end = Some(if status == "success" { End::Success } else { failed() });
                Some(Event::Tokens { input: stats.input_tokens, output: stats.output_tokens })
            }
            Message::Unknown => {
                self.unknown += 1;
                None
            }
        }
    }

    pub(super) fn verdict(self, code: i32) -> Verdict {
        tell_unknown("gemini", self.unknown);
        let last = self.complaints.last().unwrap_or("it said nothing");
        // Where it does not find the session to go on with, it begins another without a word.
        let is_other = |asked: &String| self.session.as_ref().is_some_and(|session| session != asked);
        match self.end {
            _ if self.resumed.as_ref().is_some_and(is_other) => Verdict::SessionUnknown,
            Some(End::Success) => Verdict::Done(Answer { text: self.answer, session: self.session }),
            Some(End::Error(ref failed)) => {
                let said = if failed.message.is_empty() { last } else { &failed.message };
                Verdict::failed(cause(failed, code), said)
            }
            None => {
                let early = if self.session.is_some() { Cause::Crashed } else { Cause::NotStarted };
                Verdict::failed(of_code(code).unwrap_or(early), format!("code {code}, {last}"))
            }
        }
    }
}

fn cause(failed: &Failed, code: i32) -> Cause {
    match failed.kind.as_str() {
        "FatalTurnLimitedError" => Cause::TurnsExhausted,
        "FatalAuthenticationError" => Cause::Authentication,
        "FatalConfigError" => Cause::NotStarted,
        _ if is_key_refused(&failed.message) => Cause::Authentication,
        _ => of_code(code).unwrap_or(Cause::ServerError),
    }
}

/// Whether the API's own error object, which the CLI hands on in its message, names the key as the reason: the
/// status is then 400 as for any other bad request.
fn is_key_refused(message: &str) -> bool {
    let object = message.strip_prefix("[API Error: ").and_then(|rest| rest.strip_suffix(']'));
    let Some(Ok(object)) = object.map(serde_json::from_str::<Value>) else { return false };
    let details = object["error"]["details"].as_array().map_or(&[][..], Vec::as_slice);
    details.iter().any(|detail| detail["reason"] == "API_KEY_INVALID")
}

/// The exit code: one of its own, or an HTTP status modulo 256.
fn of_code(code: i32) -> Option<Cause> {
    const fn low_byte(status: i32) -> i32 {
        status & 0xff
    }
    const BAD_REQUEST: i32 = low_byte(400);
    const UNAUTHORIZED: i32 = low_byte(401);
    const FORBIDDEN: i32 = low_byte(403);
    const NOT_FOUND: i32 = low_byte(404);
    const TOO_MANY: i32 = low_byte(429);
    const INTERNAL: i32 = low_byte(500);
    const UNAVAILABLE: i32 = low_byte(503);
    const TIMED_OUT: i32 = low_byte(504);
    Some(match code {
        NO_CREDENTIALS | UNAUTHORIZED | FORBIDDEN => Cause::Authentication,
        TURNS => Cause::TurnsExhausted,
        BAD_SETTINGS => Cause::NotStarted,
        NOT_FOUND => Cause::UnknownModel,
        BAD_INPUT | BAD_REQUEST => Cause::InvalidRequest,
        TOO_MANY => Cause::UsageLimit(None),
        UNAVAILABLE => Cause::Overloaded,
        INTERNAL..UNAVAILABLE | TIMED_OUT => Cause::ServerError,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
