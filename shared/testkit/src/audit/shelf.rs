//! All that one specialty keeps, read into memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};
use redis::{Connection, FromRedisValue, Value};

use super::BATCH;

pub const PRIORITIES: [&str; 3] = ["high", "medium", "low"];
pub const SETTLED: [(&str, &str); 3] =
    [("completed", "finished"), ("failed", "failed"), ("cancelled", "cancelled")];

/// The plain fields of a task.
pub type Record = HashMap<String, String>;

/// One stream and what its group has delivered.
#[derive(Default)]
pub struct Line {
    /// Entry to task, in order.
    pub entries: BTreeMap<EntryId, String>,
    /// Entry to the consumer that it is pending at.
    pub pending: BTreeMap<EntryId, String>,
    pub delivered: EntryId,
}

/// `ms-sequence`, ordered as Redis orders it.
pub type EntryId = (u64, u64);

#[derive(Default)]
pub struct Shelf {
    pub lines: BTreeMap<&'static str, Line>,
    /// `leases`, `delayed`, `again`, `held` and the settled ones: member to score.
    pub indexes: BTreeMap<&'static str, BTreeMap<String, f64>>,
    pub direct: BTreeSet<String>,
    pub records: BTreeMap<String, Record>,
    /// Ids that have a specification of their own.
    pub specs: BTreeSet<String>,
    /// Id to lines and life in ms.
    pub logs: BTreeMap<String, (usize, i64)>,
    /// Task and issue of each effect due.
    pub outbox: Vec<(String, String)>,
    pub events: usize,
    pub stats: HashMap<String, i64>,
    /// Names of keys that are none of the above.
    pub strangers: Vec<String>,
}

impl Shelf {
    /// Reads the keys `names`, which all begin with `base`.
    pub fn load(connection: &mut Connection, base: &str, names: &[String]) -> Result<Self> {
        let mut shelf = Self::default();
        let mut ids: HashMap<&str, Vec<&str>> = HashMap::new();
        for name in names {
            match name.split_once(':') {
                Some((family @ ("task" | "spec" | "log"), id)) => ids.entry(family).or_default().push(id),
                Some(("tasks", priority)) if PRIORITIES.contains(&priority) => {}
                None if is_single(name) => {}
                _ => shelf.strangers.push(name.clone()),
            }
        }
        for index in ["leases", "delayed", "again", "held"].into_iter().chain(SETTLED.map(|(_, index)| index))
        {
            shelf.indexes.insert(index, zset(connection, &format!("{base}{index}"))?);
        }
        for priority in PRIORITIES {
            shelf.lines.insert(priority, Line::load(connection, &format!("{base}tasks:{priority}"))?);
        }
        shelf.direct = redis::cmd("SMEMBERS").arg(format!("{base}direct")).query(connection)?;
        shelf.events = redis::cmd("XLEN").arg(format!("{base}events")).query(connection)?;
        shelf.stats = redis::cmd("HGETALL").arg(format!("{base}stats")).query(connection)?;
        for (_, fields) in entries(connection, &format!("{base}outbox"))? {
            let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
            shelf.outbox.push((field("task"), field("issue")));
        }
        shelf.specs = ids.remove("spec").unwrap_or_default().into_iter().map(str::to_owned).collect();
        let records = ids.remove("task").unwrap_or_default();
        let fields = of_each(connection, "HGETALL", base, "task", &records)?;
        shelf.records = records.iter().map(ToString::to_string).zip(fields).collect();
        let logs = ids.remove("log").unwrap_or_default();
        let lengths: Vec<usize> = of_each(connection, "XLEN", base, "log", &logs)?;
        let ends: Vec<i64> = of_each(connection, "PTTL", base, "log", &logs)?;
        shelf.logs = logs.iter().map(ToString::to_string).zip(lengths.into_iter().zip(ends)).collect();
        Ok(shelf)
    }

    pub fn index(&self, name: &str) -> &BTreeMap<String, f64> {
        &self.indexes[name]
    }
}

fn is_single(name: &str) -> bool {
    matches!(
        name,
        "again"
            | "leases"
            | "delayed"
            | "held"
            | "direct"
            | "wake"
            | "finished"
            | "failed"
            | "cancelled"
            | "events"
            | "outbox"
            | "stats"
            | "paused"
            | "sweep"
    )
}

impl Line {
    fn load(connection: &mut Connection, key: &str) -> Result<Self> {
        let mut line = Self::default();
        for (id, fields) in entries(connection, key)? {
            line.entries.insert(id, fields.get("task").cloned().unwrap_or_default());
        }
        let groups: Vec<HashMap<String, Value>> =
            match redis::cmd("XINFO").arg("GROUPS").arg(key).query(connection) {
                Ok(groups) => groups,
                // Nothing was ever put into this stream.
                Err(error) if error.to_string().contains("no such key") => return Ok(line),
                Err(error) => return Err(error.into()),
            };
        let Some(group) = groups.first() else { return Ok(line) };
        line.delivered = entry_id(&text(&group["last-delivered-id"]))?;
        let mut from = "-".to_owned();
        loop {
            let page: Vec<(String, String, u64, u64)> = redis::cmd("XPENDING")
                .arg(key)
                .arg("workers")
                .arg(&from)
                .arg("+")
                .arg(BATCH)
                .query(connection)?;
            for (entry, consumer, _, _) in &page {
                line.pending.insert(entry_id(entry)?, consumer.clone());
            }
            match page.last() {
                Some((last, ..)) if page.len() == BATCH => from = format!("({last}"),
                _ => return Ok(line),
            }
        }
    }
}

/// The entries of a stream in order, with their fields as text.
fn entries(connection: &mut Connection, key: &str) -> Result<Vec<(EntryId, HashMap<String, String>)>> {
    let mut all = Vec::new();
    let mut from = "-".to_owned();
    loop {
        let page: Vec<(String, HashMap<String, Vec<u8>>)> =
            redis::cmd("XRANGE").arg(key).arg(&from).arg("+").arg("COUNT").arg(BATCH).query(connection)?;
        let (full, last) = (page.len() == BATCH, page.last().map(|(id, _)| id.clone()));
        for (id, fields) in page {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            all.push((entry_id(&id)?, fields.into_iter().map(|(name, value)| (name, text(value))).collect()));
        }
        match last {
            Some(last) if full => from = format!("({last}"),
            _ => return Ok(all),
        }
    }
}

fn zset(connection: &mut Connection, key: &str) -> Result<BTreeMap<String, f64>> {
    let members: Vec<(String, f64)> =
        redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES").query(connection)?;
    Ok(members.into_iter().collect())
}

/// The answer of one command for each id of a family.
fn of_each<T: FromRedisValue>(
    connection: &mut Connection,
    command: &str,
    base: &str,
    family: &str,
    ids: &[&str],
) -> Result<Vec<T>> {
    let mut answers = Vec::with_capacity(ids.len());
    for ids in ids.chunks(BATCH) {
        let mut pipe = redis::pipe();
        for id in ids {
            pipe.cmd(command).arg(format!("{base}{family}:{id}"));
        }
        answers.extend(pipe.query::<Vec<T>>(connection)?);
    }
    Ok(answers)
}

pub fn entry_id(text: &str) -> Result<EntryId> {
    let (ms, sequence) = text.split_once('-').with_context(|| format!("'{text}' is no entry id"))?;
    Ok((ms.parse()?, sequence.parse()?))
}

fn text(value: &Value) -> String {
    redis::from_redis_value_ref(value).unwrap_or_default()
}
