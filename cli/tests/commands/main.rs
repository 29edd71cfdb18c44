//! The commands as a user runs them: the real program, a home of its own, nothing of the caller's environment.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod classifying;
mod configuration;
mod controlling;
mod home;
mod joining;
mod names;
mod on_github;
mod private_redis;
mod reading;
mod running;
