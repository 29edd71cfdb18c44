//! The HTTP API.

mod access;
mod call;
mod controlling;
mod errors;
mod outages;
mod seeds;
mod tasks;
mod workers;
