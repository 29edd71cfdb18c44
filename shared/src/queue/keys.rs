//! Every key of the queue, in this file and nowhere else.
//!
//! The tag in braces is the specialty, so that all that one script touches lies in one slot of a Redis
//! Cluster. Scripts get [`SpecialtyKeys::base`] and the names below as Lua constants; see [`lua_constants`].

use crate::{RepositoryName, Specialty, TaskId};

/// Consumer of entries that are returned or delayed and that nobody works on. No worker may have this name.
pub const PARKED_CONSUMER: &str = "-";

/// Lua constant and key, as the part behind the base. A trailing colon marks a family of keys.
const NAMES: [(&str, &str); 18] = [
    // stream a priority, group `workers`: waiting and leased tasks
    ("TASKS", "tasks:"),
    // zset, rank then age: returned tasks, next in line; suspects have ranks of their own
    ("AGAIN", "again"),
    // hash a task: the plain fields
    ("RECORD", "task:"),
    // string a task, only when the specification is not in the stream entry: held, or kept after a failure
    ("SPEC", "spec:"),
    // stream a task, capped, with a TTL: what agent and tests print
    ("LOG", "log:"),
    // zset, lease expiry in ms
    ("LEASES", "leases"),
    // zset, due time in ms
    ("DELAYED", "delayed"),
    // zset, creation time in ms
    ("HELD", "held"),
    // set: tasks that are active or delayed without a stream entry
    ("DIRECT", "direct"),
    // zset with one member while somebody should wake
    ("WAKE", "wake"),
    // zsets, finish time in ms
    ("FINISHED", "finished"),
    ("FAILED", "failed"),
    ("CANCELLED", "cancelled"),
    // stream, capped: every transition
    ("EVENTS", "events"),
    // stream: effects due in other slots
    ("OUTBOX", "outbox"),
    // hash: counters since ever
    ("STATS", "stats"),
    // hash, perhaps with a TTL: exists while the specialty is paused; by whom, why and since when
    ("PAUSED", "paused"),
    // hash: last sweep, when the next is due, grace after an outage
    ("SWEEP", "sweep"),
];

/// The same for keys that begin with the prefix alone.
const ELSEWHERE: [(&str, &str); 4] = [
    // set: names of all specialties
    ("SPECIALTIES", "specialties"),
    // string a task: the specialty that holds its record
    ("LOCATOR", "task:"),
    // string an issue: its one active task
    ("ISSUE", "issue:"),
    // keys of an agent account
    ("ACCOUNT", "account:"),
];

/// `local NAME = base .. 'key'` for each name that `script` mentions.
pub fn lua_constants(script: &str) -> String {
    let mut lines = String::new();
    for (constant, name) in NAMES.iter().filter(|(constant, _)| script.contains(constant)) {
        lines.extend(["local ", constant, " = base .. '", name, "'\n"]);
    }
    lines
}

/// Whether a script may touch what lies in other slots than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One server, or a master with replicas: all keys are at hand.
    Everything,
    /// A node of a Cluster: only the slot of the script's specialty.
    OneSlot,
}

/// The keys of one installation: everything under one prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

/// The keys of one specialty, all in one slot.
#[derive(Clone, Debug)]
pub struct SpecialtyKeys {
    base: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub fn specialty(&self, specialty: &Specialty) -> SpecialtyKeys {
        SpecialtyKeys { base: format!("{}:{{{specialty}}}:", self.prefix) }
    }

    /// `local NAME = '<prefix>:...'` for each key in another slot that `script` mentions; nil where it is out of
    /// reach.
    pub fn lua_constants(&self, script: &str, reach: Reach) -> String {
        let mut lines = String::new();
        for (constant, name) in ELSEWHERE.iter().filter(|(constant, _)| script.contains(constant)) {
            match reach {
                Reach::Everything => {
                    lines.extend(["local ", constant, " = '", &self.prefix, ":", name, "'\n"]);
                }
                Reach::OneSlot => lines.extend(["local ", constant, " = nil\n"]),
            }
        }
        lines
    }

    /// set: names of all specialties that ever had a task or a worker.
    pub fn specialties(&self) -> String {
        format!("{}:specialties", self.prefix)
    }

    /// string: the specialty that holds the task's record.
    pub fn locator(&self, id: &TaskId) -> String {
        format!("{}:task:{id}", self.prefix)
    }

    /// hash with TTL: a worker's last beat.
    pub fn worker(&self, node: &str) -> String {
        format!("{}:worker:{node}", self.prefix)
    }

    /// zset, last beat in ms: the roll of workers of the last day.
    pub fn workers(&self) -> String {
        format!("{}:workers", self.prefix)
    }

    /// hash, node -> until when, since when, by whom and why: workers that claim nothing. In the slot of the roll, so
    /// that a beat asks both at once.
    pub fn drained(&self) -> String {
        format!("{}:drained:{{{}}}", self.prefix, self.workers())
    }

    /// string: the issue's one active task.
    pub fn issue(&self, repository: &RepositoryName, number: u64) -> String {
        self.issue_by_name(&format!("{repository}#{number}"))
    }

    /// The same from `repository#number`, as an outbox entry has it. Names on a forge do not differ by case.
    pub fn issue_by_name(&self, name: &str) -> String {
        format!("{}:issue:{}", self.prefix, name.to_ascii_lowercase())
    }

    /// zset with TTL, start time in ms: the tasks that the issue has started within a day.
    pub fn issue_runs(&self, repository: &RepositoryName, number: u64) -> String {
        format!("{}:issue_runs:{}", self.prefix, format!("{repository}#{number}").to_ascii_lowercase())
    }

    /// string with TTL: when the issue was last triggered, by the forge's clock, and the task that came of it.
    pub fn issue_trigger(&self, repository: &RepositoryName, number: u64) -> String {
        format!("{}:issue_trigger:{}", self.prefix, format!("{repository}#{number}").to_ascii_lowercase())
    }

    /// string with TTL: the ingester that writes the issue's status comment just now.
    pub fn issue_comment(&self, repository: &RepositoryName, number: u64) -> String {
        format!("{}:issue_comment:{}", self.prefix, format!("{repository}#{number}").to_ascii_lowercase())
    }

    /// hash with TTL: how far a repository has been polled, and whose turn it is.
    pub fn poll(&self, repository: &RepositoryName) -> String {
        format!("{}:poll:{}", self.prefix, repository.to_string().to_ascii_lowercase())
    }

    /// string with TTL: the task that a webhook delivery made.
    pub fn delivery(&self, guid: &str) -> String {
        format!("{}:delivery:{guid}", self.prefix)
    }

    /// string with TTL: an agent account that met its limit, until the key ends.
    pub fn account_limited(&self, account: &str) -> String {
        format!("{}:account:{account}:limited", self.prefix)
    }

    /// hash with TTL: what an agent account has spent today. In the slot of its limit, so that a look asks both at once.
    pub fn account_spent(&self, account: &str) -> String {
        format!("{}:account:{{{}}}:spent", self.prefix, self.account_limited(account))
    }
}

impl SpecialtyKeys {
    /// What every key of the specialty begins with.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn stream(&self, priority: crate::Priority) -> String {
        format!("{}tasks:{priority}", self.base)
    }

    pub fn record(&self, id: &TaskId) -> String {
        format!("{}task:{id}", self.base)
    }

    pub fn spec(&self, id: &TaskId) -> String {
        format!("{}spec:{id}", self.base)
    }

    pub fn log(&self, id: &TaskId) -> String {
        format!("{}log:{id}", self.base)
    }

    pub fn leases(&self) -> String {
        self.named("leases")
    }

    pub fn delayed(&self) -> String {
        self.named("delayed")
    }

    pub fn direct(&self) -> String {
        self.named("direct")
    }

    pub fn held(&self) -> String {
        self.named("held")
    }

    pub fn wake(&self) -> String {
        self.named("wake")
    }

    /// The index of a settled status: `completed`, `failed` or `cancelled`.
    pub fn settled(&self, status: &str) -> String {
        self.named(if status == "completed" { "finished" } else { status })
    }

    pub fn events(&self) -> String {
        self.named("events")
    }

    pub fn outbox(&self) -> String {
        self.named("outbox")
    }

    pub fn paused(&self) -> String {
        self.named("paused")
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_specialty_share_its_hash_tag() {
        let keys = Keys::new("ccc").specialty(&"backend".parse().unwrap());
        assert_eq!(keys.leases(), "ccc:{backend}:leases");
        assert_eq!(keys.stream(crate::Priority::High), "ccc:{backend}:tasks:high");
    }

    #[test]
    fn the_script_that_charges_names_the_key_of_an_account_as_it_is_named_here() {
        let keys = Keys::new("ccc");
        let constant = keys.lua_constants("ACCOUNT", Reach::Everything);
        assert_eq!(constant, "local ACCOUNT = 'ccc:account:'\n");
        assert!(
            include_str!("lua/charge.lua")
                .contains("ACCOUNT .. '{' .. ACCOUNT .. account .. ':limited}:spent'")
        );
        assert_eq!(keys.account_spent("team"), "ccc:account:{ccc:account:team:limited}:spent");
    }

    #[test]
    fn scripts_get_only_the_names_they_mention() {
        assert_eq!(lua_constants("redis.call('ZCARD', LEASES)"), "local LEASES = base .. 'leases'\n");
    }
}
