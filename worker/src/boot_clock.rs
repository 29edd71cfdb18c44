//! Time that goes on while the machine sleeps.
//!
//! `Instant` is CLOCK_MONOTONIC, which stands still while a laptop is suspended: a worker that slept for an
//! hour would believe its leases fresh. Deadlines of leases therefore use CLOCK_BOOTTIME.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A point in time since boot, sleep included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    pub fn now() -> Self {
        // The clock exists since Linux 2.6.39; without it nothing would count as fresh, which is safe.
        Self(clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from))
    }

    /// As long ago as a machine may have slept.
    #[cfg(test)]
    pub fn ago(time: Duration) -> Self {
        Self(Self::now().0.saturating_sub(time))
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
