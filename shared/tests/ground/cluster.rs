//! Three masters of a cluster.

use anyhow::{Context, Result};
use redis::FromRedisValue;
use shared::config::RedisConfig;
use testkit::{RedisCluster, RedisServer};

pub struct Ground(RedisCluster);

impl Ground {
    pub fn start() -> Result<Self> {
        RedisCluster::start().map(Self)
    }

    pub fn name(&self, redis: &mut RedisConfig) {
        redis.cluster = self.0.addresses();
    }

    /// Runs the command where its key is: all nodes but that one answer `MOVED`.
    pub fn command<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        let mut answers = self.0.nodes.iter().map(|node| node.command(words));
        let answer = answers.find(|answer| !answer.as_ref().is_err_and(is_moved));
        answer.context("some node has the key")?
    }

    /// The one that has `backend`.
    pub fn server(&self) -> &RedisServer {
        self.0.owner("{backend}").expect("some node has it")
    }

    #[expect(clippy::unused_self, reason = "others have it all")]
    pub fn has_everything(&self) -> bool {
        false
    }
}

fn is_moved(error: &anyhow::Error) -> bool {
    error.downcast_ref::<redis::RedisError>().is_some_and(|error| error.redirect_node().is_some())
}
