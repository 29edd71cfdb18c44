//! The way to Redis: one server, the master that sentinels name, or the nodes of a cluster.
//!
//! Commands are multiplexed over one connection to a server, which came from a pool and is kept until it fails:
//! the pool's own check on every use would cost a round trip each time. Blocking reads never go there; see
//! [`super::wake`]. Nothing here repeats a command whose outcome is not known.

mod cluster;
mod link;
mod node;
mod sentinels;
mod slots;
mod template;

use std::sync::Arc;

use redis::{ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, RedisResult, ServerErrorKind};

pub use link::Link;
pub use node::Node;

use cluster::Cluster;
use sentinels::Sentinels;
use template::{Template, Timing};

use super::{QueueError, tls};
use crate::config::{RedisConfig, given};

/// How the process gets to the queue's keys.
pub struct Connections {
    route: Route,
    open: bool,
}

enum Route {
    Server(Arc<Node>),
    Sentinels(Box<Sentinels>),
    Cluster(Arc<Cluster>),
}

impl Connections {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// [`QueueError::Address`] when the URL, an address or a certificate cannot be used.
    pub fn new(redis: &RedisConfig) -> Result<Self, QueueError> {
        let address = |error: &dyn std::fmt::Display| QueueError::Address(error.to_string());
        let timing = Timing::new(redis);
        let password = given(&redis.password);
        if !redis.cluster.is_empty() {
            let template = Template::new(redis, &redis.user, password, redis.tls, 0);
            let cluster = Cluster::new(&redis.cluster, template, timing).map_err(|error| address(&error))?;
            return Ok(Self { route: Route::Cluster(Arc::new(cluster)), open: password.is_none() });
        }
        if !redis.sentinels.is_empty() {
            let of_server = Template::new(redis, &redis.user, password, redis.tls, redis.database);
            let secret = given(&redis.sentinel_password);
            let of_sentinel = Template::new(redis, &redis.sentinel_user, secret, redis.sentinel_tls, 0);
            let sentinels =
                Sentinels::new(redis, &of_sentinel, of_server, timing).map_err(|error| address(&error))?;
            return Ok(Self { route: Route::Sentinels(Box::new(sentinels)), open: password.is_none() });
        }
        let url = given(&redis.url).ok_or_else(|| address(&"it is empty"))?;
        let info = url.into_connection_info().map_err(|error| address(&error))?;
        let info = tls::prepared(info, redis).map_err(|error| address(&error))?;
        let info = template::completed(info, redis);
        let over_tcp = !matches!(info.addr(), ConnectionAddr::Unix(_));
        let open = over_tcp && info.redis_settings().password().is_none();
        let node = Node::new(info, timing).map_err(|error| address(&error))?;
        Ok(Self { route: Route::Server(Arc::new(node)), open })
    }

    /// Whether it is reached over TCP and without a password.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether keys without a common hash tag may lie on different servers.
    pub fn is_cluster(&self) -> bool {
        matches!(self.route, Route::Cluster(_))
    }

    /// Runs one operation. A connection that fails is given up; the next operation opens another.
    pub async fn run<T>(&self, operation: impl AsyncFnOnce(Link) -> RedisResult<T>) -> Result<T, QueueError> {
        let node = match &self.route {
            Route::Cluster(cluster) => return Ok(operation(Link::Cluster(Arc::clone(cluster))).await?),
            Route::Server(node) => Arc::clone(node),
            Route::Sentinels(sentinels) => sentinels.master().await?,
        };
        let answer = match node.lend().await {
            Ok(lent) => {
                let answer = operation(Link::Server(lent.connection.clone())).await;
                if answer.as_ref().is_err_and(is_broken) {
                    node.give_up(&lent).await;
                }
                answer
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &answer {
            self.failed(error).await;
        }
        Ok(answer?)
    }

    /// The server that has `key` now.
    pub async fn node_of(&self, key: &str) -> RedisResult<Arc<Node>> {
        Ok(match &self.route {
            Route::Server(node) => Arc::clone(node),
            Route::Sentinels(sentinels) => sentinels.master().await?,
            Route::Cluster(cluster) => cluster.owner(slots::slot_of_key(key.as_bytes())).await?,
        })
    }

    /// Every server that takes writes: one, or the masters of a cluster.
    pub async fn masters(&self) -> Result<Vec<Arc<Node>>, QueueError> {
        Ok(match &self.route {
            Route::Server(node) => vec![Arc::clone(node)],
            Route::Sentinels(sentinels) => vec![sentinels.master().await?],
            Route::Cluster(cluster) => cluster.masters().await?,
        })
    }

    /// Takes note that a server did not do its part: whoever knows where to look asks anew.
    pub async fn failed(&self, error: &RedisError) {
        match &self.route {
            Route::Sentinels(sentinels) if is_broken(error) => sentinels.ask_anew().await,
            Route::Cluster(cluster) if is_broken(error) || error.is_cluster_error() => {
                cluster.ask_anew().await;
            }
            _ => {}
        }
    }
}

/// Whether the connection is of no use any more. So it is where a server answers that it takes no writes: behind
/// the same name there may be another by now.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}
