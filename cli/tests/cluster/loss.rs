//! A worker is lost in the middle of a task, in each of the ways in which that happens.

use nix::sys::signal::Signal;
use shared::Status;

use crate::pc::{Cluster, LONG, TIGHT, let_go, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_s_task_is_finished_by_another_and_nothing_of_the_first_is_left() {
    let cluster = Cluster::new(TIGHT);
    let first = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    cluster.begun(&first, &id).await;
    let second = cluster.start("pc-2", "w2");
    first.signal(Signal::SIGKILL);
    let killed_at = std::time::Instant::now();
    let tree = cluster.begun(&second, &id).await;
    println!("restarted after {:?} with a lease of {} ms", killed_at.elapsed(), TIGHT.0);
    let_go(&tree);
    let record = cluster.settled(&id).await;
    assert_eq!((record.runs, record.lost, record.attempts), (2, 1, 0));
    let branch = Cluster::branch_of(&record);
    assert_eq!(cluster.remote.branches().unwrap(), [branch.clone(), "main".to_owned()]);
    assert_eq!(cluster.remote.read(&branch, "README").unwrap(), "sample\nmade by run\n");
    cluster.no_agent_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_that_wakes_up_after_its_task_was_taken_publishes_nothing() {
    let cluster = Cluster::new(TIGHT);
    let frozen = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    let its_tree = cluster.begun(&frozen, &id).await;
    frozen.signal(Signal::SIGSTOP);
    let second = cluster.start("pc-2", "w2");
    let tree = cluster.begun(&second, &id).await;
    let fence = match cluster.record(&id).await.status {
        Status::Active { worker, fence, .. } if worker == "w2" => fence,
        other => panic!("active at w2, not {other:?}"),
    };
    // The zombie's agent comes to its end while its worker sleeps, so that it wakes up ready to publish.
    let_go(&its_tree);
    frozen.signal(Signal::SIGCONT);
    until("the zombie has given up", || async { frozen.log().contains("task given up").then_some(()) }).await;
    assert_eq!(cluster.remote.branches().unwrap(), ["main"], "nothing was published by the zombie");
    assert!(matches!(cluster.record(&id).await.status, Status::Active { fence: now, .. } if now == fence));
    let_go(&tree);
    let record = cluster.settled(&id).await;
    assert_eq!(record.runs, 2);
    assert_eq!(cluster.remote.branches().unwrap().len(), 2);
    cluster.no_agent_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_for_less_than_it_takes_others_to_notice_goes_on() {
    let cluster = Cluster::new(TIGHT);
    let pc = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    let tree = cluster.begun(&pc, &id).await;
    pc.signal(Signal::SIGSTOP);
    // Longer than the lease, and nobody else is there: when it wakes, its task is still its own.
    until("the lease has run out", || async {
        let leases: Vec<(String, f64)> =
            cluster.redis.command(&["ZRANGE", "ccc:{backend}:leases", "0", "-1", "WITHSCORES"]).unwrap();
        let now: (u64, u64) = cluster.redis.command(&["TIME"]).unwrap();
        leases.first().is_some_and(|(_, ends)| *ends < (now.0 * 1_000) as f64).then_some(())
    })
    .await;
    pc.signal(Signal::SIGCONT);
    let_go(&tree);
    let record = cluster.settled(&id).await;
    assert_eq!((record.runs, record.lost), (1, 0));
    assert!(matches!(record.status, Status::Completed { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_restarted_makes_no_living_worker_lose_its_task() {
    let mut cluster = Cluster::new(TIGHT);
    let first = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    let tree = cluster.begun(&first, &id).await;
    let second = cluster.start("pc-2", "w2");
    until("the second is there", || async { second.log().contains("worker is ready").then_some(()) }).await;
    cluster.redis.kill().unwrap();
    until("both know", || async {
        [&first, &second].iter().all(|pc| pc.log().contains("redis does not answer")).then_some(())
    })
    .await;
    // The agent ends during the outage: its result waits for Redis.
    let_go(&tree);
    until("the agent has ended", || async { (!tree.join("begun").exists()).then_some(()) }).await;
    cluster.redis.restart().unwrap();
    let record = cluster.settled(&id).await;
    assert_eq!((record.runs, record.lost, record.attempts), (1, 0, 0), "not run twice");
    assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
    // Both work on.
    let next = cluster.enqueue("b").await;
    let tree = tokio::select! {
        tree = cluster.begun(&first, &next) => tree,
        tree = cluster.begun(&second, &next) => tree,
    };
    let_go(&tree);
    assert!(matches!(cluster.settled(&next).await.status, Status::Completed { .. }));
    cluster.no_agent_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_restarted_on_its_host_gets_its_task_back_at_once_and_no_agent_is_left() {
    // A lease that never ends here: only the lock of the host can prove that the first is dead.
    let cluster = Cluster::new(LONG);
    let mut first = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    cluster.begun(&first, &id).await;
    first.signal(Signal::SIGKILL);
    first.ended().await;
    cluster.no_agent_left().await;
    let again = cluster.start("pc-1", "w1");
    cluster.claimed_times(&id, 2).await;
    until("the second run is claimed", || async { (cluster.record(&id).await.runs == 2).then_some(()) })
        .await;
    let tree = cluster.begun(&again, &id).await;
    let_go(&tree);
    let record = cluster.settled(&id).await;
    assert_eq!((record.runs, record.lost), (2, 1));
    assert!(matches!(record.status, Status::Completed { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_kills_its_worker_each_time_is_poison_after_three() {
    let cluster = Cluster::new(LONG);
    let id = cluster.enqueue("a").await;
    for life in 1..=3 {
        let mut pc = cluster.start("pc-1", "w1");
        cluster.claimed_times(&id, life).await;
        cluster.begun(&pc, &id).await;
        pc.signal(Signal::SIGKILL);
        pc.ended().await;
        cluster.no_agent_left().await;
    }
    let _last = cluster.start("pc-1", "w1");
    let record = cluster.settled(&id).await;
    assert!(
        matches!(&record.status, Status::Failed { class: shared::FailureClass::LostWorker, .. }),
        "{record:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_with_one_id_on_one_host_the_second_is_refused() {
    let cluster = Cluster::new(LONG);
    let first = cluster.start("pc-1", "w1");
    until("the first is there", || async { first.log().contains("worker is ready").then_some(()) }).await;
    let mut second = cluster.start("pc-1", "w1");
    assert_eq!(second.ended().await, Some(3));
    assert!(second.log().contains("another worker with the node id 'w1'"), "{}", second.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_with_one_id_on_two_hosts_the_second_is_refused() {
    let cluster = Cluster::new(LONG);
    let first = cluster.start("pc-1", "w1");
    until("the first is there", || async { first.log().contains("worker is ready").then_some(()) }).await;
    let mut second = cluster.start("pc-2", "w1");
    assert_eq!(second.ended().await, Some(3));
    assert!(second.log().contains("give this one another id"), "{}", second.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_waits_whether_its_former_self_lives_ends_when_it_is_told_to() {
    // The other's beat would be waited for during three minutes.
    let cluster = Cluster::new((600_000, 60_000, 300));
    let first = cluster.start("pc-1", "w1");
    until("the first is there", || async { first.log().contains("worker is ready").then_some(()) }).await;
    let mut second = cluster.start("pc-2", "w1");
    until("the second waits", || async { second.log().contains("beats elsewhere").then_some(()) }).await;
    second.signal(Signal::SIGTERM);
    assert_eq!(second.ended().await, Some(0));
    assert!(cluster.queue.worker("w1").await.unwrap().is_some(), "the first is not touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beat_that_redis_cannot_take_ends_the_worker_and_is_not_waited_out_like_an_outage() {
    let cluster = Cluster::new(LONG);
    let mut pc = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    cluster.begun(&pc, &id).await;
    cluster.redis.command::<()>(&["SET", "ccc:worker:w1", "changed by hand"]).unwrap();
    assert_eq!(pc.ended().await, Some(70), "{}", pc.log());
    assert!(pc.log().contains("what waiting does not mend"), "{}", pc.log());
    assert_eq!(cluster.record(&id).await.status, Status::Pending, "its task is given back");
    cluster.no_agent_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn among_tasks_that_are_lost_together_only_the_one_that_kills_its_worker_becomes_poison() {
    let cluster = Cluster::new(LONG);
    let start = || cluster.start_with("pc-1", "w1", &[("CLAUDE_CLUSTER__WORKER__MAX_TASKS", "3")]);
    let die = async |mut pc: crate::pc::Pc| {
        pc.signal(Signal::SIGKILL);
        pc.ended().await;
        cluster.no_agent_left().await;
    };
    let (first, killer, last) =
        (cluster.enqueue("first").await, cluster.enqueue("killer").await, cluster.enqueue("last").await);
    for life in 1..=2 {
        let pc = start();
        for id in [&first, &killer, &last] {
            cluster.claimed_times(id, life).await;
            cluster.begun(&pc, id).await;
        }
        die(pc).await;
    }
    // Each alone from here on, oldest first.
    let pc = start();
    cluster.claimed_times(&first, 3).await;
    let tree = cluster.begun(&pc, &first).await;
    assert_eq!(cluster.record(&killer).await.status, Status::Pending);
    let_go(&tree);
    cluster.claimed_times(&killer, 3).await;
    cluster.begun(&pc, &killer).await;
    assert_eq!(cluster.record(&last).await.status, Status::Pending);
    die(pc).await;
    let pc = start();
    cluster.claimed_times(&last, 3).await;
    let_go(&cluster.begun(&pc, &last).await);
    for innocent in [&first, &last] {
        let record = cluster.settled(innocent).await;
        assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
    }
    let record = cluster.settled(&killer).await;
    assert!(
        matches!(&record.status, Status::Failed { class: shared::FailureClass::LostWorker, .. }),
        "{record:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_waits_until_its_worker_s_other_tasks_end_and_is_given_back_when_that_drains() {
    let cluster = Cluster::new(LONG);
    let two = [("CLAUDE_CLUSTER__WORKER__MAX_TASKS", "2")];
    let suspect = cluster.enqueue("suspect").await;
    for life in 1..=2 {
        let mut pc = cluster.start("pc-1", "w1");
        cluster.claimed_times(&suspect, life).await;
        cluster.begun(&pc, &suspect).await;
        pc.signal(Signal::SIGKILL);
        pc.ended().await;
    }
    cluster.queue.pause(&"backend".parse().unwrap(), "ada", "", None).await.unwrap();
    // Its former tasks are given back at its start, and it is busy before the suspect can be claimed.
    let pc = cluster.start_with("pc-1", "w1", &two);
    until("it is ready", || async { pc.log().contains("worker is ready").then_some(()) }).await;
    let urgent = cluster.enqueue_as("urgent", shared::Priority::High).await;
    let also = cluster.enqueue_as("also-urgent", shared::Priority::High).await;
    cluster.queue.resume(&"backend".parse().unwrap(), "ada").await.unwrap();
    let (one, other) = (cluster.begun(&pc, &urgent).await, cluster.begun(&pc, &also).await);
    let fresh = cluster.enqueue("fresh").await;
    let_go(&other);
    let phase = async || match cluster.record(&suspect).await.status {
        Status::Active { phase, .. } => Some(phase),
        _ => None,
    };
    until("the suspect is claimed", || async { phase().await.filter(|phase| phase == "alone") }).await;
    assert_eq!(cluster.record(&fresh).await.status, Status::Pending, "nothing else is claimed");
    // A second worker takes what the first leaves.
    let second = cluster.start("pc-2", "w2");
    let_go(&cluster.begun(&second, &fresh).await);
    assert_eq!(phase().await.as_deref(), Some("alone"), "one still runs beside it");
    pc.signal(Signal::SIGTERM);
    let tree = cluster.begun(&second, &suspect).await;
    assert_eq!(cluster.record(&suspect).await.lost, 2);
    let_go(&tree);
    let_go(&one);
    for id in [&suspect, &urgent, &also, &fresh] {
        assert!(matches!(cluster.settled(id).await.status, Status::Completed { .. }));
    }
}
