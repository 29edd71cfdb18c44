//! Effective values as they are shown: each with its source, secrets masked.

use config::{Map, Value, ValueKind};
use serde::Serialize;

use super::{load::BUILT_IN, schema::REPOSITORY};

/// Keys whose values are never shown. The URL of Redis is shown without its password.
pub(super) const SECRET_KEYS: [&str; 12] = [
    "redis.password",
    "redis.sentinel_password",
    "redis.client_key",
    "api.token",
    "github.token",
    "github.app_key",
    "github.proxy",
    "github.webhook_secret",
    "agent.anthropic_api_key",
    "agent.claude_code_oauth_token",
    "agent.openai_api_key",
    "agent.gemini_api_key",
];

const MASK: &str = "********";

/// One effective value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// `section.key`, or `repository[0].match`.
    pub key: String,
    /// As TOML would write it; secrets as asterisks.
    pub value: String,
    /// The file, variable or flag that set it.
    pub origin: String,
}

/// Every leaf of `merged`, in the order of the keys.
pub(super) fn list(merged: &config::Config) -> Vec<Setting> {
    let ValueKind::Table(tables) = &merged.cache.kind else { return Vec::new() };
    let mut settings: Vec<Setting> = flatten(tables)
        .into_iter()
        .map(|(key, value)| Setting {
            value: shown(&key, value),
            origin: value.origin().unwrap_or(BUILT_IN).to_owned(),
            key,
        })
        .collect();
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    settings
}

/// The leaves of `tables` with their full keys.
pub(super) fn flatten(tables: &Map<String, Value>) -> Vec<(String, &Value)> {
    let mut leaves = Vec::new();
    for (section, value) in tables {
        match &value.kind {
            ValueKind::Array(entries) if section == REPOSITORY => {
                for (index, entry) in entries.iter().enumerate() {
                    collect(format!("{section}[{index}]"), entry, &mut leaves);
                }
            }
            _ => collect(section.clone(), value, &mut leaves),
        }
    }
    leaves
}

fn collect<'v>(name: String, value: &'v Value, leaves: &mut Vec<(String, &'v Value)>) {
    match &value.kind {
        ValueKind::Table(keys) => {
            for (key, value) in keys {
                collect(format!("{name}.{key}"), value, leaves);
            }
        }
        _ => leaves.push((name, value)),
    }
}

/// Whether showing `value` would give a secret away.
pub(super) fn holds_secret(key: &str, value: &Value) -> bool {
    match &value.kind {
        ValueKind::String(text) if SECRET_KEYS.contains(&key) => !text.is_empty(),
        ValueKind::String(text) => url_without_password(text) != *text,
        _ => false,
    }
}

fn shown(key: &str, value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) if SECRET_KEYS.contains(&key) && !text.is_empty() => MASK.to_owned(),
        ValueKind::String(text) => quoted(&url_without_password(text)),
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| shown("", item)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Float(number) => format!("{number:?}"),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A URL with its password masked; any other text as it is.
fn url_without_password(text: &str) -> String {
    let masked = text.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (credentials, host) = authority.rsplit_once('@')?;
        let (user, _) = credentials.split_once(':')?;
        Some(format!("{scheme}://{user}:{MASK}@{host}{path}"))
    });
    masked.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        assert_eq!(url_without_password("redis://u:p@ss@h:1/0"), "redis://u:********@h:1/0");
        assert_eq!(url_without_password("redis://:p@h"), "redis://:********@h");
        assert_eq!(url_without_password("unix:///run/a@b:c"), "unix:///run/a@b:c");
        assert_eq!(url_without_password("git@h:o/n.git"), "git@h:o/n.git");
    }
}
