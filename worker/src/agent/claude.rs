//! Claude Code in headless mode: one JSON object a line, the verdict from typed fields alone.
//!
//! Never from the exit code (0 after an interrupt) and never from prose (an agent may quote "usage limit
//! reached"). Measured with 2.1.328; see `docs/agents.md`.

mod verdict;
mod wire;

use std::{ffi::OsString, path::Path};

use shared::{config::AgentConfig, queue::MicroUsd};

use self::{
    verdict::{ApiError, Ended, judge},
    wire::{Content, Message},
};
use super::{Call, Event, Start, Verdict, now_s, tell_unknown};
use crate::{
    child::Pipe,
    credentials,
    output::{Line, Tail},
};

/// End of what is no JSON that is kept, in bytes.
const COMPLAINTS_BYTES_MAX: usize = 2 * 1024;

/// Nothing but the API is called, and the program does not replace itself.
const QUIET: [(&str, &str); 3] = [
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
];

/// The call of `program`. The prompt is not among the arguments: those are short, and shown by `ps`.
///
/// Measured with 2.1.328: a budget is one of the process, also when a session is resumed, whose total cost goes on.
pub(super) fn call(
    config: &AgentConfig,
    program: Vec<OsString>,
    start: Start<'_>,
    tmp: &Path,
    budget: Option<MicroUsd>,
) -> Call {
    let mut argv = program;
    let mut push = |args: &[&str]| argv.extend(args.iter().map(OsString::from));
    push(&["-p", "--output-format", "stream-json", "--verbose"]);
    // An empty list of sources: hooks in the repository's own settings would run without any question.
    push(&["--setting-sources", ""]);
    let judges = start == Start::Judge;
    push(&["--permission-mode", if judges { "dontAsk" } else { "acceptEdits" }]);
    match config.allowed_tools.as_slice() {
        _ if judges => push(&["--tools", ""]),
        [] => push(&["--allowedTools=Bash"]),
        tools => push(&[&format!("--allowedTools={}", tools.join(","))]),
    }
    if !config.disallowed_tools.is_empty() {
        push(&[&format!("--disallowedTools={}", config.disallowed_tools.join(","))]);
    }
    if !config.system_prompt.is_empty() {
        push(&["--append-system-prompt", &config.system_prompt]);
    }
    if judges {
        push(&["--max-turns", "1"]);
    } else if config.max_turns > 0 {
        push(&["--max-turns", &config.max_turns.to_string()]);
    }
    if let Some(budget) = budget {
        push(&["--max-budget-usd", &format!("{}.{:06}", budget / 1_000_000, budget % 1_000_000)]);
    }
    if !config.model.is_empty() {
        push(&["--model", &config.model]);
    }
    if let Start::Resume(session) = start {
        push(&[&format!("--resume={session}")]);
    }
    push(&config.extra_args.iter().map(String::as_str).collect::<Vec<_>>());
    let mut env: Vec<(String, OsString)> =
        QUIET.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
    env.push(("CLAUDE_CODE_TMPDIR".to_owned(), tmp.into()));
    // Its own default of ten tries makes three minutes of a limit, and of wrong credentials.
    env.push(("CLAUDE_CODE_MAX_RETRIES".to_owned(), config.retries_max.to_string().into()));
    env.extend(credentials::for_claude(config));
    Call { argv, env, preface: None }
}

/// Reads one run's lines and remembers what the verdict needs.
pub(crate) struct Reading {
    ended: Ended,
    /// Standard error, and what is no JSON.
    complaints: Tail,
    /// Lines that were no JSON object of a known kind.
    unknown: u32,
}

impl Reading {
    pub(super) fn new(start: Start<'_>) -> Self {
        let resumed = matches!(start, Start::Resume(_));
        Self {
            ended: Ended { resumed, ..Ended::default() },
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
            // Some complaints that keep it from starting come out here.
            self.complaints.push(&line.text);
            Message::Unknown
        });
        self.message(message)
    }

    pub(super) fn verdict(self, code: i32) -> Verdict {
        tell_unknown("claude", self.unknown);
        judge(self.ended, code, self.complaints.last(), now_s())
    }

    fn message(&mut self, message: Message) -> Vec<Event> {
        match message {
            Message::System(system) => self.system(system),
            Message::Assistant(assistant) => {
                if let Some(class) = assistant.error {
                    self.ended.error = Some(ApiError { class, detail: assistant.api_error });
                }
                assistant.message.content.iter().filter_map(said).collect()
            }
            Message::User(user) => user.message.content.blocks().iter().filter_map(tool_failed).collect(),
            Message::RateLimitEvent { rate_limit_info: limit } => {
                if limit.status != "rejected" {
                    return Vec::new();
                }
                self.ended.limit_resets_at_s = limit.resets_at;
                let kind = limit.kind.unwrap_or_else(|| "usage".to_owned());
                vec![Event::Limit { kind, resets_at_s: limit.resets_at }]
            }
            Message::Result(result) => {
                let cost = Event::Cost { usd: result.total_cost_usd, turns: result.num_turns };
                // Background work brings a second result: the last one counts, with the error before it.
                self.ended.result = Some((*result, self.ended.error.take()));
                vec![cost]
            }
            Message::Unknown => {
                self.unknown += 1;
                Vec::new()
            }
        }
    }

    fn system(&mut self, system: wire::System) -> Vec<Event> {
        match system.subtype.as_str() {
            "init" => {
                let session = system.session_id.clone().unwrap_or_default();
                self.ended.session = system.session_id;
                let (model, version) =
                    (system.model.unwrap_or_default(), system.claude_code_version.unwrap_or_default());
                vec![Event::Started { agent: "claude", session, model, version }]
            }
            "api_retry" => vec![Event::Retrying {
                attempt: system.attempt,
                of: system.max_retries,
                error: system.error.unwrap_or_else(|| "unknown".to_owned()),
            }],
            "permission_denied" => vec![Event::Denied { tool: system.tool_name.unwrap_or_default() }],
            _ => Vec::new(),
        }
    }
}

fn said(content: &Content) -> Option<Event> {
    match content {
        Content::Text { text } if !text.trim().is_empty() => Some(Event::Text(text.clone())),
        Content::ToolUse { name, input } => {
            // The one argument that says what happens, for the tools that most runs consist of.
            let telling = ["command", "file_path", "path", "pattern", "url", "description"];
            let detail = telling.iter().find_map(|key| input.get(*key)?.as_str());
            let detail = detail.map_or_else(|| input.to_string(), str::to_owned);
            Some(Event::Tool { name: name.clone(), detail })
        }
        Content::Text { .. } | Content::ToolResult { .. } | Content::Other => None,
    }
}

fn tool_failed(content: &Content) -> Option<Event> {
    match content {
        Content::ToolResult { is_error: Some(true), content } => {
            let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
            Some(Event::ToolFailed(text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
