//! One redis-server.

use anyhow::Result;
use redis::FromRedisValue;
use shared::config::RedisConfig;
use testkit::RedisServer;

pub struct Ground(RedisServer);

impl Ground {
    pub fn start() -> Result<Self> {
        RedisServer::start().map(Self)
    }

    pub fn name(&self, redis: &mut RedisConfig) {
        redis.url = self.0.url().into();
    }

    pub fn command<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        self.0.command(words)
    }

    /// The one that has `backend`.
    pub fn server(&self) -> &RedisServer {
        &self.0
    }

    #[expect(clippy::unused_self, reason = "others have parts")]
    pub fn has_everything(&self) -> bool {
        true
    }
}
