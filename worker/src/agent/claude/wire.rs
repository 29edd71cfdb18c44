//! The parts of `--output-format stream-json` that matter here. Unknown fields are left alone.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Message {
    System(System),
    Assistant(Assistant),
    User(User),
    RateLimitEvent {
        rate_limit_info: RateLimit,
    },
    Result(Box<ResultLine>),
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Deserialize)]
pub(super) struct System {
    pub subtype: String,
    pub session_id: Option<String>,
    pub model: Option<String>,
    pub claude_code_version: Option<String>,
    #[serde(default)]
    pub attempt: u32,
    #[serde(default)]
    pub max_retries: u32,
    pub error: Option<String>,
    pub tool_name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Assistant {
    pub message: AssistantMessage,
    /// On a line that the CLI itself made up: the class of the API's failure.
    pub error: Option<String>,
    /// Beside it: what failed, where the API gave no answer.
    pub api_error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AssistantMessage {
    #[serde(default)]
    pub content: Vec<Content>,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub message: UserMessage,
}

#[derive(Debug, Deserialize)]
pub(super) struct UserMessage {
    pub content: UserContent,
}

/// A plain text, or blocks.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum UserContent {
    Blocks(Vec<Content>),
    Text(serde::de::IgnoredAny),
}

impl UserContent {
    pub(super) fn blocks(&self) -> &[Content] {
        match self {
            Self::Blocks(blocks) => blocks,
            Self::Text(_) => &[],
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content {
    Text {
        text: String,
    },
    ToolUse {
        name: String,
        #[serde(default)]
        input: Value,
    },
    ToolResult {
        is_error: Option<bool>,
        #[serde(default)]
        content: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RateLimit {
    pub status: String,
    /// Seconds since the Unix epoch.
    pub resets_at: Option<u64>,
    #[serde(rename = "rateLimitType")]
    pub kind: Option<String>,
}

/// The one line that must be understood: a field that changes its kind counts as left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ResultLine {
    pub subtype: String,
    pub is_error: bool,
    #[serde(deserialize_with = "or_left_out")]
    pub result: Option<String>,
    #[serde(deserialize_with = "or_left_out")]
    pub errors: Vec<String>,
    #[serde(deserialize_with = "or_left_out")]
    pub num_turns: u32,
    #[serde(deserialize_with = "or_left_out")]
    pub stop_reason: Option<String>,
    #[serde(deserialize_with = "or_left_out")]
    pub terminal_reason: Option<String>,
    #[serde(deserialize_with = "or_left_out")]
    pub api_error_status: Option<u16>,
    #[serde(deserialize_with = "or_left_out")]
    pub total_cost_usd: f64,
}

fn or_left_out<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}
