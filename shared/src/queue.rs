//! The queue on Redis: fenced leases, specialties, remote cancel.
//!
//! One [`Queue`] is one server and one key prefix; it is cheap to clone. Each state transition is one method
//! here and one script in `queue/lua`, which names its contract. Methods return [`QueueError`] when Redis
//! cannot be reached or refuses; every transition may then be repeated as it is, because each recognises
//! that it was already done.

mod beat;
mod claim;
mod connection;
mod control;
mod enqueue;
mod error;
mod events;
mod inspect;
mod issue;
mod keys;
mod lease;
mod log;
mod outbox;
mod record;
mod script;
mod server_facts;
mod settle;
mod suspend;
mod sweep;
mod tls;
mod wait_reason;
mod wake;

use std::sync::Arc;

pub use beat::Beat;
pub use claim::{Claim, ClaimHeld, Claimed, Holder};
pub use control::{CancelAnswer, ReleaseHeldAnswer};
pub use enqueue::{Enqueued, IssueEnqueued};
pub use error::QueueError;
pub use events::Event;
pub use inspect::{Counts, Depth, ListPage, Waiting};
pub use lease::{Lease, Renewal};
pub use log::{AgedLine, LogEntry};
pub use server_facts::ServerFacts;
pub use settle::Settlement;
pub use sweep::Swept;
pub use wait_reason::WaitReason;
pub use wake::{Waited, WakeHandle, WakeWaiter};

use crate::config::{QueueConfig, RedisConfig};

/// A handle on the queue. Clones share one connection pool.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    connections: connection::Connections,
    keys: keys::Keys,
    scripts: script::Scripts,
    settings: QueueConfig,
}

impl Queue {
    /// A queue on the server, the sentinels' master or the cluster that `redis` names. Nothing is connected yet: see [`Queue::check`].
    ///
    /// # Errors
    /// [`QueueError::Address`] when the URL is not one of Redis.
    pub fn open(redis: &RedisConfig, settings: &QueueConfig) -> Result<Self, QueueError> {
        let inner = Inner {
            connections: connection::Connections::new(redis)?,
            keys: keys::Keys::new(&redis.prefix),
            scripts: script::Scripts::new(settings),
            settings: settings.clone(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The limits and times this queue works with.
    pub fn settings(&self) -> &QueueConfig {
        &self.inner.settings
    }

    fn keys(&self) -> &keys::Keys {
        &self.inner.keys
    }
}
