//! The queue against a model of it: random sequences of all operations by several workers, with leases that run
//! out, ids that are used again, late and repeated words, and clocks that are set. After each step the answers agree,
//! and after each sequence all that Redis keeps.
//!
//! `MODEL_SEED` is the first sequence's seed, `MODEL_CASES` how many are played, `MODEL_STEPS` how long each is.
#![cfg(test)]

mod operation;
mod play;
mod shrink;
mod world;

use std::env;

use operation::Operation;
use testkit::RedisServer;

const SEED: u64 = 1;
const CASES: u64 = 40;
const STEPS: usize = 80;

#[tokio::test]
async fn every_sequence_of_operations_ends_as_the_model_says() {
    // The sequences are not about crashes of Redis; each write waits for the disk otherwise.
    let redis = RedisServer::start_with(&["--appendonly", "no"]).expect("redis-server starts");
    let (seed, cases, steps) =
        (variable("MODEL_SEED", SEED), variable("MODEL_CASES", CASES), variable("MODEL_STEPS", STEPS as u64));
    for seed in seed..seed + cases {
        let (keep, operations) = case(seed, steps as usize);
        let Err(what) = play::play(&redis, &format!("s{seed}"), keep, &operations).await else {
            redis.command::<()>(&["FLUSHALL"]).expect("flushed");
            continue;
        };
        let (shortest, why) = shrink::shortest(&redis, keep, operations, what).await;
        let listed: Vec<String> = shortest.iter().map(|operation| format!("  {operation:?}")).collect();
        panic!(
            "{why}\nThe shortest sequence, with {keep} settled tasks kept:\n{}\nAgain: MODEL_SEED={seed} MODEL_CASES=1 MODEL_STEPS={steps} cargo test -p shared --test model",
            listed.join("\n")
        );
    }
}

/// How many settled tasks are kept, and what happens.
fn case(seed: u64, steps: usize) -> (usize, Vec<Operation>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let keep = if rng.bool() { 2 } else { 100 };
    (keep, operation::sequence(&mut rng, steps))
}

fn variable(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
