//! Keeps secrets out of whatever people read.

use std::{
    borrow::Cow,
    sync::{PoisonError, RwLock, RwLockReadGuard},
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use memchr::memmem;
use secrecy::{ExposeSecret, SecretString};
use shared::{
    Failure, Outcome,
    config::{Config, given},
    harmless::printable,
};

use crate::host::Host;

/// Shorter secrets are not looked for: they would blot out ordinary words.
const SECRET_BYTES_MIN: usize = 6;

const MARK: &str = "[redacted]";

/// Lines of a secret over several lines that are one each; shorter ones say nothing.
const LINE_BYTES_MIN: usize = 16;

/// Beginnings of a secret at the end of a cut text; shorter ones say nothing.
const BEGINNING_BYTES_MIN: usize = 4;

/// Most minted tokens that are known at a time. They live for an hour.
const MINTED_MAX: usize = 1_000;

/// What in the name of a variable says that its value is a secret.
const SECRET_NAMES: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"];

/// Every secret that this worker has: those of its configuration, and the tokens that were minted since.
#[derive(Default)]
pub(crate) struct Redactor {
    /// Longest first, so that one inside another leaves no remainder.
    configured: Vec<String>,
    minted: RwLock<Vec<(String, SystemTime)>>,
}

impl Redactor {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut configured: Vec<String> = secrets
            .into_iter()
            .map(str::trim)
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .flat_map(with_lines)
            .map(str::to_owned)
            .collect();
        configured.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        configured.dedup();
        Self { configured, minted: RwLock::default() }
    }

    /// A token that is good until then.
    pub(crate) fn learn(&self, token: &SecretString, until: SystemTime) {
        let mut minted = self.minted.write().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        minted.retain(|(_, until)| *until > now);
        if minted.len() == MINTED_MAX {
            minted.remove(0);
        }
        minted.push((token.expose_secret().to_owned(), until));
    }

    /// The secrets of the configuration, and those that `host` lends to agents.
    pub(crate) fn of(config: &Config, host: &Host) -> Self {
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
        let passed =
            config.agent.specialty.values().filter_map(|section| section.env_pass.as_ref()).flatten();
        let passed = config.sandbox.env_pass.iter().chain(&config.agent.env_pass).chain(passed);
        let lent = passed.filter_map(|name| lent(name, host.var(name)?.to_str()?));
        Self::new(whole.chain(given(&config.redis.url).and_then(password_of)).chain(lent))
    }

    /// Longest secret, in bytes: how far a text may be cut and still show the beginning of one.
    pub(crate) fn secret_bytes_max(&self) -> usize {
        self.all().iter().map(String::len).max().unwrap_or(0)
    }

    /// Longest form in which [`Redactor::found_in`] finds a secret, in bytes.
    pub(crate) fn needle_bytes_max(&self) -> usize {
        self.needles().iter().map(String::len).max().unwrap_or(0)
    }

    /// Whether a secret stands in `bytes`, as it is or encoded, and what that is called.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let found = self.needles().iter().any(|needle| contains(bytes, needle.as_bytes()));
        found.then_some("one of the worker's own secrets")
    }

    /// Each secret as it is, in Base64 at each of the three places where it may begin, and in hexadecimal.
    fn needles(&self) -> Vec<String> {
        let needles = |secret: &String| {
            // Of a key over several lines each line is enough; the longest one is its own.
            let line = secret.lines().max_by_key(|line| line.len()).unwrap_or(secret);
            let encoded = (0..3).map(|skipped| base64_core(line.as_bytes(), skipped));
            [line.to_owned(), hex::encode(line)].into_iter().chain(encoded).collect::<Vec<_>>()
        };
        self.all().iter().flat_map(needles).collect()
    }

    fn all(&self) -> Vec<String> {
        self.configured.iter().chain(self.minted().iter().map(|(token, _)| token)).cloned().collect()
    }

    fn minted(&self) -> RwLockReadGuard<'_, Vec<(String, SystemTime)>> {
        self.minted.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Call it before a text is cut: half of a secret is not found.
    pub(crate) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in self.configured.iter().chain(self.minted().iter().map(|(token, _)| token)) {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), MARK));
            }
        }
        text
    }

    /// The same for a text that was cut at its end already, where the beginning of a secret may stand.
    pub(crate) fn redact_cut(&self, text: &str) -> String {
        let mut text = self.redact(text).into_owned();
        for secret in self.all() {
            let lengths = (BEGINNING_BYTES_MIN..secret.len()).rev();
            let beginnings = lengths.filter_map(|length| secret.get(..length));
            if let Some(found) = beginnings.into_iter().find(|beginning| text.ends_with(beginning)) {
                text.truncate(text.len() - found.len());
                text.push_str(MARK);
            }
        }
        text
    }

    pub(crate) fn failure(&self, failure: Failure) -> Failure {
        Failure { message: self.told(&failure.message), ..failure }
    }

    /// A text for people, wherever they read it. Redacted again at the end: a character that is dropped may have hidden
    /// a secret.
    fn told(&self, text: &str) -> String {
        self.redact(&printable(&self.redact(text))).into_owned()
    }

    pub(crate) fn outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::NoChange { answer } => Outcome::NoChange { answer: self.told(&answer) },
            published @ (Outcome::Branch { .. } | Outcome::PullRequest { .. }) => published,
        }
    }
}

/// A secret, and where it has several lines each that is long enough: output comes line by line.
fn with_lines(secret: &str) -> impl Iterator<Item = &str> {
    let lines = secret.lines().map(str::trim).filter(move |line| *line != secret);
    std::iter::once(secret)
        .chain(lines.filter(|line| line.len() >= LINE_BYTES_MIN && !line.starts_with("-----")))
}

/// The secret in a variable that agents are given: a key by its name, a password in the address of a proxy.
fn lent<'v>(name: &str, value: &'v str) -> Option<&'v str> {
    let name = name.to_ascii_uppercase();
    if SECRET_NAMES.iter().any(|word| name.contains(word)) { Some(value) } else { password_of(value) }
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
        let redactor = Redactor::of(&config, &Host::new("/bin/true".into(), []));
        assert_eq!(redactor.redact("it says hunter22"), "it says [redacted]");
    }

    #[test]
    fn each_line_of_a_key_is_a_secret_and_its_frame_is_none() {
        let key =
            "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSjAgEAAo\nshort\n-----END KEY-----";
        let redactor = Redactor::new([key]);
        assert_eq!(redactor.redact("x BAQEFAASCBKcwggSjAgEAAo short"), "x [redacted] short");
        assert_eq!(redactor.redact("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
        assert_eq!(redactor.redact(key), "[redacted]");
    }

    #[test]
    fn what_agents_are_lent_by_name_is_a_secret_and_so_is_the_password_of_a_proxy() {
        let mut config = Config::defaults().unwrap();
        config.sandbox.env_pass.push("ACME_API_KEY".to_owned());
        let environment = [
            ("ACME_API_KEY", "acme-value"),
            ("HTTPS_PROXY", "http://me:proxy-password@host:3128"),
            ("NO_PROXY", "localhost"),
            ("OTHER_KEY", "not-passed"),
        ];
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let redactor = Redactor::of(&config, &Host::new("/bin/true".into(), environment));
        let said = redactor.redact("acme-value proxy-password localhost not-passed").into_owned();
        assert_eq!(said, "[redacted] [redacted] localhost not-passed");
    }

    #[test]
    fn a_minted_token_is_known_from_when_it_comes_until_it_ends() {
        let redactor = Redactor::new([]);
        let hour = std::time::Duration::from_secs(3_600);
        redactor.learn(&"ghs_first-token".into(), SystemTime::now() + hour);
        assert_eq!(redactor.redact("ghs_first-token"), MARK);
        assert!(redactor.found_in(hex::encode("ghs_first-token").as_bytes()).is_some());
        assert_eq!(redactor.secret_bytes_max(), "ghs_first-token".len());
        redactor.learn(&"ghs_ended-token".into(), SystemTime::now() - hour);
        redactor.learn(&"ghs_third-token".into(), SystemTime::now() + hour);
        assert_eq!(redactor.minted().len(), 2, "what has ended is forgotten");
        for n in 0..2 * MINTED_MAX {
            redactor.learn(&format!("ghs_token-{n}").into(), SystemTime::now() + hour);
        }
        assert_eq!(redactor.minted().len(), MINTED_MAX);
    }

    #[test]
    fn the_beginning_of_a_secret_at_a_cut_is_found_wherever_the_cut_is() {
        let (redactor, secret) = (Redactor::new(["日本-s3cret-token"]), "日本-s3cret-token");
        for cut in (BEGINNING_BYTES_MIN..=secret.len()).filter(|cut| secret.is_char_boundary(*cut)) {
            assert_eq!(redactor.redact_cut(&format!("it is {}", &secret[..cut])), "it is [redacted]");
        }
        assert_eq!(redactor.redact_cut("it is"), "it is");
    }
}
