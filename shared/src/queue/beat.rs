//! Workers tell that they live.

use std::{collections::HashMap, time::Duration};

use redis::Value;

use super::{
    Queue, QueueError, Stopped,
    inspect::{first_word, number, text},
    pause,
};
use crate::{
    lifecycle::UnixMs,
    worker_info::{WorkerInfo, WorkerState},
};

/// A beat outlives so many intervals: one that is late does not make a worker look dead.
const BEATS_MISSED_MAX: u64 = 3;

/// The answer to a beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Taken, at this time of Redis' clock. `drained`: nothing is to be claimed, as somebody asked.
    Ok { at: UnixMs, drained: Option<Stopped> },
    /// Another incarnation of this node beats; its beat ends after `left` unless it goes on.
    Taken { left: Duration, hostname: String, pid: String },
}

impl Queue {
    /// How long a beat lives.
    pub fn beat_life(&self) -> Duration {
        Duration::from_millis(self.settings().beat_ms * BEATS_MISSED_MAX)
    }

    /// Says that the worker lives, and what it does. Never displaces another incarnation's living beat.
    pub async fn beat(&self, info: &WorkerInfo) -> Result<Beat, QueueError> {
        let json = serde_json::to_string(info).map_err(|error| QueueError::unexpected("beat", error))?;
        let specialties: Vec<&str> = info.specialties.iter().map(crate::Specialty::as_str).collect();
        let running: Vec<&str> = info.running.iter().map(crate::TaskId::as_str).collect();
        let life_ms = self.beat_life().as_millis().to_string();
        let pid = info.pid.to_string();
        // Apart from `info`, which this program reads, the fields are for people with redis-cli.
        let args = [
            "beat",
            &info.incarnation,
            &life_ms,
            "hostname",
            &info.hostname,
            "pid",
            &pid,
            "specialties",
            &specialties.join(","),
            "running",
            &running.join(","),
            "info",
            &json,
        ];
        let key = self.keys().worker(&info.id);
        let connections = &self.inner.connections;
        let answer: Vec<Value> = self.inner.scripts.beat.call(connections, &key, &args).await?;
        if first_word(&answer) == "taken" {
            let left = Duration::from_millis(answer.get(1).map_or(0, number));
            let at = |place: usize| answer.get(place).map(text).unwrap_or_default();
            return Ok(Beat::Taken { left, hostname: at(2), pid: at(3) });
        }
        // With every beat, so that a Redis that was flushed knows its workers again.
        let roll_keys = [&*self.keys().workers(), &self.keys().drained()];
        let drain: String = self.inner.scripts.roll.call_on(connections, &roll_keys, &[&info.id]).await?;
        self.register_specialties(&info.specialties).await?;
        Ok(Beat::Ok { at: answer.get(1).map_or(0, number), drained: pause::drained(&drain) })
    }

    /// Removes this incarnation's beat: a worker takes its leave.
    pub async fn leave(&self, node: &str, incarnation: &str) -> Result<bool, QueueError> {
        let key = self.keys().worker(node);
        let removed: u8 =
            self.inner.scripts.unbeat.call(&self.inner.connections, &key, &[incarnation]).await?;
        Ok(removed == 1)
    }

    /// Strikes a node off the roll: one that was made for a single run is not told of as offline.
    pub async fn forget_worker(&self, node: &str) -> Result<(), QueueError> {
        let key = self.keys().workers();
        self.inner
            .connections
            .run(async |mut connection| {
                redis::cmd("ZREM").arg(&key).arg(node).query_async(&mut connection).await
            })
            .await
    }

    /// Removes whatever beat this node has, its process being proven dead by the lock of its host.
    pub async fn bury(&self, node: &str) -> Result<bool, QueueError> {
        self.leave(node, "*").await
    }

    /// The last beat of `node`, while it lives.
    pub async fn worker(&self, node: &str) -> Result<Option<WorkerInfo>, QueueError> {
        let key = self.keys().worker(node);
        let fields: HashMap<String, String> = self
            .inner
            .connections
            .run(async |mut connection| redis::cmd("HGETALL").arg(&key).query_async(&mut connection).await)
            .await?;
        let Some(json) = fields.get("info") else { return Ok(None) };
        let mut info: WorkerInfo =
            serde_json::from_str(json).map_err(|error| QueueError::unexpected("a worker's beat", error))?;
        info.beat_at = fields.get("beat_at").and_then(|at| at.parse().ok()).unwrap_or(0);
        Ok(Some(info))
    }

    /// Every worker of the last day, by id.
    pub async fn workers(&self) -> Result<Vec<WorkerState>, QueueError> {
        let key = self.keys().workers();
        let roll: Vec<(String, f64)> = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("ZRANGE")
                    .arg(&key)
                    .arg(0)
                    .arg(-1)
                    .arg("WITHSCORES")
                    .query_async(&mut connection)
                    .await
            })
            .await?;
        let mut workers = Vec::with_capacity(roll.len());
        for (id, last) in roll {
            workers.push(match self.worker(&id).await? {
                Some(info) => WorkerState::Online(Box::new(info)),
                None => WorkerState::Offline { id, last_beat_at: last as UnixMs },
            });
        }
        workers.sort_by(|a, b| a.id().cmp(b.id()));
        Ok(workers)
    }
}
