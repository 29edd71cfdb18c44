//! Connections to one Redis server.
//!
//! Commands are multiplexed over one connection that came from the pool and is kept until it fails: the
//! pool's own check on every use would cost a round trip each time. Blocking reads never go here; see
//! [`super::wake`].

use std::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use super::{Queue, QueueError, tls};
use crate::config::{RedisConfig, given};

/// Oldest server that has what the scripts use (script flags, `ZRANGE BYSCORE`, `XAUTOCLAIM`'s corrections).
const VERSION_MIN: (u32, u32) = (7, 0);

/// The server's address with credentials, and how long to wait for it.
pub struct Connections {
    pool: Pool,
    info: ConnectionInfo,
    connect_timeout: Duration,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Tells a failure of this connection from one of its predecessor.
    generation: u64,
}

/// What start-up and `setup` want to know of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    pub version: String,
    /// Whether an append-only file is kept: without it a crash of Redis loses tasks.
    pub aof: bool,
    /// `maxmemory-policy`; anything but `noeviction` throws tasks away when memory runs out. Empty when the
    /// server does not tell.
    pub eviction: String,
    /// `master` or `slave`.
    pub role: String,
    /// It listens on TCP and let us in without a password: so it does an agent, which shares the network.
    pub open: bool,
}

impl Connections {
    pub fn new(redis: &RedisConfig) -> Result<Self, QueueError> {
        let address = |error: &RedisError| QueueError::Address(error.to_string());
        let url = given(&redis.url).ok_or_else(|| QueueError::Address("it is empty".to_owned()))?;
        let info = url.into_connection_info().map_err(|error| address(&error))?;
        let mut info = tls::prepared(info, &redis.ca).map_err(|error| address(&error))?;
        // Nagle's algorithm would hold back pipelined commands.
        info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        if given(&redis.password).is_some() {
            let settings = info.redis_settings().clone().set_password(redis.password.expose_secret());
            info = info.set_redis_settings(settings);
        }
        let connect_timeout = Duration::from_millis(redis.connect_timeout_ms);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(Some(Duration::from_millis(redis.response_timeout_ms)));
        let manager = Manager::new_with_config(info.clone(), config).map_err(|error| address(&error))?;
        let pool = Pool::builder(manager)
            .max_size(redis.pool_size.max(1))
            .create_timeout(Some(connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| QueueError::Address(error.to_string()))?;
        Ok(Self { pool, info, connect_timeout, current: Mutex::default() })
    }

    /// Whether the server is reached over TCP and without a password.
    fn is_open(&self) -> bool {
        let over_tcp = !matches!(self.info.addr(), ConnectionAddr::Unix(_));
        over_tcp && self.info.redis_settings().password().is_none()
    }

    /// Runs one operation. A connection that fails is given up; the next operation opens another.
    pub async fn run<T>(
        &self,
        operation: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, QueueError> {
        let (connection, generation) = self.get().await?;
        let answer = operation(connection).await;
        if let Err(error) = &answer
            && (error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error())
        {
            let mut current = self.current.lock().await;
            if current.generation == generation {
                current.connection = None;
            }
        }
        Ok(answer?)
    }

    /// A connection of the caller's own, for blocking reads. `response_timeout` must exceed what it blocks.
    pub async fn dedicated(&self, response_timeout: Duration) -> Result<MultiplexedConnection, QueueError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(response_timeout));
        let client = redis::Client::open(self.info.clone())?;
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    async fn get(&self) -> Result<(MultiplexedConnection, u64), QueueError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((connection.clone(), current.generation));
        }
        let connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => QueueError::from(error),
            other => QueueError::Unreachable(other.to_string()),
        })?;
        let connection = Connection::take(connection);
        current.connection = Some(connection.clone());
        current.generation += 1;
        Ok((connection, current.generation))
    }
}

impl Queue {
    /// Asks the server what it is.
    ///
    /// # Errors
    /// [`QueueError::Unreachable`], [`QueueError::Refused`] (credentials), or [`QueueError::Unsuitable`] when
    /// it is older than Redis 7.0.
    pub async fn check(&self) -> Result<ServerFacts, QueueError> {
        let info: String = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("INFO")
                    .arg("server")
                    .arg("persistence")
                    .arg("replication")
                    .arg("memory")
                    .query_async(&mut connection)
                    .await
            })
            .await?;
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim().to_owned()
        };
        let version = field("redis_version");
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < VERSION_MIN {
            return Err(QueueError::Unsuitable(format!(
                "redis {version} is too old: 7.0 or newer (or valkey 7.2) is needed; update it or point redis.url at another"
            )));
        }
        Ok(ServerFacts {
            version,
            aof: field("aof_enabled") == "1",
            eviction: field("maxmemory_policy"),
            role: field("role"),
            open: self.inner.connections.is_open(),
        })
    }
}
