//! A specialty is paused, or a worker drained: nothing new begins there.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Queue, QueueError};
use crate::{Specialty, lifecycle::UnixMs, task::cut};

/// How long a drain lasts that nobody takes back. A worker that is gone for good is not remembered for ever.
pub const DRAIN_LIFE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Most workers that are drained at once.
const DRAINED_MAX: u64 = 10_000;

/// Longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 500;

/// What `PEXPIRETIME` answers where there is no key.
const NO_KEY: i64 = -2;

/// Who stopped something, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    pub by: String,
    /// Empty when none was given.
    pub reason: String,
    /// Since when, by Redis' clock.
    pub at: UnixMs,
    /// When it ends by itself.
    pub until: Option<UnixMs>,
}

/// What of [`Stopped`] a drain writes as text; the two times stand before it.
#[derive(Serialize, Deserialize)]
struct Why<'a> {
    by: std::borrow::Cow<'a, str>,
    reason: std::borrow::Cow<'a, str>,
}

impl Queue {
    /// Nobody claims of `specialty` until it is resumed, or `life` is over. What runs goes on. Whether it was not
    /// paused before; the last pause counts.
    pub async fn pause(
        &self,
        specialty: &Specialty,
        by: &str,
        reason: &str,
        life: Option<Duration>,
    ) -> Result<bool, QueueError> {
        let keys = self.keys().specialty(specialty);
        let life_ms = life.map(|life| life.as_millis().max(1).to_string()).unwrap_or_default();
        let args = [by, cut(reason, REASON_BYTES_MAX), &life_ms];
        let new: u8 = self.inner.scripts.pause.call(&self.inner.connections, keys.base(), &args).await?;
        Ok(new == 1)
    }

    /// Ends a pause and wakes a worker for what waits. Whether it was paused.
    pub async fn resume(&self, specialty: &Specialty, by: &str) -> Result<bool, QueueError> {
        let keys = self.keys().specialty(specialty);
        let paused: u8 = self.inner.scripts.resume.call(&self.inner.connections, keys.base(), &[by]).await?;
        Ok(paused == 1)
    }

    /// Who paused `specialty`, while it is.
    pub async fn paused(&self, specialty: &Specialty) -> Result<Option<Stopped>, QueueError> {
        let key = self.keys().specialty(specialty).paused();
        let mut pipe = redis::pipe();
        pipe.cmd("PEXPIRETIME").arg(&key).cmd("HGETALL").arg(&key).ignore_errors();
        let (until, fields): (i64, redis::Value) = self
            .inner
            .connections
            .run(async |mut connection| pipe.query_async(&mut connection).await)
            .await?;
        if until == NO_KEY {
            return Ok(None);
        }
        // A flag that was set by hand says nobody's name, and counts.
        let fields: HashMap<String, String> = redis::from_redis_value(fields).unwrap_or_default();
        let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
        Ok(Some(Stopped {
            by: text("by"),
            reason: text("reason"),
            at: text("at").parse().unwrap_or(0),
            until: u64::try_from(until).ok(),
        }))
    }

    /// The worker named `node` claims nothing more, from its next beat on and after restarts, until it is undrained
    /// or `life` (at most [`DRAIN_LIFE`]) is over. What it runs goes on. It need not be online.
    ///
    /// # Errors
    /// [`QueueError::Unsuitable`] when 10,000 workers are drained.
    pub async fn drain_worker(
        &self,
        node: &str,
        by: &str,
        reason: &str,
        life: Option<Duration>,
    ) -> Result<(), QueueError> {
        let why = Why { by: by.into(), reason: cut(reason, REASON_BYTES_MAX).into() };
        let json = serde_json::to_string(&why).map_err(|error| QueueError::unexpected("drain", error))?;
        let life_ms = life.unwrap_or(DRAIN_LIFE).min(DRAIN_LIFE).as_millis().max(1).to_string();
        let args = [node, &life_ms, &DRAINED_MAX.to_string(), &json];
        let key = self.keys().drained();
        let answer: String = self.inner.scripts.drain.call(&self.inner.connections, &key, &args).await?;
        if answer == "full" {
            let message = format!("{DRAINED_MAX} workers are drained; undrain some first");
            return Err(QueueError::Unsuitable(message));
        }
        Ok(())
    }

    /// Lets a drained worker claim again. Whether it was drained.
    pub async fn undrain_worker(&self, node: &str) -> Result<bool, QueueError> {
        let key = self.keys().drained();
        let removed: u8 = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("HDEL").arg(&key).arg(node).query_async(&mut connection).await
            })
            .await?;
        Ok(removed == 1)
    }

    /// The workers that are drained, by name, also those that are offline.
    pub async fn drained_workers(&self) -> Result<BTreeMap<String, Stopped>, QueueError> {
        let key = self.keys().drained();
        let mut pipe = redis::pipe();
        pipe.cmd("HGETALL").arg(&key).cmd("TIME");
        let (kept, (seconds, _)): (BTreeMap<String, String>, (u64, u64)) = self
            .inner
            .connections
            .run(async |mut connection| pipe.query_async(&mut connection).await)
            .await?;
        let living = |stopped: &Stopped| stopped.until.is_none_or(|until| until > seconds * 1_000);
        let decoded = kept.into_iter().filter_map(|(node, text)| Some((node, drained(&text)?)));
        Ok(decoded.filter(|(_, stopped)| living(stopped)).collect())
    }
}

/// A drain from `<until> <at> <json>`.
pub(super) fn drained(text: &str) -> Option<Stopped> {
    let mut parts = text.splitn(3, ' ');
    let until = parts.next()?.parse().ok()?;
    let at = parts.next()?.parse().ok()?;
    let why: Why<'_> = serde_json::from_str(parts.next()?).ok()?;
    Some(Stopped { by: why.by.into_owned(), reason: why.reason.into_owned(), at, until: Some(until) })
}
