//! Webhooks over real HTTP into a real Redis.
#![cfg(test)]

mod answers;
mod client;
mod gate;
mod ingester;
mod limits;
mod mutations;
mod outages;
mod payload;
mod start;
