//! Looking: pages, why a task waits, and what a look costs.

use std::time::Duration;

use shared::{
    Failure, Priority, TaskId, TaskRecord, TaskSpec,
    lifecycle::UnixMs,
    queue::{Queue, Why},
};
use testkit::RedisServer;

use crate::{
    beats::info,
    setting::{Setting, backend, holder, queue_at, task},
};

async fn pages(queue: &Queue, status: &str, count: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = queue.list(&backend(), status, after.as_deref(), count).await.unwrap();
        ids.extend(page.tasks.into_iter().map(|record| record.id.to_string()));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

#[tokio::test]
async fn pages_show_each_task_once_whatever_comes_and_goes_in_between() {
    let s = Setting::new();
    for i in 0..30 {
        let id = s.enqueued(&format!("t{i:02}")).await;
        s.queue.cancel(&id, "ada").await.unwrap();
    }
    // Many of the same moment, so that ids decide.
    let moment: String = s.redis("ZSCORE $:{backend}:cancelled t00");
    for i in 0..20 {
        s.redis::<u64>(&format!("ZADD $:{{backend}}:cancelled {moment} t{i:02}"));
    }
    let newest_first: Vec<String> = s.redis("ZRANGE $:{backend}:cancelled 0 -1 REV");
    for count in [1, 3, 7, 30, 100] {
        assert_eq!(pages(&s.queue, "cancelled", count).await, newest_first, "{count}");
    }
    let first = s.queue.list(&backend(), "cancelled", None, 15).await.unwrap();
    // The last of the page goes, one that was shown goes, and a new one comes.
    let (last, shown) = (&first.tasks[14].id, &first.tasks[0].id);
    s.queue.delete(last, "ada").await.unwrap();
    s.queue.delete(shown, "ada").await.unwrap();
    let id = s.enqueued("new").await;
    s.queue.cancel(&id, "ada").await.unwrap();
    let rest = s.queue.list(&backend(), "cancelled", first.next.as_deref(), 100).await.unwrap();
    let rest: Vec<_> = rest.tasks.iter().map(|record| record.id.to_string()).collect();
    assert_eq!(rest, newest_first[15..]);
    assert_eq!(pages(&s.queue, "held", 5).await, [""; 0]);
}

async fn why(s: &Setting, id: &TaskId) -> Option<Why> {
    let record = s.queue.task(id).await.unwrap().unwrap();
    s.queue.why(&record).await.unwrap()
}

#[tokio::test]
async fn whatever_waits_says_why() {
    let s = Setting::new();
    let id = s.enqueued("a").await;
    assert_eq!(why(&s, &id).await, Some(Why::NoWorker));
    let mut worker = info("w1", "w1-1");
    s.queue.beat(&worker).await.unwrap();
    assert_eq!(why(&s, &id).await, Some(Why::Busy { ahead: Some(0) }));
    s.queue.pause(&backend(), "ada", "lunch", None).await.unwrap();
    assert!(matches!(why(&s, &id).await, Some(Why::Paused(stopped)) if stopped.by == "ada"));
    s.queue.resume(&backend(), "ada").await.unwrap();

    let until: UnixMs = s.redis::<(u64, u64)>("TIME").0 * 1_000 + 60_000;
    worker.resting.insert(backend(), until);
    s.queue.beat(&worker).await.unwrap();
    assert_eq!(why(&s, &id).await, Some(Why::AccountLimited { until }));
    let other = info("w2", "w2-1");
    s.queue.beat(&other).await.unwrap();
    assert_eq!(why(&s, &id).await, Some(Why::Busy { ahead: Some(0) }), "the other's account has no limit");
    worker.resting.clear();
    s.queue.leave("w2", "w2-1").await.unwrap();
    worker.draining = true;
    s.queue.beat(&worker).await.unwrap();
    assert_eq!(why(&s, &id).await, Some(Why::Drained));
    worker.draining = false;
    worker.unready = Some("the disk is nearly full".to_owned());
    s.queue.beat(&worker).await.unwrap();
    let unready = Why::Unready { worker: "w1".to_owned(), why: "the disk is nearly full".to_owned() };
    assert_eq!(why(&s, &id).await, Some(unready));
    worker.unready = None;
    s.queue.beat(&worker).await.unwrap();

    let claimed = s.claimed(&holder("w1")).await;
    s.queue.set_phase(&claimed.lease, "testing").await.unwrap();
    let Some(Why::Phase { worker, phase, since }) = why(&s, &id).await else { panic!("it runs") };
    assert_eq!((worker.as_str(), phase.as_str()), ("w1", "testing"));
    assert!(since > 0);
    s.queue.retry(&claimed.lease, &Failure::transient("x"), Duration::from_secs(60)).await.unwrap();
    assert!(matches!(why(&s, &id).await, Some(Why::RetryAt { .. })));
    s.queue.cancel(&id, "ada").await.unwrap();
    assert_eq!(why(&s, &id).await, None);
    s.queue.hold(&task("held", "backend")).await.unwrap();
    assert_eq!(why(&s, &"held".parse().unwrap()).await, Some(Why::Held));
}

#[tokio::test]
async fn a_waiting_task_says_how_many_come_first() {
    let s = Setting::new();
    s.queue.beat(&info("w1", "w1-1")).await.unwrap();
    let enqueue = async |id: &str, priority| {
        s.queue.enqueue(&TaskSpec { priority, ..task(id, "backend") }).await.unwrap();
    };
    for i in 0..150 {
        enqueue(&format!("m{i}"), Priority::Medium).await;
    }
    let claimed = s.claim(&holder("w1"), 3).await;
    s.queue.release(&claimed[1].lease, "shutdown").await.unwrap();
    enqueue("high", Priority::High).await;
    enqueue("low", Priority::Low).await;
    for (id, ahead) in
        [("high", 0), ("m1", 1), ("m3", 2), ("m4", 3), ("m60", 59), ("m149", 100), ("low", 100)]
    {
        assert_eq!(why(&s, &id.parse().unwrap()).await, Some(Why::Busy { ahead: Some(ahead) }), "{id}");
    }
}

/// Commands that the server has carried out, those inside of scripts included.
fn commands(redis: &RedisServer) -> u64 {
    let stats: String = redis.command(&["INFO", "stats"]).unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.unwrap().trim().parse().unwrap()
}

async fn look(queue: &Queue, record: &TaskRecord) {
    queue.counts(&backend()).await.unwrap();
    queue.waiting(&backend()).await.unwrap();
    queue.why(record).await.unwrap();
    queue.task(&record.id).await.unwrap();
    queue.paused(&backend()).await.unwrap();
    for status in ["pending", "cancelled", "held", "active", "delayed"] {
        queue.list(&backend(), status, None, 10).await.unwrap();
    }
    queue.events_after(&backend(), None, 10).await.unwrap();
    queue.read_log(&record.id, None, 10).await.unwrap();
}

#[tokio::test]
async fn a_look_costs_the_same_however_many_tasks_there_are() {
    let server = RedisServer::start().unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    queue.beat(&info("w1", "w1-1")).await.unwrap();
    let mut costs = Vec::new();
    for upto in [40, 2_000] {
        for i in costs.len() * 40..upto {
            queue.enqueue(&task(&format!("t{i}"), "backend")).await.unwrap();
            if i % 2 == 0 {
                queue.cancel(&format!("t{i}").parse().unwrap(), "ada").await.unwrap();
            }
        }
        let record = queue.task(&"t39".parse().unwrap()).await.unwrap().unwrap();
        // The first look makes the server know its scripts.
        look(&queue, &record).await;
        let before = commands(&server);
        look(&queue, &record).await;
        costs.push(commands(&server) - before);
    }
    assert_eq!(costs[0], costs[1], "for forty tasks and for two thousand");
}

#[tokio::test]
async fn a_page_is_two_commands_of_a_client_whatever_is_on_it() {
    let server = RedisServer::start().unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    for i in 0..50 {
        queue.hold(&task(&format!("t{i}"), "backend")).await.unwrap();
    }
    let client_calls = || {
        let stats: String = server.command(&["INFO", "commandstats"]).unwrap();
        let of = |name: &str| {
            let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
            line.map_or(0, |line| line.split(',').next().unwrap().parse::<u64>().unwrap())
        };
        (of("evalsha"), of("zmscore"), of("hgetall"))
    };
    queue.list(&backend(), "held", None, 1).await.unwrap();
    let before = client_calls();
    assert_eq!(queue.list(&backend(), "held", None, 50).await.unwrap().tasks.len(), 50);
    let after = client_calls();
    assert_eq!((after.0 - before.0, after.1 - before.1, after.2 - before.2), (1, 1, 50));
}
