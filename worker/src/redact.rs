//! Keeps secrets out of whatever people read.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use memchr::memmem;
use secrecy::SecretString;
use shared::{
    Failure, Outcome,
    config::{Config, given},
};

/// Shorter secrets are not looked for: they would blot out ordinary words.
const SECRET_BYTES_MIN: usize = 6;

const MARK: &str = "[redacted]";

/// Every configured secret, longest first, so that one inside another leaves no remainder.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets: Vec<String> = secrets
            .into_iter()
            .map(str::trim)
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .map(str::to_owned)
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets }
    }

    pub(crate) fn of(config: &Config) -> Self {
        let all: [&SecretString; 12] = [
            &config.github.token,
            &config.github.app_key,
            &config.github.webhook_secret,
            &config.redis.url,
            &config.redis.password,
            &config.redis.sentinel_password,
            &config.redis.client_key,
            &config.agent.anthropic_api_key,
            &config.agent.claude_code_oauth_token,
            &config.agent.openai_api_key,
            &config.agent.gemini_api_key,
            &config.api.token,
        ];
        let whole = all.into_iter().filter_map(given);
        Self::new(whole.chain(given(&config.redis.url).and_then(password_of)))
    }

    /// Longest secret, in bytes: how far a text may be cut and still show the beginning of one.
    pub(crate) fn secret_bytes_max(&self) -> usize {
        self.secrets.first().map_or(0, String::len)
    }

    /// Longest form in which [`Redactor::found_in`] finds a secret, in bytes.
    pub(crate) fn needle_bytes_max(&self) -> usize {
        self.needles().map(|needle| needle.len()).max().unwrap_or(0)
    }

    /// Whether a secret stands in `bytes`, as it is or encoded, and what that is called.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let found = self.needles().any(|needle| contains(bytes, needle.as_bytes()));
        found.then_some("one of the worker's own secrets")
    }

    /// Each secret as it is, in Base64 at each of the three places where it may begin, and in hexadecimal.
    fn needles(&self) -> impl Iterator<Item = String> + '_ {
        self.secrets.iter().flat_map(|secret| {
            // Of a key over several lines each line is enough; the longest one is its own.
            let line = secret.lines().max_by_key(|line| line.len()).unwrap_or(secret);
            let encoded = (0..3).map(|skipped| base64_core(line.as_bytes(), skipped));
            [line.to_owned(), hex::encode(line)].into_iter().chain(encoded)
        })
    }

    pub(crate) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), MARK));
            }
        }
        text
    }

    pub(crate) fn failure(&self, mut failure: Failure) -> Failure {
        failure.message = self.redact(&failure.message).into_owned();
        failure
    }

    pub(crate) fn outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::NoChange { answer } => Outcome::NoChange { answer: self.redact(&answer).into_owned() },
            published @ (Outcome::Branch { .. } | Outcome::PullRequest { .. }) => published,
        }
    }
}

/// `pw` of `redis://user:pw@host`.
fn password_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let (credentials, _) = rest.rsplit_once('@')?;
    credentials.split_once(':').map(|(_, password)| password)
}

/// The part of a Base64 text that does not depend on what stands around `bytes`, of which `skipped` more bytes
/// stand before it.
fn base64_core(bytes: &[u8], skipped: usize) -> String {
    let mut padded = vec![0; skipped];
    padded.extend_from_slice(bytes);
    let text = STANDARD_NO_PAD.encode(&padded);
    let end = padded.len() * 8 / 6;
    let start = (skipped * 8).div_ceil(6);
    text[start..end].to_owned()
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && memmem::find(text, needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_inside_another_leaves_no_remainder() {
        let redactor = Redactor::new(["abcdef", "abcdefghij", "short"]);
        assert_eq!(redactor.redact("x abcdefghij abcdef short"), "x [redacted] [redacted] short");
    }

    #[test]
    fn the_password_of_a_redis_url_is_a_secret_of_its_own() {
        let mut config = Config::defaults().unwrap();
        config.redis.url = "rediss://user:hunter22@host:6379/0".into();
        assert_eq!(Redactor::of(&config).redact("it says hunter22"), "it says [redacted]");
    }
}
