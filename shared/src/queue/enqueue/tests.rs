use testkit::RedisServer;

use super::*;
use crate::config::Config;

/// A Redis Cluster of one node.
fn cluster() -> (RedisServer, Queue) {
    let redis = RedisServer::start_on_port(&["--cluster-enabled", "yes"]).unwrap();
    redis.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    while !redis.command::<String>(&["CLUSTER", "INFO"]).unwrap().contains("cluster_state:ok") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut config = Config::defaults().unwrap();
    config.redis.cluster = vec![redis.address()];
    let queue = Queue::open(&config.redis, &config.queue).unwrap();
    (redis, queue)
}

#[tokio::test]
async fn whoever_was_frozen_until_its_locator_may_have_ended_makes_no_task_and_begins_anew() {
    let (redis, queue) = cluster();
    let spec = TaskSpec::new("a".parse().unwrap(), "octo/cat".parse().unwrap(), "a title");
    let offers = [Offer { place: 0, specialty: spec.specialty.clone() }];
    let located = queue.locate_or_take(&spec.id, &spec.specialty).await.unwrap();
    let answers = queue.admit(std::slice::from_ref(&spec), &offers, 1).await;
    assert!(matches!(answers[..], [Ok(Admitted::Late)]));
    assert_eq!(queue.task(&spec.id).await.unwrap(), None);
    let answers = queue.admit(std::slice::from_ref(&spec), &offers, located.deadline_ms).await;
    assert!(matches!(&answers[..], [Ok(Admitted::Created { due })] if !due.is_empty()));
    let life = || redis.command::<i64>(&["TTL", "ccc:task:a"]).unwrap();
    assert!(life() > 0, "whoever dies here has left it to a sweep");
    let due: Vec<redis::Value> = redis.command(&["XRANGE", "ccc:{general}:outbox", "-", "+"]).unwrap();
    assert_eq!(due.len(), 1);
    // What a sweep makes of it.
    queue.follow(&spec.specialty, &spec.id, "").await.unwrap();
    assert_eq!(life(), -1);
}

#[tokio::test]
async fn a_locator_has_an_end_until_its_task_has_come() {
    let (redis, queue) = cluster();
    let spec = |id: &str| TaskSpec::new(id.parse().unwrap(), "octo/cat".parse().unwrap(), "a title");
    let life = |id: &str| redis.command::<i64>(&["TTL", &format!("ccc:task:{id}")]).unwrap();
    queue.locate_or_take(&"dead".parse().unwrap(), &"general".parse().unwrap()).await.unwrap();
    assert!((1..=3_600).contains(&life("dead")));
    queue.enqueue(&spec("a")).await.unwrap();
    queue.hold(&spec("held")).await.unwrap();
    assert_eq!([life("a"), life("held")], [-1, -1]);
    assert_eq!(
        redis.command::<u64>(&["XLEN", "ccc:{general}:outbox"]).unwrap(),
        0,
        "nothing is left to sweeps"
    );
    // One that is about to end is not relied on.
    redis.command::<()>(&["EXPIRE", "ccc:task:dead", "5"]).unwrap();
    queue.locate_or_take(&"dead".parse().unwrap(), &"backend".parse().unwrap()).await.unwrap();
    assert!(life("dead") > 3_000);
}
