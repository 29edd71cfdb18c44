//! A master and its replica, found through three sentinels.

use anyhow::Result;
use redis::FromRedisValue;
use shared::config::RedisConfig;
use testkit::{RedisSentinels, RedisServer, redis_sentinels::SERVICE};

pub struct Ground(RedisSentinels);

impl Ground {
    pub fn start() -> Result<Self> {
        RedisSentinels::start().map(Self)
    }

    pub fn name(&self, redis: &mut RedisConfig) {
        redis.sentinels = self.0.addresses();
        redis.service = SERVICE.to_owned();
    }

    pub fn command<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        self.0.servers[0].command(words)
    }

    /// The one that has `backend`.
    pub fn server(&self) -> &RedisServer {
        &self.0.servers[0]
    }

    #[expect(clippy::unused_self, reason = "others have parts")]
    pub fn has_everything(&self) -> bool {
        true
    }
}
