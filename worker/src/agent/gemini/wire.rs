//! The parts of Gemini's `--output-format stream-json` that matter here. Unknown fields are left alone.

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Message {
    Init {
        session_id: String,
        #[serde(default)]
        model: String,
    },
    #[serde(rename = "message")]
    Said {
        role: String,
        #[serde(default)]
        content: String,
    },
    ToolUse {
        tool_name: String,
        #[serde(default)]
        parameters: Value,
    },
    ToolResult {
        status: String,
        #[serde(default)]
        output: Value,
        error: Option<Failed>,
    },
    Error {
        #[serde(default)]
        message: String,
    },
    Result {
        status: String,
        error: Option<Failed>,
        #[serde(default)]
        stats: Stats,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failed {
    #[serde(rename = "type")]
    pub kind: String,
    pub message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stats {
    pub input_tokens: u64,
    pub output_tokens: u64,
}
