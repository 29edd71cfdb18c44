//! What the tests stand on: real parts, isolated per test, gone at the end.

pub mod audit;
mod connect_proxy;
pub mod fault_proxy;
pub mod faults;
pub mod git;
pub mod git_http;
pub mod github;
pub mod http_client;
pub mod http_server;
pub mod model_api;
pub mod polled_github;
pub mod queue_clock;
pub mod redis_cluster;
pub mod redis_sentinels;
pub mod redis_server;
pub mod webhook;

pub use connect_proxy::ConnectProxy;
pub use fault_proxy::FaultProxy;
pub use git::GitRemote;
pub use github::TestGitHub;
pub use polled_github::PolledGitHub;
pub use redis_cluster::RedisCluster;
pub use redis_sentinels::RedisSentinels;
pub use redis_server::RedisServer;
