//! What GitHub says is left of its rate limit.

use http::HeaderMap;

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
