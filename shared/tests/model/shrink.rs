//! Makes a sequence that ends badly as short as it can be.

use testkit::RedisServer;

use crate::{operation::Operation, play::play};

/// Most sequences that are tried.
const TRIES_MAX: usize = 400;

/// The shortest sequence found that still ends badly, and how it ends.
pub async fn shortest(
    redis: &RedisServer,
    keep: usize,
    mut operations: Vec<Operation>,
    mut why: String,
) -> (Vec<Operation>, String) {
    let (mut chunk, mut tries) = (operations.len().div_ceil(2), 0);
    while chunk > 0 {
        let (before, mut from) = (operations.len(), 0);
        while from < operations.len() && tries < TRIES_MAX {
            tries += 1;
            let mut fewer = operations.clone();
            fewer.drain(from..(from + chunk).min(operations.len()));
            match play(redis, &format!("try{tries}"), keep, &fewer).await {
                Err(what) => (operations, why) = (fewer, what),
                Ok(()) => from += chunk,
            }
        }
        if operations.len() == before || tries >= TRIES_MAX {
            chunk /= 2;
        }
    }
    (operations, why)
}
