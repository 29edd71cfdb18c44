//! Workers tell that they live, and which account met its limit.

use std::time::Duration;

use shared::{
    queue::Beat,
    worker_info::{SystemInfo, WorkerInfo},
};
use testkit::RedisServer;

use crate::setting::{Setting, backend, queue_at, task};

pub fn info(node: &str, incarnation: &str) -> WorkerInfo {
    WorkerInfo {
        id: node.to_owned(),
        incarnation: incarnation.to_owned(),
        hostname: "pc".to_owned(),
        pid: 1,
        lock: "boot:1:1".to_owned(),
        port: None,
        specialties: vec![backend()],
        slots: 1,
        running: Vec::new(),
        version: String::new(),
        agent: "command".to_owned(),
        sandbox: "process".to_owned(),
        workspace_root: String::new(),
        system: SystemInfo::default(),
        draining: false,
        suspended_until: None,
        resting: std::collections::BTreeMap::new(),
        unready: None,
        accounts: Vec::new(),
        started_at: 0,
        beat_at: 0,
    }
}

#[tokio::test]
async fn a_full_redis_still_hears_its_workers_and_their_limits() {
    let server = RedisServer::start_with(&["--maxmemory", "3mb"]).unwrap();
    let queue = queue_at(&server.url(), "ccc", |_| {});
    let mut accepted = 0;
    loop {
        let mut spec = task(&format!("t{accepted}"), "backend");
        spec.body = "x".repeat(40_000);
        if queue.enqueue(&spec).await.is_err() {
            break;
        }
        accepted += 1;
    }
    // A worker that is not heard claims nothing: the full Redis would stay full.
    assert!(matches!(queue.beat(&info("w1", "w1-1")).await.unwrap(), Beat::Ok { .. }));
    queue.suspend_account("team", Duration::from_secs(60)).await.unwrap();
    assert!(queue.account_suspended_until("team").await.unwrap().is_some());
}

#[tokio::test]
async fn of_two_incarnations_of_a_node_the_later_neither_displaces_nor_is_removed_by_the_other() {
    let s = Setting::new();
    let (old, new) = (info("w1", "old"), info("w1", "new"));
    assert!(matches!(s.queue.beat(&old).await.unwrap(), Beat::Ok { .. }));
    assert!(matches!(s.queue.beat(&new).await.unwrap(), Beat::Taken { .. }));
    // The lock of the host has proven the old one dead; its last words come late all the same.
    assert!(s.queue.bury("w1").await.unwrap());
    assert!(matches!(s.queue.beat(&new).await.unwrap(), Beat::Ok { .. }));
    assert!(matches!(s.queue.beat(&old).await.unwrap(), Beat::Taken { .. }));
    assert!(!s.queue.leave("w1", "old").await.unwrap());
    assert_eq!(s.queue.worker("w1").await.unwrap().unwrap().incarnation, "new");
}

#[tokio::test]
async fn a_limit_without_a_known_end_does_not_shorten_one_that_is_known() {
    let s = Setting::new();
    s.queue.suspend_account("team", Duration::from_secs(3_600)).await.unwrap();
    let until = s.queue.account_suspended_until("team").await.unwrap();
    s.queue.suspend_account("team", Duration::from_secs(60)).await.unwrap();
    assert_eq!(s.queue.account_suspended_until("team").await.unwrap(), until);
    s.queue.suspend_account("team", Duration::from_secs(7_200)).await.unwrap();
    assert!(s.queue.account_suspended_until("team").await.unwrap() > until);
}
