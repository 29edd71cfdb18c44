//! What the tests stand on: real parts, isolated per test, gone at the end.

pub mod git;
pub mod messages_api;
pub mod redis_server;

pub use git::GitRemote;
pub use redis_server::RedisServer;
