//! The ingester over real HTTP, into a real Redis.
#![cfg(test)]

mod api;
mod client;
mod ingester;
mod poll;
mod teller;
mod webhook;
