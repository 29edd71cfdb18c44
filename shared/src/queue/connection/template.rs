//! What connections to several servers have in common.

use std::time::Duration;

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult,
    io::tcp::TcpSettings,
};

use crate::{
    config::{RedisConfig, ServerAddress, given},
    queue::tls,
};

/// How long to wait for a server, and how many connections it may have to us.
#[derive(Clone, Copy)]
pub struct Timing {
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub pool_size: usize,
}

impl Timing {
    pub fn new(redis: &RedisConfig) -> Self {
        Self {
            connect_timeout: Duration::from_millis(redis.connect_timeout_ms),
            response_timeout: Duration::from_millis(redis.response_timeout_ms),
            pool_size: redis.pool_size.max(1),
        }
    }
}

/// Credentials, database and TLS of servers whose addresses are learned later.
pub struct Template {
    settings: RedisConnectionInfo,
    tls: bool,
    redis: RedisConfig,
}

impl Template {
    pub fn new(redis: &RedisConfig, user: &str, password: Option<&str>, tls: bool, database: u32) -> Self {
        let mut settings = RedisConnectionInfo::default().set_db(i64::from(database));
        if !user.is_empty() {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        Self { settings, tls, redis: redis.clone() }
    }

    /// The connection to the server at `address`.
    pub fn at(&self, address: &ServerAddress, default_port: u16) -> RedisResult<ConnectionInfo> {
        let (host, port) = (address.host.clone(), address.port.unwrap_or(default_port));
        let address = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = tls::prepared(address.into_connection_info()?, &self.redis)?;
        Ok(without_delay(info).set_redis_settings(self.settings.clone()))
    }
}

/// The connection of a URL with what the configuration says besides.
pub fn completed(info: ConnectionInfo, redis: &RedisConfig) -> ConnectionInfo {
    let mut settings = info.redis_settings().clone();
    if !redis.user.is_empty() {
        settings = settings.set_username(&redis.user);
    }
    if let Some(password) = given(&redis.password) {
        settings = settings.set_password(password);
    }
    if redis.database != 0 {
        settings = settings.set_db(i64::from(redis.database));
    }
    without_delay(info).set_redis_settings(settings)
}

/// Nagle's algorithm would hold back pipelined commands.
fn without_delay(info: ConnectionInfo) -> ConnectionInfo {
    info.set_tcp_settings(TcpSettings::default().set_nodelay(true))
}
