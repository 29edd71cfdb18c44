//! Money is counted once for its task and once for the day of its account.

use shared::{
    Failure, TaskId,
    queue::{AccountStanding, Charged, Expense, Lease, RerunAnswer},
};

use crate::setting::{Setting, backend, holder};

const SPENT: &str = "$:account:{$:account:team:limited}:spent";

fn expense(number: u32, micro_usd: u64) -> Expense {
    Expense { number, micro_usd }
}

impl Setting {
    async fn charge(&self, lease: &Lease, number: u32, micro_usd: u64) -> Charged {
        self.queue.charge(lease, Some("team"), expense(number, micro_usd)).await.unwrap()
    }

    async fn spent_today(&self) -> u64 {
        self.queue.account_standing("team").await.unwrap().spent_today
    }

    async fn cost(&self, id: &TaskId) -> u64 {
        self.queue.task(id).await.unwrap().unwrap().micro_usd
    }

    /// What the outbox has is carried out by a sweep that is due.
    async fn swept(&self) {
        while self.redis::<u64>("XLEN $:{backend}:outbox") > 0 {
            self.queue.sweep(&backend()).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn what_calls_cost_adds_up_for_the_task_over_its_runs_and_for_the_day_of_its_account() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    let first = s.claimed(&holder("w1")).await.lease;
    assert_eq!(s.charge(&first, 1, 250_000).await, Charged::Counted { task: 250_000 });
    assert_eq!(s.charge(&first, 2, 50_000).await, Charged::Counted { task: 300_000 });
    s.queue.release(&first, "shutdown").await.unwrap();
    let second = s.claimed(&holder("w2")).await.lease;
    assert_eq!(s.charge(&second, 1, 0).await, Charged::Counted { task: 300_000 }, "a question costs nothing");
    assert_eq!(s.charge(&second, 1, 7).await, Charged::Counted { task: 300_007 });
    assert_eq!((s.cost(&id).await, s.spent_today().await), (300_007, 300_007));
    assert_eq!(s.redis::<u64>("XLEN $:{backend}:outbox"), 0);
    s.audit().assert_sound();
}

#[tokio::test]
async fn neither_a_repetition_nor_a_former_holder_counts_anything_twice() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    for _ in 0..2 {
        s.charge(&lease, 1, 100).await;
    }
    s.charge(&lease, 2, 20).await;
    assert_eq!(s.charge(&lease, 1, 100).await, Charged::Already { task: 120 }, "a late repetition");
    s.queue.release(&lease, "shutdown").await.unwrap();
    assert_eq!(s.charge(&lease, 3, 100).await, Charged::Stale, "it gave the task back");
    let other = s.claimed(&holder("w2")).await.lease;
    assert_eq!(s.charge(&lease, 3, 100).await, Charged::Stale, "another holds it");
    s.queue.fail(&other, &Failure::task("red")).await.unwrap();
    assert_eq!(s.charge(&other, 1, 100).await, Charged::Stale, "the task has ended");
    assert_eq!((s.cost(&id).await, s.spent_today().await), (120, 120));
    s.audit().assert_settled();
}

#[tokio::test]
async fn a_task_without_an_account_has_a_cost_and_a_retry_by_hand_begins_at_nothing() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    s.queue.charge(&lease, None, expense(1, 9)).await.unwrap();
    s.queue.fail(&lease, &Failure::task("red")).await.unwrap();
    assert_eq!((s.cost(&id).await, s.spent_today().await), (9, 0));
    assert_eq!(s.queue.rerun(&id, "ada").await.unwrap(), RerunAnswer::Pending);
    assert_eq!(s.cost(&id).await, 0);
    s.audit().assert_sound();
}

#[tokio::test]
async fn what_an_account_has_spent_ends_with_the_day_by_redis_clock() {
    let s = Setting::new();
    s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    s.charge(&lease, 1, 100).await;
    let AccountStanding { limited_until, day_ends_at, .. } = s.queue.account_standing("team").await.unwrap();
    assert_eq!((limited_until, day_ends_at % 86_400_000), (None, 0));
    let now_ms = s.redis::<(u64, u64)>("TIME").0 * 1_000;
    assert!((now_ms..=now_ms + 86_400_000).contains(&day_ends_at), "{day_ends_at}");
    let ends_at: u64 = s.redis(&format!("PEXPIRETIME {SPENT}"));
    assert!(ends_at.abs_diff(day_ends_at) < 1_000, "{ends_at} {day_ends_at}");
    s.redis::<u64>(&format!("DEL {SPENT}"));
    assert_eq!(s.spent_today().await, 0);
    assert_eq!(s.charge(&lease, 2, 5).await, Charged::Counted { task: 105 }, "the task's goes on");
    assert_eq!(s.spent_today().await, 5);
}

/// As between two slots of a cluster: the charge is written to the outbox and its worker dies.
#[tokio::test]
async fn a_share_that_its_worker_left_due_is_counted_by_a_sweep_once_and_not_on_another_day() {
    let s = Setting::with(|q| q.sweep_ms = 1);
    let today = s.redis::<(u64, u64)>("TIME").0 / 86_400;
    let due = |entry: &str, day: u64| {
        let fields = format!("task a issue  account team micro_usd 40 day {day}");
        s.redis::<String>(&format!("XADD $:{{backend}}:outbox {entry} {fields}"));
    };
    due("1-0", today);
    due("2-0", today);
    s.swept().await;
    assert_eq!(s.spent_today().await, 80);
    due("3-0", today - 1);
    s.swept().await;
    assert_eq!(s.spent_today().await, 80, "that day is over");
    s.redis::<u64>("DEL $:{backend}:outbox");
    due("2-0", today);
    s.swept().await;
    assert_eq!(s.spent_today().await, 80, "two have carried out one entry");
}

#[tokio::test]
async fn a_sum_of_the_wrong_type_is_begun_anew_and_stops_neither_charges_nor_looks() {
    let s = Setting::new();
    s.enqueued("a").await;
    let lease = s.claimed(&holder("w1")).await.lease;
    s.redis::<()>(&format!("SET {SPENT} nonsense"));
    assert_eq!(s.spent_today().await, 0);
    assert_eq!(s.charge(&lease, 1, 100).await, Charged::Counted { task: 100 });
    assert_eq!(s.spent_today().await, 100);
}
