//! The agent's own credentials: in its environment, for its process alone.

use std::ffi::OsString;

use shared::config::{AgentConfig, given};

/// Variables that sign the `claude` driver in. Empty where none is configured.
pub(crate) fn for_claude(config: &AgentConfig) -> Vec<(String, OsString)> {
    set([
        ("ANTHROPIC_API_KEY", given(&config.anthropic_api_key)),
        ("CLAUDE_CODE_OAUTH_TOKEN", given(&config.claude_code_oauth_token)),
        ("ANTHROPIC_BASE_URL", Some(&config.anthropic_base_url)),
    ])
}

/// The key of the `codex` driver; where its requests go, its arguments say.
pub(crate) fn for_codex(config: &AgentConfig) -> Vec<(String, OsString)> {
    set([("OPENAI_API_KEY", given(&config.openai_api_key))])
}

/// Variables that sign the `gemini` driver in.
pub(crate) fn for_gemini(config: &AgentConfig) -> Vec<(String, OsString)> {
    set([
        ("GEMINI_API_KEY", given(&config.gemini_api_key)),
        ("GOOGLE_GEMINI_BASE_URL", Some(&config.gemini_base_url)),
    ])
}

fn set<const N: usize>(variables: [(&str, Option<&str>); N]) -> Vec<(String, OsString)> {
    let given = variables.into_iter().filter_map(|(name, value)| Some((name, value?)));
    given
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}
