//! The parts of `codex exec --json`, and of the session log, that matter here. Unknown fields are left alone.

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Message {
    #[serde(rename = "thread.started")]
    ThreadStarted { thread_id: String },
    #[serde(rename = "turn.started")]
    TurnStarted,
    #[serde(rename = "turn.completed")]
    TurnCompleted {
        #[serde(default)]
        usage: Usage,
    },
    #[serde(rename = "turn.failed")]
    TurnFailed { error: Said },
    #[serde(rename = "item.started")]
    ItemStarted { item: Item },
    #[serde(rename = "item.updated")]
    ItemUpdated,
    #[serde(rename = "item.completed")]
    ItemCompleted { item: Item },
    #[serde(rename = "error")]
    Error(Said),
    /// A line of the session log, printed after the end.
    #[serde(rename = "event_msg")]
    Logged { payload: Logged },
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    pub message: String,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item {
    AgentMessage {
        text: String,
    },
    CommandExecution {
        command: String,
        #[serde(default)]
        aggregated_output: String,
        exit_code: Option<i32>,
    },
    FileChange {
        #[serde(default)]
        changes: Vec<Change>,
    },
    McpToolCall {
        #[serde(default)]
        server: String,
        #[serde(default)]
        tool: String,
    },
    WebSearch {
        #[serde(default)]
        query: String,
    },
    /// Something that Codex has to say itself, a warning mostly.
    Error {
        message: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    pub path: String,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Logged {
    TaskComplete {
        error: Option<LoggedError>,
    },
    TokenCount {
        rate_limits: Option<RateLimits>,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct LoggedError {
    /// A word, or an object of one word with further facts.
    #[serde(default)]
    pub codex_error_info: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RateLimits {
    pub primary: Option<Window>,
    pub secondary: Option<Window>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Window {
    pub used_percent: f64,
    /// Seconds since the Unix epoch.
    pub resets_at: Option<u64>,
}
