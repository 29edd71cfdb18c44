//! Looks through all that a queue keeps in Redis and tells what contradicts what.
//!
//! A snapshot of many commands: whatever writes to the queue has to stand still meanwhile.

mod shelf;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use redis::Connection;

use crate::RedisServer;
use shelf::Shelf;

/// Keys that one SCAN looks at, and commands that one pipeline carries.
const BATCH: usize = 1_000;

const DAY_MS: i64 = 86_400_000;

/// What the queue was told to keep at most. The defaults are those of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Settled tasks of each kind, of one specialty.
    pub finished_count_max: usize,
    /// Events of one specialty.
    pub events_count_max: usize,
    /// Lines of one task's log.
    pub log_lines_max: usize,
    /// Lost workers that end a task. With one less it is a suspect, which has places of its own in line.
    pub lost_workers_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            finished_count_max: 10_000,
            events_count_max: 10_000,
            log_lines_max: 10_000,
            lost_workers_max: 3,
        }
    }
}

/// What an audit found.
#[derive(Debug, Default)]
pub struct Audit {
    /// One sentence for each contradiction; empty when all is sound.
    pub findings: Vec<String>,
    /// How many records are in each status, over all specialties.
    pub tasks: BTreeMap<String, usize>,
    /// Effects of settlements that are still due in other slots.
    pub outbox: usize,
    /// Ids whose locator was taken and whose record never came: their ingester died in between.
    pub never_enqueued: Vec<String>,
}

impl Audit {
    /// How many records are in `status`.
    pub fn count(&self, status: &str) -> usize {
        self.tasks.get(status).copied().unwrap_or(0)
    }

    /// Tasks that are not settled.
    pub fn under_way(&self) -> usize {
        ["held", "pending", "active", "delayed"].iter().map(|status| self.count(status)).sum()
    }

    /// # Panics
    /// With all findings, when there are any.
    pub fn assert_sound(&self) -> &Self {
        assert!(self.findings.is_empty(), "the queue contradicts itself:\n{}", self.findings.join("\n"));
        self
    }

    /// Sound, every task settled and every effect carried out.
    ///
    /// # Panics
    /// With what is left.
    pub fn assert_settled(&self) -> &Self {
        self.assert_sound();
        assert_eq!((self.under_way(), self.outbox), (0, 0), "tasks under way and effects due: {self:?}");
        self
    }
}

/// Audits the queue under `prefix` on `redis`.
pub fn audit(redis: &RedisServer, prefix: &str, limits: &Limits) -> Result<Audit> {
    audit_at(&mut redis.connection()?, prefix, limits)
}

/// The same over a connection of the caller's.
pub fn audit_at(connection: &mut Connection, prefix: &str, limits: &Limits) -> Result<Audit> {
    let keys = all_keys(connection, prefix)?;
    let mut audit = Audit::default();
    let mut shelves = BTreeMap::new();
    let mut global = Vec::new();
    for key in &keys {
        let rest = &key[prefix.len() + 1..];
        match rest.strip_prefix('{').and_then(|rest| rest.split_once("}:")) {
            Some((specialty, name)) => {
                shelves.entry(specialty.to_owned()).or_insert_with(Vec::new).push(name.to_owned());
            }
            None => global.push(rest.to_owned()),
        }
    }
    let mut loaded = BTreeMap::new();
    for (specialty, names) in shelves {
        let shelf = Shelf::load(connection, &format!("{prefix}:{{{specialty}}}:"), &names)
            .with_context(|| format!("the keys of {specialty}"))?;
        for record in shelf.records.values() {
            let status = record.get("status").cloned().unwrap_or_default();
            *audit.tasks.entry(status).or_default() += 1;
        }
        audit.outbox += shelf.outbox.len();
        audit.findings.extend(tasks::contradictions(&specialty, &shelf, limits));
        loaded.insert(specialty, shelf);
    }
    across(connection, prefix, &global, &loaded, &mut audit)?;
    Ok(audit)
}

/// What lies outside of the specialties, and agrees with them.
fn across(
    connection: &mut Connection,
    prefix: &str,
    names: &[String],
    shelves: &BTreeMap<String, Shelf>,
    audit: &mut Audit,
) -> Result<()> {
    let mut located = BTreeSet::new();
    let mut listed: BTreeSet<String> = BTreeSet::new();
    for name in names {
        let key = format!("{prefix}:{name}");
        let ttl_ms: i64 = redis::cmd("PTTL").arg(&key).query(connection)?;
        let (family, rest) = name.split_once(':').unwrap_or((name.as_str(), ""));
        match family {
            "task" => {
                let home: String = redis::cmd("GET").arg(&key).query(connection)?;
                located.insert((home.clone(), rest.to_owned()));
                locator(rest, &home, ttl_ms, shelves, audit);
            }
            "issue" => {
                let task: String = redis::cmd("GET").arg(&key).query(connection)?;
                issue(rest, &task, ttl_ms, shelves, audit);
            }
            "specialties" if rest.is_empty() => {
                listed = redis::cmd("SMEMBERS").arg(&key).query(connection)?;
            }
            "workers" if rest.is_empty() => {}
            "drained" => {}
            "account" if rest.ends_with(":spent") => spent(connection, &key, ttl_ms, audit)?,
            "worker" | "delivery" | "account" | "issue_runs" | "issue_trigger" | "issue_comment" | "poll"
                if ttl_ms > 0 => {}
            "worker" | "delivery" | "account" | "issue_runs" | "issue_trigger" | "issue_comment" | "poll" => {
                audit.findings.push(format!("{key} has no end"));
            }
            _ => audit.findings.push(format!("{key} belongs to no known family")),
        }
    }
    for (specialty, shelf) in shelves {
        if !shelf.records.is_empty() && !listed.contains(specialty) {
            audit.findings.push(format!("{specialty} has tasks and is not listed"));
        }
        // What moves between specialties has a record in both, and its locator names one.
        let resting = shelf.records.iter().filter(|(_, record)| !tasks::moves(record)).map(|(id, _)| id);
        for id in resting.filter(|id| !located.contains(&(specialty.clone(), (*id).clone()))) {
            audit
                .findings
                .push(format!("{specialty} {id}: its locator is missing or names another specialty"));
        }
    }
    Ok(())
}

fn locator(id: &str, home: &str, ttl_ms: i64, shelves: &BTreeMap<String, Shelf>, audit: &mut Audit) {
    let shelf = shelves.get(home);
    let settled = shelf.and_then(|shelf| shelf.records.get(id)).map(tasks::is_settled);
    let due = shelf
        .is_some_and(|shelf| shelf.outbox.iter().any(|(tasks, _)| tasks.split(' ').any(|due| due == id)));
    match settled {
        None if ttl_ms < 0 && !due => audit.never_enqueued.push(id.to_owned()),
        Some(false) if ttl_ms >= 0 && !due => {
            audit.findings.push(format!("{home} {id}: the locator of an unsettled task ends in {ttl_ms} ms"));
        }
        Some(true) if ttl_ms < 0 && !due => {
            audit.findings.push(format!("{home} {id}: the locator of a settled task has no end"));
        }
        _ => {}
    }
}

/// What an account has spent is a sum that ends with the day.
fn spent(connection: &mut Connection, key: &str, ttl_ms: i64, audit: &mut Audit) -> Result<()> {
    if !(0..=DAY_MS).contains(&ttl_ms) {
        audit.findings.push(format!("{key} does not end within a day but in {ttl_ms} ms"));
    }
    let sum: Option<String> = redis::cmd("HGET").arg(key).arg("micro_usd").query(connection)?;
    if sum.as_deref().and_then(|sum| sum.parse::<u64>().ok()).is_none_or(|sum| sum == 0) {
        audit.findings.push(format!("{key} is no sum of money: {sum:?}"));
    }
    Ok(())
}

/// A lasting key of an issue names a task that is not settled, or whose settlement is still to be told here.
fn issue(name: &str, task: &str, ttl_ms: i64, shelves: &BTreeMap<String, Shelf>, audit: &mut Audit) {
    let living = shelves.values().any(|shelf| {
        shelf.records.get(task).is_some_and(|record| !tasks::is_settled(record))
            || shelf.outbox.iter().any(|(due, _)| due == task)
    });
    if ttl_ms < 0 && !living {
        audit.findings.push(format!("issue {name} is kept by {task}, which is settled or unknown"));
    }
}

fn all_keys(connection: &mut Connection, prefix: &str) -> Result<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    let mut cursor = 0_u64;
    loop {
        let (next, page): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}:*"))
            .arg("COUNT")
            .arg(BATCH)
            .query(connection)?;
        keys.extend(page);
        cursor = next;
        if cursor == 0 {
            return Ok(keys);
        }
    }
}
