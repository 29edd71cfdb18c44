//! The queue on Redis: fenced leases, specialties, remote cancel.
//!
//! One [`Queue`] is one server and one key prefix; it is cheap to clone. Each state transition is one method
//! here and one script in `queue/lua`, which names its contract. Methods return [`QueueError`] when Redis
//! cannot be reached or refuses; every transition may then be repeated as it is, because each recognises
//! that it was already done.
//!
//! # A tour
//!
//! - **In:** [`Queue::enqueue`], once by its id however often it is offered; [`Queue::enqueue_issue`] for the one
//!   active task of an issue; [`Queue::hold`] for a task that waits to be run by its id.
//! - **Work:** [`Queue::claim`] hands out tasks with a [`Lease`]; [`Queue::renew`] keeps it and brings cancels back;
//!   [`Queue::still_held`] is asked before anything is published; [`Queue::charge`] counts what an agent has cost; [`Queue::complete`], [`Queue::fail`],
//!   [`Queue::retry`] and [`Queue::release`] end a run. Of all leases a task ever had, only the newest counts.
//! - **Waiting:** [`Queue::wake_waiter`] wakes one worker for one task. Whoever works also calls [`Queue::sweep`] when
//!   it is next due: that is how lost leases, retries and retention come about.
//! - **People:** [`Queue::cancel`], [`Queue::rerun`], [`Queue::force_release`], [`Queue::move_priority`],
//!   [`Queue::move_specialty`], [`Queue::change`], [`Queue::delete`], [`Queue::trim`], [`Queue::pause`],
//!   [`Queue::drain_worker`].
//! - **Looking:** [`Queue::task`], [`Queue::list`], [`Queue::counts`], [`Queue::why`], [`Queue::workers`],
//!   [`Queue::events_after`], [`Queue::read_log`]; each costs a constant or one page.
//!
//! `examples/queue.rs` is all of it in a hundred lines:
//! `cargo run -p shared --example queue -- redis://127.0.0.1:6379`.

mod beat;
mod change;
mod claim;
mod comment_turn;
mod connection;
mod control;
mod enqueue;
mod enqueue_issue;
mod error;
mod events;
mod inspect;
mod issue;
mod keys;
mod lease;
mod locator;
mod log;
mod moving;
mod outbox;
mod pause;
mod poll;
mod record;
mod refer;
mod rerun;
mod retention;
mod script;
mod server_facts;
mod settle;
mod settler;
mod spending;
mod suspend;
mod sweep;
mod tls;
mod wake;
mod why;

use std::sync::Arc;

pub use beat::Beat;
pub use change::Change;
pub use claim::{Claim, ClaimHeld, Claimed, Holder};
pub use control::{Asked, CancelAnswer, ForceReleaseAnswer, ReleaseHeldAnswer};
pub use enqueue::Enqueued;
pub use enqueue_issue::IssueEnqueued;
pub use error::QueueError;
pub use events::{Event, events_from};
pub use inspect::{Counts, Depth, ListPage, Waiting};
pub use lease::{Lease, Renewal};
pub use log::{AgedLine, LogEntry};
pub use pause::{DRAIN_LIFE, Stopped};
pub use poll::{PollCursor, PollCursors, PollTurn, PollTurnAnswer};
pub use rerun::RerunAnswer;
pub use retention::{Ended, Trim};
pub use server_facts::ServerFacts;
pub use settle::Settlement;
pub use spending::{AccountStanding, Charged, Expense, MicroUsd};
pub use sweep::Swept;
pub use wake::{Waited, WakeHandle, WakeWaiter};
pub use why::Why;

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
    settler: settler::Settler,
    settings: QueueConfig,
}

impl Queue {
    /// A queue on the server, the sentinels' master or the cluster that `redis` names. Nothing is connected yet:
    /// see [`Queue::check`].
    ///
    /// # Errors
    /// [`QueueError::Address`] when the URL is not one of Redis.
    pub fn open(redis: &RedisConfig, settings: &QueueConfig) -> Result<Self, QueueError> {
        let connections = connection::Connections::new(redis)?;
        let keys = keys::Keys::new(&redis.prefix);
        let reach = if connections.is_cluster() { keys::Reach::OneSlot } else { keys::Reach::Everything };
        let inner = Inner {
            scripts: script::Scripts::new(settings, &keys, reach),
            settler: settler::Settler::default(),
            connections,
            keys,
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
