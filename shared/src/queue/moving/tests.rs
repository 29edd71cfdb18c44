//! A move that stops after each of its steps, and what everybody else makes of it.

use std::time::Duration;

use testkit::RedisServer;

use super::*;
use crate::{
    Failure, Priority, TaskSpec,
    config::Config,
    queue::{AgedLine, CancelAnswer, Claim, Claimed, Holder, Settlement},
    task_log::{LogLine, LogStream},
};

const STEPS: [Step; 5] = [Step::Mark, Step::Copy, Step::Swap, Step::Delete, Step::Arrive];

struct Setting {
    redis: RedisServer,
    queue: Queue,
}

fn backend() -> Specialty {
    "backend".parse().unwrap()
}

fn frontend() -> Specialty {
    "frontend".parse().unwrap()
}

fn holder() -> Holder {
    Holder { node: "w1".to_owned(), incarnation: "w1-1".to_owned() }
}

fn spec(id: &str) -> TaskSpec {
    let spec = TaskSpec::new(id.parse().unwrap(), "octo/cat".parse().unwrap(), "a title");
    TaskSpec { specialty: backend(), body: "the body".to_owned(), issue: Some(7), ..spec }
}

impl Setting {
    fn new() -> Self {
        let redis = RedisServer::start().unwrap();
        let mut config = Config::defaults().unwrap();
        config.redis.url = redis.url().into();
        config.queue.sweep_ms = 1;
        Self { queue: Queue::open(&config.redis, &config.queue).unwrap(), redis }
    }

    fn number(&self, words: &str) -> i64 {
        self.redis.command(&words.split(' ').collect::<Vec<_>>()).unwrap()
    }

    async fn claim(&self, specialty: &Specialty) -> Vec<Claimed> {
        match self.queue.claim(&holder(), specialty, 9, "n").await.unwrap() {
            Claim::Tasks { tasks, .. } => tasks,
            Claim::Paused => panic!("not paused"),
        }
    }

    /// Makes what the outbox has old enough for sweeps, and sweeps.
    async fn swept(&self) {
        self.swept_by(&self.queue).await;
    }

    async fn swept_by(&self, sweeper: &Queue) {
        for specialty in [backend(), frontend()] {
            let outbox = format!("ccc:{{{specialty}}}:outbox");
            for (entry, fields) in self.queue.read_stream(&outbox, None, 100).await.unwrap() {
                let due = crate::queue::outbox::OutboxEntry {
                    entry,
                    task: fields["task"].clone(),
                    issue: fields["issue"].clone(),
                    share: None,
                };
                sweeper.deliver_late(&specialty, &due).await;
            }
        }
    }

    fn assert_sound(&self) {
        testkit::audit::audit(&self.redis, "ccc", &testkit::audit::Limits::default()).unwrap().assert_sound();
    }

    /// The task waits in `frontend` alone, whole, and can be run to its end; nothing is left over.
    async fn assert_moved(&self, id: &TaskId, what: &str) {
        let record = self.queue.task(id).await.unwrap().unwrap_or_else(|| panic!("{what}: it is there"));
        assert_eq!((record.specialty.as_str(), record.status.name()), ("frontend", "pending"), "{what}");
        assert_eq!(record.moving_to, None, "{what}");
        assert_eq!(
            self.number(&format!(
                "EXISTS ccc:{{backend}}:task:{id} ccc:{{backend}}:spec:{id} ccc:{{backend}}:log:{id}"
            )),
            0
        );
        assert_eq!(self.number(&format!("TTL ccc:task:{id}")), -1, "{what}");
        for specialty in [backend(), frontend()] {
            assert_eq!(self.number(&format!("XLEN ccc:{{{specialty}}}:outbox")), 0, "{what}");
        }
        assert!(self.claim(&backend()).await.is_empty());
        let mut tasks = self.claim(&frontend()).await;
        assert_eq!(tasks.len(), 1, "{what}");
        let claimed = tasks.remove(0);
        let spec = claimed.spec.unwrap();
        assert_eq!((spec.body.as_str(), spec.specialty.as_str()), ("the body", "frontend"), "{what}");
        let settled = self.queue.fail(&claimed.lease, &Failure::task("red")).await.unwrap();
        assert_eq!(settled, Settlement::Done, "{what}");
        assert!(self.claim(&frontend()).await.is_empty());
        for specialty in [backend(), frontend()] {
            let counts = self.queue.counts(&specialty).await.unwrap();
            assert_eq!((counts.pending, counts.active, counts.delayed, counts.held), (0, 0, 0, 0), "{what}");
        }
        self.assert_sound();
    }
}

#[tokio::test]
async fn a_move_that_stopped_after_any_step_is_claimed_by_nobody_and_finished_by_repeating_it() {
    let s = Setting::new();
    for last in STEPS {
        let spec = spec(&format!("{last:?}"));
        s.queue.enqueue(&spec).await.unwrap();
        s.queue.move_until(&spec.id, &frontend(), "ada", last).await.unwrap();
        if last < Step::Arrive {
            assert!(s.claim(&backend()).await.is_empty(), "{last:?}");
            assert!(s.claim(&frontend()).await.is_empty(), "{last:?}");
            let record = s.queue.task(&spec.id).await.unwrap().unwrap();
            assert_eq!((record.status.name(), record.moving_to), ("pending", Some(frontend())), "{last:?}");
            s.assert_sound();
        }
        assert_eq!(s.queue.move_specialty(&spec.id, &frontend(), "ada").await.unwrap(), Asked::Done);
        s.assert_moved(&spec.id, &format!("{last:?}")).await;
    }
}

#[tokio::test]
async fn a_move_that_stopped_after_any_step_is_finished_by_sweeps() {
    let s = Setting::new();
    for last in STEPS {
        let spec = spec(&format!("{last:?}"));
        s.queue.enqueue(&spec).await.unwrap();
        s.queue.move_until(&spec.id, &frontend(), "ada", last).await.unwrap();
        s.swept().await;
        s.assert_moved(&spec.id, &format!("{last:?}")).await;
    }
}

#[tokio::test]
async fn a_sweep_whose_user_may_not_move_locators_takes_the_move_back_or_finishes_it() {
    let s = Setting::new();
    let user =
        ["ACL", "SETUSER", "worker", "on", ">pw", "~ccc:{*}:*", "~ccc:issue:*", "~ccc:specialties", "+@all"];
    let _: () =
        s.redis.command(&[&user[..], &["(~ccc:task:* +get +pttl +pexpire +persist)"]].concat()).unwrap();
    let mut config = Config::defaults().unwrap();
    config.redis.url = s.redis.url().into();
    config.redis.user = "worker".to_owned();
    config.redis.password = "pw".to_owned().into();
    let worker = Queue::open(&config.redis, &config.queue).unwrap();
    for last in [Step::Mark, Step::Copy, Step::Swap, Step::Delete] {
        let spec = spec(&format!("{last:?}"));
        s.queue.enqueue(&spec).await.unwrap();
        s.queue.move_until(&spec.id, &frontend(), "ada", last).await.unwrap();
        for _ in 0..2 {
            s.swept_by(&worker).await;
        }
        let there = if last < Step::Swap { backend() } else { frontend() };
        let record = s.queue.task(&spec.id).await.unwrap().unwrap();
        assert_eq!((record.specialty, record.moving_to), (there.clone(), None), "{last:?}");
        s.assert_sound();
        let tasks = s.claim(&there).await;
        assert_eq!(tasks.len(), 1, "{last:?}");
        assert_eq!(tasks[0].spec.as_ref().unwrap().body, "the body");
        s.queue.fail(&tasks[0].lease, &Failure::task("red")).await.unwrap();
    }
}

#[tokio::test]
async fn a_mark_that_grew_old_is_found_by_a_sweep_of_its_source() {
    let s = Setting::new();
    let spec = spec("a");
    s.queue.enqueue(&spec).await.unwrap();
    s.queue.move_until(&spec.id, &frontend(), "ada", Step::Mark).await.unwrap();
    // The same mark, made long ago.
    let token: String = s.redis.command(&["HGET", "ccc:{backend}:task:a", "move"]).unwrap();
    s.number(&format!("XDEL ccc:{{backend}}:outbox {token}"));
    s.number("DEL ccc:{backend}:outbox");
    let _: String =
        s.redis.command(&["XADD", "ccc:{backend}:outbox", "5-0", "task", "a", "issue", ""]).unwrap();
    s.number("HSET ccc:{backend}:task:a move 5-0");
    s.queue.sweep(&backend()).await.unwrap();
    s.assert_moved(&spec.id, "swept").await;
}

#[tokio::test]
async fn whoever_asks_something_of_a_moving_task_finishes_the_move_first() {
    let s = Setting::new();
    for last in STEPS {
        let spec = spec(&format!("{last:?}"));
        s.queue.enqueue(&spec).await.unwrap();
        s.queue.move_until(&spec.id, &frontend(), "ada", last).await.unwrap();
        assert_eq!(s.queue.cancel(&spec.id, "ada").await.unwrap(), CancelAnswer::Cancelled, "{last:?}");
        assert!(s.claim(&backend()).await.is_empty());
        assert!(s.claim(&frontend()).await.is_empty());
        let record = s.queue.task(&spec.id).await.unwrap().unwrap();
        assert_eq!((record.specialty, record.status.name()), (frontend(), "cancelled"));
    }
    // To a third specialty: by way of the second.
    let spec = spec("third");
    s.queue.enqueue(&spec).await.unwrap();
    s.queue.move_until(&spec.id, &frontend(), "ada", Step::Copy).await.unwrap();
    let devops: Specialty = "devops".parse().unwrap();
    assert_eq!(s.queue.move_specialty(&spec.id, &devops, "ada").await.unwrap(), Asked::Done);
    assert_eq!(s.claim(&devops).await.len(), 1);
}

#[tokio::test]
async fn whoever_was_frozen_in_a_move_that_others_finished_does_nothing_again() {
    let s = Setting::new();
    let spec = spec("a");
    s.queue.enqueue(&spec).await.unwrap();
    let Out::Departing(mut frozen) =
        s.queue.mark(&backend(), &spec.id, Some(&frontend()), "ada").await.unwrap()
    else {
        panic!("it departs")
    };
    assert_eq!(s.queue.move_specialty(&spec.id, &frontend(), "ada").await.unwrap(), Asked::Done);
    // Thawed at once, when the task waits: what is there already stays as it is.
    let same = Departing {
        fields: frozen.fields.clone(),
        spec: frozen.spec.clone(),
        token: frozen.token.clone(),
        target: frontend(),
        ..frozen
    };
    s.queue.carry(&backend(), &spec.id, same, Step::Arrive).await.unwrap();
    s.assert_moved(&spec.id, "thawed").await;
    // Thawed when it has run and is forgotten.
    s.number("DEL ccc:{frontend}:task:a ccc:{frontend}:failed");
    frozen.deadline_ms = 1;
    let thawed = s.queue.carry(&backend(), &spec.id, frozen, Step::Arrive).await.unwrap();
    assert_eq!(thawed, Moved::Again);
    assert!(s.claim(&frontend()).await.is_empty());
    assert_eq!(s.queue.task(&spec.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_task_moves_in_every_state_in_which_it_waits_and_keeps_place_and_log() {
    let s = Setting::new();
    let (held, delayed, old) = (spec("held"), spec("delayed"), spec("old"));
    s.queue.hold(&held).await.unwrap();
    s.queue.enqueue(&delayed).await.unwrap();
    let lease = s.claim(&backend()).await.remove(0).lease;
    let line = AgedLine::from(LogLine::new(LogStream::Agent, "first run"));
    s.queue.append_log(&lease, 1, &[line]).await.unwrap();
    s.queue.retry(&lease, &Failure::transient("x"), Duration::from_secs(60)).await.unwrap();
    s.queue.enqueue(&old).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    let young = TaskSpec { specialty: frontend(), ..spec("young") };
    s.queue.enqueue(&young).await.unwrap();
    let before = s.queue.read_log(&delayed.id, None, 9).await.unwrap();
    for id in [&held.id, &delayed.id, &old.id] {
        assert_eq!(s.queue.move_specialty(id, &frontend(), "ada").await.unwrap(), Asked::Done);
    }
    let counts = s.queue.counts(&frontend()).await.unwrap();
    assert_eq!((counts.held, counts.delayed, counts.pending), (1, 1, 2));
    assert_eq!(s.queue.read_log(&delayed.id, None, 9).await.unwrap(), before);
    let ids: Vec<_> = s.claim(&frontend()).await.into_iter().map(|c| c.lease.id.to_string()).collect();
    assert_eq!(ids, ["old", "young"], "by age");
    s.number("ZADD ccc:{frontend}:delayed 1 delayed");
    s.queue.sweep(&frontend()).await.unwrap();
    assert_eq!(s.claim(&frontend()).await[0].spec.as_ref().unwrap().body, "the body");
    assert_eq!(s.queue.task(&delayed.id).await.unwrap().unwrap().attempts, 1);
}

#[tokio::test]
async fn an_active_or_settled_task_does_not_move_nor_does_one_onto_another() {
    let s = Setting::new();
    let (a, b) = (spec("a"), spec("b"));
    s.queue.enqueue(&a).await.unwrap();
    let lease = s.claim(&backend()).await.remove(0).lease;
    let moved = s.queue.move_specialty(&a.id, &frontend(), "ada").await.unwrap();
    assert!(matches!(moved, Asked::WrongState(record) if record.status.name() == "active"));
    s.queue.fail(&lease, &Failure::task("red")).await.unwrap();
    let moved = s.queue.move_specialty(&a.id, &frontend(), "ada").await.unwrap();
    assert!(matches!(moved, Asked::WrongState(record) if record.status.name() == "failed"));
    assert_eq!(
        s.queue.move_specialty(&"no".parse().unwrap(), &frontend(), "x").await.unwrap(),
        Asked::Unknown
    );
    // A record that no locator names, as a hand may leave it.
    s.queue.enqueue(&b).await.unwrap();
    s.number("HSET ccc:{frontend}:task:b status failed");
    let error = s.queue.move_specialty(&b.id, &frontend(), "ada").await.unwrap_err().to_string();
    assert!(error.contains("another task b is in frontend"), "{error}");
    assert_eq!(s.claim(&backend()).await[0].spec.as_ref().unwrap().body, "the body");
    assert_eq!(s.number("XLEN ccc:{backend}:outbox"), 0);
}

#[tokio::test]
async fn a_moved_task_of_another_priority_goes_in_its_own_order() {
    let s = Setting::new();
    let low = TaskSpec { priority: Priority::Low, ..spec("low") };
    let high = TaskSpec { priority: Priority::High, specialty: frontend(), ..spec("high") };
    s.queue.enqueue(&low).await.unwrap();
    s.queue.enqueue(&high).await.unwrap();
    s.queue.move_specialty(&low.id, &frontend(), "ada").await.unwrap();
    let ids: Vec<_> = s.claim(&frontend()).await.into_iter().map(|c| c.lease.id.to_string()).collect();
    assert_eq!(ids, ["high", "low"]);
}

#[tokio::test]
async fn a_task_is_seen_and_its_text_read_while_it_is_moved_to_and_fro() {
    let s = Setting::new();
    let spec = spec("a");
    s.queue.enqueue(&spec).await.unwrap();
    let over = std::cell::Cell::new(false);
    let moving = async {
        for target in [frontend(), backend()].iter().cycle().take(60) {
            assert_eq!(s.queue.move_specialty(&spec.id, target, "ada").await.unwrap(), Asked::Done);
        }
        over.set(true);
    };
    let looking = async {
        while !over.get() {
            assert!(s.queue.task(&spec.id).await.unwrap().is_some(), "it is there");
            assert!(s.queue.spec(&spec.id).await.unwrap().is_some(), "so is its text");
        }
    };
    tokio::join!(moving, looking);
}
