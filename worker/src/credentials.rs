//! The agent's own credentials: in its environment, for its process alone.

use std::ffi::OsString;

use shared::config::{AgentConfig, given};

/// Variables that sign the `claude` driver in. Empty where none is configured.
pub(crate) fn for_claude(config: &AgentConfig) -> Vec<(String, OsString)> {
    let base_url = Some(config.anthropic_base_url.as_str()).filter(|url| !url.is_empty());
    [
        ("ANTHROPIC_API_KEY", given(&config.anthropic_api_key)),
        ("CLAUDE_CODE_OAUTH_TOKEN", given(&config.claude_code_oauth_token)),
        ("ANTHROPIC_BASE_URL", base_url),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
    .collect()
}
