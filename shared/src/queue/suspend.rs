//! Agent accounts that met a limit: nobody who shares one claims until it resets.

use std::time::Duration;

use super::{Queue, QueueError};
use crate::lifecycle::UnixMs;

impl Queue {
    /// Suspends `account` for at least `life`. Done before the task is given back, so that nobody of the account
    /// claims it in between.
    pub async fn suspend_account(&self, account: &str, life: Duration) -> Result<(), QueueError> {
        let key = self.keys().account_limited(account);
        let life_ms = (life.as_millis() as u64).max(1).to_string();
        self.inner.scripts.suspend.call::<u8>(&self.inner.connections, &key, &[life_ms]).await?;
        Ok(())
    }

    /// Until when `account` is suspended, by Redis' clock; `None` when it is not.
    pub async fn account_suspended_until(&self, account: &str) -> Result<Option<UnixMs>, QueueError> {
        let key = self.keys().account_limited(account);
        let at: i64 = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("PEXPIRETIME").arg(&key).query_async(&mut connection).await
            })
            .await?;
        Ok(u64::try_from(at).ok())
    }
}
