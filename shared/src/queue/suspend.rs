//! Agent accounts that met a limit: nobody who shares one claims until it resets.

use std::time::Duration;

use super::{Queue, QueueError};
use crate::lifecycle::UnixMs;

/// How long a limit lasts whose key has no end, as one that was set by hand: an hour from when somebody looked.
const WITHOUT_END: Duration = Duration::from_secs(3_600);

/// What `PEXPIRETIME` answers of a key without an end.
pub(super) const NO_END: i64 = -1;

impl Queue {
    /// Suspends `account` for at least `life`. Done before the task is given back, so that nobody of the account
    /// claims it in between.
    pub async fn suspend_account(&self, account: &str, life: Duration) -> Result<(), QueueError> {
        let key = self.keys().account_limited(account);
        let life_ms = (life.as_millis() as u64).max(1).to_string();
        self.inner.scripts.suspend.call::<u8>(&self.inner.connections, &key, &[life_ms]).await?;
        Ok(())
    }

    /// Until when `account` is suspended, by Redis' clock; `None` when it is not. A limit without an end gets one.
    pub async fn account_suspended_until(&self, account: &str) -> Result<Option<UnixMs>, QueueError> {
        let key = self.keys().account_limited(account);
        let mut at = self.limit_ends(&key).await?;
        if at == NO_END {
            self.bound_limit(&key).await?;
            at = self.limit_ends(&key).await?;
        }
        Ok(u64::try_from(at).ok())
    }

    async fn limit_ends(&self, key: &str) -> Result<i64, QueueError> {
        self.inner
            .connections
            .run(async |mut connection| redis::cmd("PEXPIRETIME").arg(key).query_async(&mut connection).await)
            .await
    }

    pub(super) async fn bound_limit(&self, key: &str) -> Result<(), QueueError> {
        let life_s = WITHOUT_END.as_secs();
        self.inner
            .connections
            .run(async |mut connection| {
                redis::cmd("EXPIRE").arg(key).arg(life_s).arg("NX").query_async(&mut connection).await
            })
            .await
    }
}
