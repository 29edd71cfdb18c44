//! Looking without changing anything; each look costs a constant or one page.

use std::collections::{BTreeMap, HashMap};

use redis::Value;

use super::{Queue, QueueError, record};
use crate::{Priority, Specialty, TaskId, TaskRecord, TaskSpec, lifecycle::UnixMs};

/// Most records that one page holds.
const PAGE_MAX: usize = 500;

/// An entry of a stream as XRANGE answers it.
type RawEntry = (String, Vec<(Vec<u8>, Vec<u8>)>);

/// How many tasks of a specialty are where.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub held: u64,
    pub pending: u64,
    pub active: u64,
    pub delayed: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub paused: bool,
}

/// What of a specialty could be claimed now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub high: Depth,
    pub medium: Depth,
    pub low: Depth,
}

/// What waits in one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub tasks: u64,
    /// When the oldest of them came into the queue.
    pub oldest_at: Option<UnixMs>,
}

/// A page of records and where the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    pub tasks: Vec<TaskRecord>,
    /// `None` after the last page.
    pub next: Option<String>,
}

impl Queue {
    /// One task's record, wherever it is.
    pub async fn task(&self, id: &TaskId) -> Result<Option<TaskRecord>, QueueError> {
        let mut looked = None;
        while let Some(specialty) = self.locate_anew(id, &mut looked).await? {
            if let Some(record) = self.record(&specialty, id).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The specification, while it is kept: not of completed tasks.
    pub async fn spec(&self, id: &TaskId) -> Result<Option<TaskSpec>, QueueError> {
        let mut looked = None;
        while let Some(specialty) = self.locate_anew(id, &mut looked).await? {
            if let Some(spec) = self.spec_in(&specialty, id).await? {
                return Ok(Some(spec));
            }
        }
        Ok(None)
    }

    /// Where the task is, unless it was looked for there last: one that is moved may leave between the look at its
    /// locator and that at its record.
    async fn locate_anew(
        &self,
        id: &TaskId,
        looked: &mut Option<Specialty>,
    ) -> Result<Option<Specialty>, QueueError> {
        let found = self.locate(id).await?.filter(|found| looked.as_ref() != Some(found));
        looked.clone_from(&found);
        Ok(found)
    }

    async fn spec_in(&self, specialty: &Specialty, id: &TaskId) -> Result<Option<TaskSpec>, QueueError> {
        let keys = self.keys().specialty(specialty);
        let (record, own) = (keys.record(id), keys.spec(id));
        let bytes: Option<Vec<u8>> = self
            .inner
            .connections
            .run(async |mut connection| {
                let own: Option<Vec<u8>> = redis::cmd("GET").arg(&own).query_async(&mut connection).await?;
                if own.is_some() {
                    return Ok(own);
                }
                let (entry, priority): (Option<String>, Option<String>) = redis::cmd("HMGET")
                    .arg(&record)
                    .arg("entry")
                    .arg("priority")
                    .query_async(&mut connection)
                    .await?;
                let (Some(entry), Some(priority)) = (entry, priority) else { return Ok(None) };
                let stream = format!("{}tasks:{priority}", keys.base());
                let found: Vec<(String, HashMap<String, Vec<u8>>)> = redis::cmd("XRANGE")
                    .arg(&stream)
                    .arg(&entry)
                    .arg(&entry)
                    .query_async(&mut connection)
                    .await?;
                Ok(found.into_iter().next().and_then(|(_, mut fields)| fields.remove("spec")))
            })
            .await?;
        let mut spec = bytes.map(|bytes| record::decode_spec(id, &bytes)).transpose()?;
        // Moved tasks keep what their specification said first.
        if let (Some(spec), Some(record)) = (&mut spec, self.record(specialty, id).await?) {
            spec.priority = record.priority;
        }
        Ok(spec)
    }

    /// The specialties that ever had a task or a worker, by name.
    pub async fn specialties(&self) -> Result<Vec<Specialty>, QueueError> {
        let key = self.keys().specialties();
        let mut names: Vec<String> = self
            .inner
            .connections
            .run(async |mut connection| redis::cmd("SMEMBERS").arg(&key).query_async(&mut connection).await)
            .await?;
        names.sort();
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// How many tasks are where.
    pub async fn counts(&self, specialty: &Specialty) -> Result<Counts, QueueError> {
        let keys = self.keys().specialty(specialty);
        let mut pipe = redis::pipe();
        for priority in Priority::ALL {
            pipe.cmd("XLEN").arg(keys.stream(priority));
        }
        for index in [
            keys.leases(),
            keys.delayed(),
            keys.held(),
            keys.settled("completed"),
            keys.settled("failed"),
            keys.settled("cancelled"),
        ] {
            pipe.cmd("ZCARD").arg(index);
        }
        pipe.cmd("SCARD").arg(keys.direct()).cmd("EXISTS").arg(keys.paused());
        let n: Vec<u64> = self
            .inner
            .connections
            .run(async |mut connection| pipe.query_async(&mut connection).await)
            .await?;
        let at = |place: usize| n.get(place).copied().unwrap_or(0);
        // Entries less those leased or delayed; direct tasks have no entry.
        let pending = (at(0) + at(1) + at(2) + at(9)).saturating_sub(at(3) + at(4));
        Ok(Counts {
            held: at(5),
            pending,
            active: at(3),
            delayed: at(4),
            completed: at(6),
            failed: at(7),
            cancelled: at(8),
            paused: at(10) == 1,
        })
    }

    /// How much waits in each priority, and since when.
    pub async fn waiting(&self, specialty: &Specialty) -> Result<Waiting, QueueError> {
        let keys = self.keys().specialty(specialty);
        let no_arguments: [&str; 0] = [];
        let n: [u64; 6] =
            self.inner.scripts.waiting.call(&self.inner.connections, keys.base(), &no_arguments).await?;
        let depth = |tasks, oldest| Depth { tasks, oldest_at: Some(oldest).filter(|at| *at > 0) };
        Ok(Waiting { high: depth(n[0], n[1]), medium: depth(n[2], n[3]), low: depth(n[4], n[5]) })
    }

    /// A page of the tasks of `specialty` in `status`, oldest first for those under way, newest first for
    /// those that ended. `after` is the `next` of the page before; what comes and goes in between neither repeats
    /// nor hides a task. Two rounds to Redis, however many tasks there are.
    pub async fn list(
        &self,
        specialty: &Specialty,
        status: &str,
        after: Option<&str>,
        count: usize,
    ) -> Result<ListPage, QueueError> {
        let count = count.clamp(1, PAGE_MAX);
        let (ids, next) = match status {
            "pending" => self.pending_page(specialty, after, count).await?,
            _ => self.index_page(specialty, status, after, count).await?,
        };
        let ids: Vec<TaskId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let mut tasks = self.records(specialty, &ids).await?;
        // One that moved on since the index was read belongs to another page.
        tasks.retain(|record| record.status.name() == status);
        Ok(ListPage { tasks, next })
    }

    async fn index_page(
        &self,
        specialty: &Specialty,
        status: &str,
        after: Option<&str>,
        count: usize,
    ) -> Result<(Vec<String>, Option<String>), QueueError> {
        let order = match status {
            "held" | "active" | "delayed" => "oldest",
            "completed" | "failed" | "cancelled" => "newest",
            other => return Err(QueueError::unexpected("list", format!("no status '{other}'"))),
        };
        let mut args = vec![status.to_owned(), count.to_string(), order.to_owned()];
        if let Some((score, id)) = after.and_then(|text| text.split_once(' ')) {
            args.extend([score.to_owned(), id.to_owned()]);
        }
        let keys = self.keys().specialty(specialty);
        let page: Vec<(String, String)> =
            self.inner.scripts.page.call(&self.inner.connections, keys.base(), args).await?;
        let last = page.last().filter(|_| page.len() == count);
        let next = last.map(|(id, score)| format!("{score} {id}"));
        Ok((page.into_iter().map(|(id, _)| id).collect(), next))
    }

    /// Waiting tasks: walks the three streams; the cursor is `priority entry`.
    async fn pending_page(
        &self,
        specialty: &Specialty,
        after: Option<&str>,
        count: usize,
    ) -> Result<(Vec<String>, Option<String>), QueueError> {
        let keys = self.keys().specialty(specialty);
        let (from, entry) = after.and_then(|text| text.split_once(' ')).unwrap_or(("high", ""));
        let from: Priority = from.parse().map_err(|error| QueueError::unexpected("list", error))?;
        let mut ids = Vec::new();
        for priority in Priority::ALL.into_iter().filter(|priority| *priority >= from) {
            let after = Some(entry).filter(|entry| priority == from && !entry.is_empty());
            let entries = self.read_stream(&keys.stream(priority), after, count - ids.len()).await?;
            let last = entries.last().map(|(cursor, _)| cursor.clone());
            ids.extend(entries.into_iter().filter_map(|(_, mut fields)| fields.remove("task")));
            if ids.len() >= count {
                return Ok((ids, last.map(|cursor| format!("{priority} {cursor}"))));
            }
        }
        Ok((ids, None))
    }

    pub(super) async fn locate(&self, id: &TaskId) -> Result<Option<Specialty>, QueueError> {
        let key = self.keys().locator(id);
        let named: Option<String> = self
            .inner
            .connections
            .run(async |mut connection| redis::cmd("GET").arg(&key).query_async(&mut connection).await)
            .await?;
        named
            .map(|text| text.parse().map_err(|error| QueueError::unexpected("the locator", error)))
            .transpose()
    }

    pub(super) async fn register_specialties(&self, specialties: &[Specialty]) -> Result<(), QueueError> {
        if specialties.is_empty() {
            return Ok(());
        }
        let key = self.keys().specialties();
        let names: Vec<&str> = specialties.iter().map(Specialty::as_str).collect();
        self.inner.scripts.enlist.call::<u64>(&self.inner.connections, &key, &names).await?;
        Ok(())
    }

    pub(super) async fn record(
        &self,
        specialty: &Specialty,
        id: &TaskId,
    ) -> Result<Option<TaskRecord>, QueueError> {
        Ok(self.records(specialty, std::slice::from_ref(id)).await?.pop())
    }

    /// Those of `ids` that are in `specialty`, in one round.
    async fn records(&self, specialty: &Specialty, ids: &[TaskId]) -> Result<Vec<TaskRecord>, QueueError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys().specialty(specialty);
        let mut pipe = redis::pipe();
        pipe.cmd("ZMSCORE").arg(keys.leases());
        for id in ids {
            pipe.arg(id.as_str());
        }
        for id in ids {
            pipe.cmd("HGETALL").arg(keys.record(id));
        }
        let answers: Vec<Value> = self
            .inner
            .connections
            .run(async |mut connection| pipe.query_async(&mut connection).await)
            .await?;
        let refuse = |error| QueueError::unexpected("records", error);
        let mut answers = answers.into_iter();
        let leases: Vec<Option<f64>> =
            redis::from_redis_value(answers.next().unwrap_or(Value::Nil)).map_err(refuse)?;
        let mut records = Vec::with_capacity(ids.len());
        for ((id, lease), fields) in ids.iter().zip(leases).zip(answers) {
            let fields: HashMap<String, String> = redis::from_redis_value(fields).map_err(refuse)?;
            if !fields.is_empty() {
                records.push(record::decode_record(id, specialty, &fields, lease.map(|at| at as u64))?);
            }
        }
        Ok(records)
    }

    /// Entries of a stream after a cursor, with their fields as text; bytes that are no text are replaced.
    pub(super) async fn read_stream(
        &self,
        key: &str,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<(String, BTreeMap<String, String>)>, QueueError> {
        let from = after.map_or_else(|| "-".to_owned(), |cursor| format!("({cursor}"));
        let items: Vec<RawEntry> = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("XRANGE")
                    .arg(key)
                    .arg(&from)
                    .arg("+")
                    .arg("COUNT")
                    .arg(count)
                    .query_async(&mut connection)
                    .await
            })
            .await?;
        let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let entries = items.into_iter().map(|(cursor, fields)| {
            (cursor, fields.into_iter().map(|(name, value)| (lossy(name), lossy(value))).collect())
        });
        Ok(entries.collect())
    }
}

/// Milliseconds of a stream entry's id.
pub(super) fn stream_ms(cursor: &str) -> u64 {
    cursor.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0)
}

/// The status word that a script's answer begins with.
pub(super) fn first_word(answer: &[Value]) -> String {
    answer.first().map(text).unwrap_or_default()
}

pub(super) fn text(value: &Value) -> String {
    redis::from_redis_value_ref(value).unwrap_or_default()
}

pub(super) fn number(value: &Value) -> u64 {
    redis::from_redis_value_ref(value).unwrap_or_default()
}
