//! The short form of the chaos suite's cluster level: the real program under a seeded schedule of faults.
#![cfg(test)]

use std::time::Duration;

use chaos::cluster_level::ClusterLevel;

#[tokio::test(flavor = "multi_thread")]
async fn every_issue_becomes_one_branch_whatever_dies_freezes_or_is_cut_off() {
    let seed = 1;
    let level = ClusterLevel {
        seed,
        issues: 25,
        every: Duration::from_millis(800),
        pace: Duration::from_secs(1),
        program: env!("CARGO_BIN_EXE_claude-cluster").into(),
    };
    match level.run().await {
        Ok(report) => println!("{report}"),
        Err(error) => panic!(
            "seed {seed}; repeat with: scripts/chaos --level cluster --tasks 25 --seeds {seed} --per-second 1.25 \
             --pace-ms 1000\n{error:#}"
        ),
    }
}
