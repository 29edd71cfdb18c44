//! Every key has a limit: a number, an age, or an end.

use std::time::Duration;

use shared::{
    queue::{AgedLine, QueueError},
    task_log::{LogLine, LogStream},
};
use testkit::RedisServer;

use crate::setting::{Setting, backend, holder, queue_at, task};

#[tokio::test]
async fn an_account_whose_limit_has_no_end_is_suspended_and_gets_one() {
    let s = Setting::new();
    s.redis::<()>("SET $:account:team:limited by-hand");
    let until = s.queue.account_suspended_until("team").await.unwrap().expect("it is suspended");
    let now = s.redis::<(u64, u64)>("TIME").0 * 1_000;
    assert!((now + 3_500_000..=now + 3_602_000).contains(&until), "{until}");
    assert!(s.redis::<i64>("TTL $:account:team:limited") > 0);
    assert_eq!(s.queue.account_suspended_until("team").await.unwrap(), Some(until), "it does not move on");
}

#[tokio::test]
async fn a_full_redis_takes_no_log_lines_so_that_they_cannot_use_up_what_settlements_need() {
    let server = RedisServer::start_with(&["--maxmemory", "4mb"]).unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    let spec = task("a", "backend");
    queue.enqueue(&spec).await.unwrap();
    let shared::queue::Claim::Tasks { tasks, .. } =
        queue.claim(&holder("w1"), &backend(), 1, "n").await.unwrap()
    else {
        panic!("not paused")
    };
    let lease = &tasks[0].lease;
    let line = AgedLine::from(LogLine::new(LogStream::Agent, &"x".repeat(3_000)));
    let lines = vec![line; 100];
    let refused = loop {
        if let Err(error) = queue.append_log(lease, 1, &lines).await {
            break error;
        }
    };
    assert!(matches!(refused, QueueError::Refused(_)), "{refused}");
    let used = || {
        let info: String = server.command(&["INFO", "memory"]).unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let before = used();
    for _ in 0..20 {
        queue.append_log(lease, 1, &lines).await.unwrap_err();
    }
    assert!(used() < before + 200_000, "nothing was kept");
    let failure = shared::Failure::task("red");
    assert_eq!(queue.fail(lease, &failure).await.unwrap(), shared::queue::Settlement::Done);
}

#[tokio::test]
async fn effects_that_cannot_be_carried_out_do_not_hold_up_those_behind_them() {
    let s = Setting::with(|q| q.sweep_ms = 1);
    let id = s.enqueued("a").await;
    s.queue.cancel(&id, "ada").await.unwrap();
    s.redis::<u64>("PERSIST $:task:a");
    s.redis::<u64>("DEL $:{backend}:outbox");
    // A locator of the wrong type makes an effect fail each time.
    for i in 1..=120 {
        s.redis::<u64>(&format!("RPUSH $:task:stuck{i} x"));
        s.redis::<String>(&format!("XADD $:{{backend}}:outbox {i}-0 task stuck{i} issue "));
    }
    s.redis::<String>("XADD $:{backend}:outbox 500-0 task a issue ");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while s.redis::<i64>("TTL $:task:a") < 0 {
        assert!(tokio::time::Instant::now() < deadline, "never carried out");
        s.queue.sweep(&backend()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(s.redis::<u64>("XLEN $:{backend}:outbox"), 120, "those that fail are kept");
}
