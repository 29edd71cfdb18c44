//! How long to wait before trying again.

use std::time::Duration;

/// Exponential back-off with full jitter: uniformly random between zero and `base * 2^attempt`, at most `cap`.
///
/// Full jitter, because many workers that lost the same server must not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub cap: Duration,
}

impl Backoff {
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// The longest wait before attempt number `attempt`, counted from 0.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// A wait before attempt number `attempt`, counted from 0; never under a tenth of the base, so that a
    /// loop on a refused connection cannot spin.
    pub fn delay(&self, attempt: u32) -> Duration {
        let ceiling = self.ceiling(attempt).as_millis() as u64;
        let floor = (self.base.as_millis() as u64 / 10).max(1);
        Duration::from_millis(fastrand::u64(floor..=ceiling.max(floor)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_never_reach_zero() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        assert_eq!(backoff.ceiling(0), Duration::from_millis(100));
        assert_eq!(backoff.ceiling(3), Duration::from_millis(800));
        assert_eq!(backoff.ceiling(200), Duration::from_secs(2));
        for attempt in 0..40 {
            let delay = backoff.delay(attempt);
            assert!(delay >= Duration::from_millis(10) && delay <= Duration::from_secs(2));
        }
    }
}
