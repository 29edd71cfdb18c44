//! So many tasks that whatever looks at all of them would show.

use std::{
    collections::BTreeSet,
    env,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use shared::{
    Outcome, Priority,
    queue::{Asked, Change, Claim, Holder, Renewal, Settlement, Swept},
};
use tokio::task::JoinSet;

use crate::setting::{Setting, backend, holder};

/// Made by one script at a time: Redis does nothing else meanwhile.
const BATCH: usize = 10_000;

/// Enqueues tasks, as many calls of the queue would have.
const ENQUEUE: &str = r"
local base, name, from, to = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local t = redis.call('TIME')
local ms = string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000))
for i = from, to do
  local id = name .. i
  local entry = redis.call('XADD', base .. 'tasks:medium', '*', 'task', id, 'spec', '')
  redis.call('HSET', base .. 'task:' .. id, 'status', 'pending', 'priority', 'medium', 'created_at', ms,
    'entry', entry, 'repository', 'octo/cat', 'title', 'one of many')
end
";

fn enqueued_many(s: &Setting, name: &str, count: usize) {
    for from in (1..=count).step_by(BATCH) {
        let to = (from + BATCH - 1).min(count);
        s.script::<()>(ENQUEUE, &[name.to_owned(), from.to_string(), to.to_string()]);
    }
}

fn ids(tasks: &[shared::queue::Claimed]) -> Vec<&str> {
    tasks.iter().map(|claimed| claimed.lease.id.as_str()).collect()
}

/// A number that a variable replaces in the long form, such as `QUEUE_WAITING=1000000`.
fn many(variable: &str, short: usize) -> usize {
    env::var(variable).map_or(short, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[tokio::test]
async fn what_comes_back_is_next_however_many_wait() {
    let s = Setting::alone(|q| (q.lease_ms, q.sweep_ms) = (600_000, 2_000));
    for id in ["a-killed", "b-silent", "c-stopped", "d-limited"] {
        s.enqueued(id).await;
    }
    s.claimed(&holder("killed")).await;
    s.claimed(&holder("silent")).await;
    let stopped = s.claimed(&holder("stopped")).await.lease;
    let limited = s.claimed(&holder("limited")).await.lease;
    enqueued_many(&s, "waiting", many("QUEUE_WAITING", 100_000));
    s.queue.suspend_account("team", Duration::from_secs(600)).await.unwrap();
    s.queue.release(&limited, "usage limit").await.unwrap();
    s.queue.release(&stopped, "shutdown").await.unwrap();
    s.redis::<u64>("ZADD $:{backend}:leases 1 b-silent");
    assert!(matches!(s.queue.sweep(&backend()).await.unwrap(), Swept::Done { lost: 1, .. }));
    let successor = Holder { node: "killed".to_owned(), incarnation: "killed-2".to_owned() };
    assert_eq!(s.queue.forfeit(&successor, &backend()).await.unwrap(), (1, 0));
    let next = s.claim(&holder("w"), 5).await;
    assert_eq!(ids(&next), ["a-killed", "b-silent", "c-stopped", "d-limited", "waiting1"]);
}

/// Ten thousand active tasks, five of them of the node `dead`.
async fn active_tasks(s: &Setting) -> BTreeSet<String> {
    enqueued_many(s, "t", 10_000);
    let mut dead = BTreeSet::new();
    for worker in 0..100 {
        if worker == 50 {
            dead = ids(&s.claim(&holder("dead"), 5).await).into_iter().map(str::to_owned).collect();
        }
        s.claim(&holder(&format!("w{worker}")), 100).await;
    }
    assert_eq!((dead.len(), s.queue.counts(&backend()).await.unwrap().active), (5, 10_000));
    dead
}

/// Lets the leases of `tasks` end at `at`.
fn leases_end(s: &Setting, tasks: &BTreeSet<String>, at: u64) {
    for task in tasks {
        s.redis::<u64>(&format!("ZADD $:{{backend}}:leases {at} {task}"));
    }
}

#[tokio::test]
async fn among_ten_thousand_active_tasks_those_of_a_dead_worker_are_found_by_the_next_sweep() {
    let s = Setting::alone(|q| (q.lease_ms, q.sweep_ms) = (600_000, 2_000));
    let dead = active_tasks(&s).await;
    leases_end(&s, &dead, 1);
    assert!(matches!(s.queue.sweep(&backend()).await.unwrap(), Swept::Done { lost: 5, .. }));
    let next = s.claim(&holder("other"), 9).await;
    assert_eq!(ids(&next).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), dead);
}

#[tokio::test]
async fn among_ten_thousand_active_tasks_a_restarted_worker_gives_its_own_back_at_once() {
    let s = Setting::alone(|q| (q.lease_ms, q.sweep_ms) = (600_000, 2_000));
    let dead = active_tasks(&s).await;
    // It renewed last of all and died: everybody else's leases end before its own.
    leases_end(&s, &dead, 9_000_000_000_000);
    let successor = Holder { node: "dead".to_owned(), incarnation: "dead-2".to_owned() };
    assert_eq!(s.queue.forfeit(&successor, &backend()).await.unwrap(), (5, 0));
    let next = s.claim(&successor, 9).await;
    assert_eq!(ids(&next).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), dead);
}

#[tokio::test]
async fn a_waiting_task_that_is_moved_or_changed_leaves_no_entry_that_anybody_runs() {
    let s = Setting::new();
    for id in ["moved", "elsewhere", "changed", "stays"] {
        s.enqueued(id).await;
    }
    let entries = |priority: &str| s.redis::<u64>(&format!("XLEN $:{{backend}}:tasks:{priority}"));
    let id = |name: &str| name.parse::<shared::TaskId>().unwrap();
    assert_eq!(s.queue.move_priority(&id("moved"), Priority::High, "ada").await.unwrap(), Asked::Done);
    assert_eq!((entries("high"), entries("medium")), (1, 3), "its old entry is gone");
    let frontend = "frontend".parse().unwrap();
    assert_eq!(s.queue.move_specialty(&id("elsewhere"), &frontend, "ada").await.unwrap(), Asked::Done);
    assert_eq!(entries("medium"), 2, "that of the other, too");
    let change = Change { body: Some("another text".to_owned()), ..Change::default() };
    assert_eq!(s.queue.change(&id("changed"), &change, "ada").await.unwrap(), Asked::Done);
    let claimed = s.claim(&holder("w"), 9).await;
    assert_eq!(ids(&claimed), ["moved", "changed", "stays"]);
    assert_eq!(claimed[1].spec.as_ref().unwrap().body, "another text", "the text in its entry is ignored");
    let Claim::Tasks { tasks, .. } = s.queue.claim(&holder("w"), &frontend, 9, "n").await.unwrap() else {
        panic!("not paused")
    };
    assert_eq!(ids(&tasks), ["elsewhere"]);
    s.audit().assert_sound();
}

#[tokio::test]
async fn ten_thousand_orphaned_entries_in_front_are_dropped_in_short_claims() {
    let s = Setting::alone(|_| {});
    enqueued_many(&s, "gone", 10_000);
    s.script::<()>("for i = 1, 10000 do redis.call('DEL', KEYS[1] .. 'task:gone' .. i) end", &[]);
    s.enqueued("a").await;
    let mut claims = 0;
    let claimed = loop {
        claims += 1;
        let before = s.redis::<u64>("XLEN $:{backend}:tasks:medium");
        let Claim::Tasks { tasks, again } = s.queue.claim(&holder("w"), &backend(), 2, "n").await.unwrap()
        else {
            panic!("not paused")
        };
        let dropped = before - s.redis::<u64>("XLEN $:{backend}:tasks:medium");
        assert!(dropped <= 101, "one claim dropped {dropped}");
        if !tasks.is_empty() {
            break tasks;
        }
        assert!(again, "it says that more may wait");
    };
    assert_eq!(ids(&claimed), ["a"]);
    assert!(claims <= 101, "{claims} claims");
    assert_eq!(s.redis::<u64>("XLEN $:{backend}:tasks:medium"), 1);
}

#[tokio::test]
async fn however_fast_tasks_are_settled_what_is_kept_of_them_stays_within_its_limits() {
    let many = many("QUEUE_SETTLED", 4_000);
    let s = Setting::alone(|q| {
        (q.lease_ms, q.finished_count_max, q.events_count_max) = (600_000, 100, 500);
    });
    s.enqueued("first").await;
    enqueued_many(&s, "t", many);
    s.redis::<u64>(&format!("HINCRBY $:{{backend}}:stats enqueued {many}"));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let (queue, me) = (s.queue.clone(), holder(&format!("w{worker}")));
        workers.spawn(async move {
            let mut leases = Vec::new();
            loop {
                let claim = queue.claim(&me, &backend(), 16, "n").await.unwrap();
                let Claim::Tasks { tasks, .. } = claim else { panic!("not paused") };
                if tasks.is_empty() {
                    return leases;
                }
                let outcome = Outcome::NoChange { answer: String::new() };
                let settled = tasks.iter().map(|claimed| queue.complete(&claimed.lease, &outcome));
                for settlement in join_all(settled).await {
                    assert_eq!(settlement.unwrap(), Settlement::Done);
                }
                leases.extend(tasks.into_iter().map(|claimed| claimed.lease));
            }
        });
    }
    let leases: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    println!(
        "{} tasks settled, {:.0} a second",
        leases.len(),
        leases.len() as f64 / began.elapsed().as_secs_f64()
    );
    assert_eq!(leases.len(), many + 1);
    assert!(s.queue.renew(&leases[..100]).await.unwrap().iter().all(|answer| *answer == Renewal::Lost));
    // The generator takes no locators.
    let mut audit = s.audit();
    audit.findings.retain(|finding| !finding.contains("its locator is missing"));
    audit.assert_settled();
    assert_eq!(audit.count("completed"), 100);
}
