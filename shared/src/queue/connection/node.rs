//! One server: a multiplexed connection for commands, and connections of their own for blocking reads.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult,
    ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::sync::Mutex;

use super::{Timing, is_broken};

/// A server and what is connected to it.
pub struct Node {
    pool: Pool,
    info: ConnectionInfo,
    timing: Timing,
    /// Whether a connection counts only when the server says that it is a master.
    must_lead: bool,
    current: Mutex<Current>,
    /// How often a connection was tried. Whoever waited for a try that failed does not try once more.
    tries: AtomicU64,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    failure: Option<RedisError>,
    /// Tells a failure of this connection from one of its predecessor.
    generation: u64,
}

/// A connection that several callers use at once.
pub struct Lent {
    pub connection: MultiplexedConnection,
    generation: u64,
}

impl Node {
    pub fn new(info: ConnectionInfo, timing: Timing) -> RedisResult<Self> {
        let manager = Manager::new_with_config(info.clone(), config(timing, timing.response_timeout))?;
        let pool = Pool::builder(manager)
            .max_size(timing.pool_size)
            .create_timeout(Some(timing.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(io::Error::other)?;
        let (current, tries) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { pool, info, timing, must_lead: false, current, tries })
    }

    /// A server that is used only while it is a master.
    pub fn leading(info: ConnectionInfo, timing: Timing) -> RedisResult<Self> {
        Ok(Self { must_lead: true, ..Self::new(info, timing)? })
    }

    /// The connection for commands; opened when there is none.
    pub async fn lend(&self) -> RedisResult<Lent> {
        let tries = self.tries.load(Ordering::Acquire);
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok(Lent { connection: connection.clone(), generation: current.generation });
        }
        if tries != self.tries.load(Ordering::Acquire)
            && let Some(failure) = &current.failure
        {
            return Err(failure.clone());
        }
        let opened = self.open().await;
        self.tries.fetch_add(1, Ordering::Release);
        match opened {
            Ok(connection) => {
                current.connection = Some(connection.clone());
                current.failure = None;
                current.generation += 1;
                Ok(Lent { connection, generation: current.generation })
            }
            Err(error) => {
                current.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Closes the connection that `lent` came from, unless another has taken its place.
    pub async fn give_up(&self, lent: &Lent) {
        let mut current = self.current.lock().await;
        if current.generation == lent.generation {
            current.connection = None;
        }
    }

    /// A connection of the caller's own, for blocking reads. `response_timeout` must exceed what it blocks.
    pub async fn dedicated(&self, response_timeout: Duration) -> RedisResult<MultiplexedConnection> {
        let client = redis::Client::open(self.info.clone())?;
        let config = config(self.timing, response_timeout);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        self.require_duty(&mut connection).await?;
        Ok(connection)
    }

    /// Sends one command.
    pub async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let mut lent = self.lend().await?;
        let answer = lent.connection.req_packed_command(command).await.and_then(Value::extract_error);
        self.checked(lent, answer).await
    }

    /// Sends several commands at once; an answer may be an error.
    pub async fn send_all(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut lent = self.lend().await?;
        let answers = lent.connection.req_packed_commands(commands, 0, commands.len()).await;
        self.checked(lent, answers).await
    }

    async fn checked<T>(&self, lent: Lent, answer: RedisResult<T>) -> RedisResult<T> {
        if answer.as_ref().is_err_and(is_broken) {
            self.give_up(&lent).await;
        }
        answer
    }

    async fn open(&self) -> RedisResult<MultiplexedConnection> {
        let connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            other => io::Error::new(io::ErrorKind::TimedOut, other.to_string()).into(),
        })?;
        let mut connection = Connection::take(connection);
        self.require_duty(&mut connection).await?;
        Ok(connection)
    }

    /// A master that was replaced while nobody looked answers like any other server until it is told.
    async fn require_duty(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        if !self.must_lead {
            return Ok(());
        }
        let role: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
        let role: String = role.first().map(redis::from_redis_value_ref).transpose()?.unwrap_or_default();
        if role == "master" {
            return Ok(());
        }
        let kind = ErrorKind::Server(ServerErrorKind::ReadOnly);
        Err((kind, "the server that the sentinels name is not a master (yet)", role).into())
    }
}

fn config(timing: Timing, response_timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timing.connect_timeout))
        .set_response_timeout(Some(response_timeout))
}
