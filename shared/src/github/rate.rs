//! What GitHub says is left of its rate limit.

use http::HeaderMap;

/// The media type of [`Rate::metrics`].
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The primary limit of one token, as the last answer told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in an hour.
    pub limit: u64,
    /// Requests left until the reset.
    pub remaining: u64,
    /// When it begins anew, in seconds since the Unix epoch.
    pub reset_s: u64,
}

impl Rate {
    /// What is left, as Prometheus reads it; empty where GitHub has told nothing yet.
    pub fn metrics(told: Option<Self>) -> String {
        let Some(rate) = told else { return String::new() };
        let rows = [
            (
                "github_rate_limit_requests",
                "Requests that GitHub's rate limit allows in an hour.",
                rate.limit,
            ),
            ("github_rate_limit_remaining", "Of these, left until the reset.", rate.remaining),
            ("github_rate_limit_reset_timestamp_seconds", "When it begins anew.", rate.reset_s),
        ];
        let gauge =
            |(name, help, value)| format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
        rows.map(gauge).concat()
    }

    /// `None` for an answer that does not count, such as a proxy's.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let number = |name| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        Some(Self {
            limit: number("x-ratelimit-limit")?,
            remaining: number("x-ratelimit-remaining")?,
            reset_s: number("x-ratelimit-reset")?,
        })
    }
}
