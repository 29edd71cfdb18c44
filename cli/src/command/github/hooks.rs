//! Webhooks of a repository, as GitHub tells of them.

use serde::Deserialize;
use serde_json::{Value, json};
use shared::github::{ApiError, Patience, Repository};

/// What the ingester reacts to.
pub const EVENTS: [&str; 2] = ["issues", "issue_comment"];

/// Webhooks that are looked at; GitHub allows 20 for an event.
const HOOKS_MAX: usize = 100;

/// Deliveries that are looked at, the latest ones.
pub const DELIVERIES_MAX: usize = 20;

#[derive(Clone, Debug, Deserialize)]
pub struct Hook {
    pub id: u64,
    pub active: bool,
    pub events: Vec<String>,
    pub config: HookConfig,
}

#[derive(Clone, Debug, Deserialize)]
pub struct HookConfig {
    #[serde(default)]
    pub url: String,
    pub content_type: Option<String>,
    /// Asterisks where there is one.
    pub secret: Option<String>,
}

/// One webhook that GitHub has sent, or tried to.
#[derive(Clone, Debug, Deserialize)]
pub struct Delivery {
    pub event: String,
    /// Of the ingester's answer; 0 where there was none.
    pub status_code: u16,
    /// In GitHub's words: `OK`, `Invalid HTTP Response: 401`, `failed to connect to host`.
    pub status: String,
    pub delivered_at: String,
}

impl Hook {
    /// Those of [`EVENTS`] that it does not send.
    pub fn lacking(&self) -> Vec<&'static str> {
        let sends = |event: &str| self.events.iter().any(|sent| sent == event || sent == "*");
        EVENTS.into_iter().filter(|event| !sends(event)).collect()
    }
}

impl Delivery {
    pub fn was_received(&self) -> bool {
        (200..300).contains(&self.status_code)
    }
}

/// All webhooks of the repository, first made first.
pub async fn list(repository: &Repository, patience: &mut Patience) -> Result<Vec<Hook>, ApiError> {
    let mut hooks: Vec<Hook> = repository.read(&format!("hooks?per_page={HOOKS_MAX}"), patience).await?;
    hooks.sort_by_key(|hook| hook.id);
    Ok(hooks)
}

/// The latest deliveries, newest first.
pub async fn deliveries(
    repository: &Repository,
    hook: u64,
    patience: &mut Patience,
) -> Result<Vec<Delivery>, ApiError> {
    repository.read(&format!("hooks/{hook}/deliveries?per_page={DELIVERIES_MAX}"), patience).await
}

/// Whether two URLs are one place.
pub fn same_url(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// What is sent to make a webhook, and to change one.
pub fn wanted(url: &str, secret: &str) -> Value {
    json!({
        "active": true,
        "events": EVENTS,
        "config": {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"}
    })
}
