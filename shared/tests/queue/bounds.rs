//! What bounds each kind of key. One that is added to keys.rs has to be given its bound here, and made to show it.

use std::{collections::BTreeSet, time::Duration};

use shared::{
    Failure, Outcome, RepositoryName, TaskSpec,
    queue::{AgedLine, Ended, Expense, PollTurnAnswer, Settlement, Trim},
    task_log::{LogLine, LogStream},
};

use crate::{
    beats::info,
    setting::{Setting, backend, holder, task},
};

/// Settled tasks of a kind that are kept here.
const KEPT: usize = 5;
const EVENTS_MAX: usize = 100;
const LOG_LINES_MAX: usize = 100;

/// Redis trims a stream by whole nodes of so many entries.
const STREAM_NODE: usize = 100;

/// Far more than is kept of anything.
const TASKS: usize = 60;

/// Why keys of a kind do not grow without end.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// Each ends by itself.
    Life,
    /// Nothing is in it when no task is under way and no effect due.
    Rest,
    /// One for each settled task that is kept, of so many kinds of settled tasks.
    Kept(usize),
    /// At most so many entries.
    Entries(usize),
    /// One for each specialty or repository that people have named, of a size that does not grow.
    Named,
}

/// The name in keys.rs, what keys of the kind begin with, and the bound.
const KINDS: [(&str, &str, Bound); 32] = [
    ("TASKS", "$:{backend}:tasks:", Bound::Rest),
    ("AGAIN", "$:{backend}:again", Bound::Rest),
    ("RECORD", "$:{backend}:task:", Bound::Kept(3)),
    ("SPEC", "$:{backend}:spec:", Bound::Kept(2)),
    ("LOG", "$:{backend}:log:", Bound::Life),
    ("LEASES", "$:{backend}:leases", Bound::Rest),
    ("DELAYED", "$:{backend}:delayed", Bound::Rest),
    ("HELD", "$:{backend}:held", Bound::Rest),
    ("DIRECT", "$:{backend}:direct", Bound::Rest),
    ("WAKE", "$:{backend}:wake", Bound::Entries(1)),
    ("FINISHED", "$:{backend}:finished", Bound::Entries(KEPT)),
    ("FAILED", "$:{backend}:failed", Bound::Entries(KEPT)),
    ("CANCELLED", "$:{backend}:cancelled", Bound::Entries(KEPT)),
    ("EVENTS", "$:{backend}:events", Bound::Entries(EVENTS_MAX + STREAM_NODE)),
    ("OUTBOX", "$:{backend}:outbox", Bound::Rest),
    // Named after transitions.
    ("STATS", "$:{backend}:stats", Bound::Entries(32)),
    ("PAUSED", "$:{backend}:paused", Bound::Named),
    ("SWEEP", "$:{backend}:sweep", Bound::Entries(5)),
    ("specialties", "$:specialties", Bound::Named),
    ("locator", "$:task:", Bound::Life),
    ("worker", "$:worker:", Bound::Life),
    // Who was silent for a day goes; here nobody was.
    ("workers", "$:workers", Bound::Entries(TASKS)),
    // Each ends by itself, and there are no more than ten thousand.
    ("drained", "$:drained:", Bound::Entries(1)),
    ("issue", "$:issue:", Bound::Rest),
    ("issue_runs", "$:issue_runs:", Bound::Life),
    ("issue_trigger", "$:issue_trigger:", Bound::Life),
    ("issue_comment", "$:issue_comment:", Bound::Life),
    ("poll", "$:poll:", Bound::Life),
    ("delivery", "$:delivery:", Bound::Life),
    ("account_limited", "$:account:", Bound::Life),
    ("account_spent", "$:account:{", Bound::Life),
    ("issue_by_name", "$:issue:", Bound::Rest),
];

/// The kinds that keys.rs names: constants of scripts, and functions of what begins with the prefix alone.
fn named_in_the_source() -> BTreeSet<String> {
    let source = include_str!("../../src/queue/keys.rs");
    let names = source.split_once("const NAMES").unwrap().1.split_once("];").unwrap().0;
    let constants = names.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next());
    let functions = source.split_once("impl Keys {").unwrap().1.split_once("\nimpl").unwrap().0;
    let functions = functions.lines().filter(|line| line.ends_with("-> String {"));
    let functions = functions.filter_map(|line| line.trim().strip_prefix("pub fn ")?.split('(').next());
    let scripts_know = "lua_constants";
    constants.chain(functions.filter(|name| *name != scripts_know)).map(str::to_owned).collect()
}

#[test]
fn every_kind_of_key_has_a_bound() {
    let known: BTreeSet<String> = KINDS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(named_in_the_source(), known);
}

impl Setting {
    /// How many entries a key has, whatever it is.
    fn entries(&self, key: &str) -> usize {
        let count = match self.redis::<String>(&format!("TYPE {key}")).as_str() {
            "stream" => "XLEN",
            "zset" => "ZCARD",
            "set" => "SCARD",
            "hash" => "HLEN",
            _ => return 1,
        };
        self.redis(&format!("{count} {key}"))
    }

    /// One task from an issue to its end, with everything that people and workers may do to it on the way.
    async fn life(&self, number: usize) {
        let id = format!("t{number}");
        let spec = TaskSpec {
            issue: Some(number as u64 + 1),
            triggered_at_ms: Some(1_000 + number as u64),
            ..task(&id, "backend")
        };
        self.queue.enqueue_issue(&spec, Some(&format!("guid-{number}"))).await.unwrap();
        let me = holder(&format!("w{number}"));
        self.queue.beat(&info(&me.node, &me.incarnation)).await.unwrap();
        let first = self.claimed(&me).await.lease;
        let lines: Vec<AgedLine> =
            (0..2 * LOG_LINES_MAX).map(|_| LogLine::new(LogStream::Agent, "a line").into()).collect();
        self.queue.append_log(&first, 1, &lines).await.unwrap();
        let expense = Expense { number: 1, micro_usd: 5 };
        self.queue.charge(&first, Some("team"), expense).await.unwrap();
        self.queue.retry(&first, &Failure::transient("x"), Duration::ZERO).await.unwrap();
        // Longer than any sweep waits for the next.
        self.pass(Duration::from_secs(300));
        self.queue.sweep(&backend()).await.unwrap();
        let lease = self.claimed(&me).await.lease;
        let settled = match number % 3 {
            0 => self.queue.complete(&lease, &Outcome::NoChange { answer: String::new() }).await,
            1 => self.queue.fail(&lease, &Failure::task("red")).await,
            _ => {
                self.queue.cancel(&spec.id, "ada").await.unwrap();
                self.queue.release(&lease, "cancelled").await
            }
        };
        assert!(matches!(settled.unwrap(), Settlement::Done | Settlement::Cancelled));
        let held = task(&format!("held{number}"), "backend");
        self.queue.hold(&held).await.unwrap();
        self.queue.delete(&held.id, "ada").await.unwrap();
    }
}

#[tokio::test]
async fn whatever_happens_how_often_every_key_stays_within_its_bound() {
    let s = Setting::alone(|q| {
        q.finished_count_max = KEPT as u64;
        q.events_count_max = EVENTS_MAX as u64;
        q.log_lines_max = LOG_LINES_MAX as u64;
        (q.lease_ms, q.sweep_ms) = (600_000, 1);
    });
    for number in 0..TASKS {
        s.life(number).await;
    }
    s.queue.pause(&backend(), "ada", "", None).await.unwrap();
    s.queue.drain_worker("w1", "ada", "", None).await.unwrap();
    s.queue.suspend_account("team", Duration::from_secs(60)).await.unwrap();
    let repository: RepositoryName = "octo/cat".parse().unwrap();
    assert!(s.queue.take_comment_turn(&repository, 1, "one", Duration::from_secs(60)).await.unwrap());
    let second = Duration::from_secs(1);
    let turn = s.queue.take_poll_turn(&repository, "one", second, second, second).await.unwrap();
    assert!(matches!(turn, PollTurnAnswer::Ours(_)));

    let all: Vec<String> = s.redis("KEYS $:*");
    let mut met = BTreeSet::new();
    for key in &all {
        let kinds = KINDS.iter().filter(|(_, begins, _)| key.starts_with(&begins.replace('$', &s.prefix)));
        let longest = kinds.max_by_key(|(_, begins, _)| begins.len());
        let (name, _, bound) = longest.unwrap_or_else(|| panic!("{key} is of no known kind"));
        met.insert(*name);
        let (ttl_ms, entries) = (s.redis::<i64>(&format!("PTTL {key}")), s.entries(key));
        match bound {
            Bound::Life => assert!(ttl_ms > 0, "{key} has no end"),
            Bound::Rest => assert_eq!(entries, 0, "{key} holds something of tasks that have ended"),
            Bound::Entries(most) => assert!(entries <= *most, "{key} has {entries} entries"),
            Bound::Kept(_) | Bound::Named => {}
        }
    }
    for (name, begins, bound) in KINDS {
        let count = all.iter().filter(|key| key.starts_with(&begins.replace('$', &s.prefix))).count();
        match bound {
            Bound::Kept(kinds) => assert!((1..=kinds * KEPT).contains(&count), "{count} of {name}"),
            Bound::Named => assert_eq!(count, 1, "{name}"),
            Bound::Life | Bound::Entries(_) => {
                assert!(met.contains(name), "{name} was not made to show its bound");
            }
            Bound::Rest => {}
        }
    }
    for key in all.iter().filter(|key| key.contains(":log:")) {
        assert!(s.entries(key) <= LOG_LINES_MAX + STREAM_NODE, "{key}");
    }
    for ended in Ended::ALL {
        s.queue.trim(&backend(), ended, Trim { keep: Some(0), older_than: None }).await.unwrap();
    }
    let left: Vec<String> = s.redis("KEYS $:{backend}:*");
    let left: Vec<&String> = left
        .iter()
        .filter(|key| [":task:", ":spec:", ":log:"].iter().any(|family| key.contains(family)))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
