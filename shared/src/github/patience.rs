//! How long one step waits for a GitHub that does not answer as it should.

use std::time::Duration;

use tokio::time::Instant;

use super::error::ApiError;
use crate::retry::Backoff;

const PAUSE: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));

/// The waits of one piece of work, bounded in all.
pub struct Patience {
    until: Instant,
    failures: u32,
}

impl Patience {
    pub fn new(limit: Duration) -> Self {
        Self { until: Instant::now() + limit, failures: 0 }
    }

    /// Waits before the next try. `Err` gives the error back where no try can help, or none is left.
    pub async fn wait_after(&mut self, error: ApiError) -> Result<(), ApiError> {
        let pause = PAUSE.delay(self.failures).max(error.retry_after().unwrap_or_default());
        if !error.is_passing() || Instant::now() + pause > self.until {
            return Err(error);
        }
        self.failures += 1;
        tracing::debug!(%error, pause_ms = pause.as_millis() as u64, "GitHub is asked again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
