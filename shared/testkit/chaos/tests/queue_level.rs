//! The short form of the queue level.

use std::time::Duration;

use chaos::queue_level::QueueLevel;

#[tokio::test(flavor = "multi_thread")]
async fn without_any_fault_from_outside_only_tasks_that_kill_their_workers_become_poison() {
    // No fault comes before all is over.
    let level = QueueLevel {
        seed: 1,
        tasks: 1_000,
        per_second: 250,
        pace: Duration::from_secs(3_600),
        program: env!("CARGO_BIN_EXE_chaos").into(),
    };
    let report = level.run().await.expect("nothing is violated");
    assert_eq!((report.tally.poisoned, report.faults.kills), (2, 0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_is_settled_once_and_no_stale_effect_stands_whatever_dies_freezes_or_is_cut_off() {
    let seed = 1;
    let level = QueueLevel {
        seed,
        tasks: 1_500,
        per_second: 150,
        pace: Duration::from_millis(250),
        program: env!("CARGO_BIN_EXE_chaos").into(),
    };
    match level.run().await {
        Ok(report) => println!("{report}"),
        Err(error) => panic!(
            "seed {seed}; repeat with: scripts/chaos --level queue --tasks 1500 --seeds {seed} --per-second 150 \
             --pace-ms 250\n{error:#}"
        ),
    }
}
