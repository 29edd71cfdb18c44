//! Waiting for work without asking all the time.
//!
//! A waiter blocks on the markers of its specialties on connections of its own, which nobody else uses and
//! whose wait is never dropped half-way: a marker that is popped for a client that has gone wakes nobody.
//! The marker is a hint; whoever waits polls as well.

use std::{sync::Arc, time::Duration};

use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::{sync::Mutex, task::JoinSet, time::timeout};

use super::{
    Queue, QueueError,
    connection::{Connections, Node},
};
use crate::Specialty;

/// Added to the time a read blocks before its connection is given up: a frozen server that keeps the
/// connection open must not hold a waiter for ever.
const ANSWER_MARGIN: Duration = Duration::from_secs(3);

/// Between tries to end the reads that go on when one has found something.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(100);

/// Why a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Something waits in this specialty, probably.
    Woken(Specialty),
    /// Nothing came.
    TimedOut,
}

/// A waiter with its dedicated connections: one, or on a cluster one for each specialty, since a blocking read has
/// one slot.
pub struct WakeWaiter {
    queue: Queue,
    block: Duration,
    arms: Vec<Arm>,
    blocked: Vec<Blocked>,
}

/// One blocking read.
struct Arm {
    specialties: Vec<(Specialty, String)>,
    connection: Option<MultiplexedConnection>,
    blocked: Blocked,
}

/// Where a read blocks and as which client; `None` while it is not connected.
type Blocked = Arc<Mutex<Option<(Arc<Node>, u64)>>>;

/// Ends a wait from outside without losing a marker.
#[derive(Clone)]
pub struct WakeHandle {
    blocked: Vec<Blocked>,
}

impl WakeHandle {
    /// Makes a wait that is under way end as if its time were up.
    pub async fn unblock(&self) -> Result<(), QueueError> {
        for blocked in &self.blocked {
            let Some((node, client)) = blocked.lock().await.clone() else { continue };
            node.send(redis::cmd("CLIENT").arg("UNBLOCK").arg(client)).await?;
        }
        Ok(())
    }
}

impl Queue {
    /// A waiter for `specialties` whose reads block for at most `block`.
    pub fn wake_waiter(&self, specialties: &[Specialty], block: Duration) -> WakeWaiter {
        let named = specialties.iter().map(|s| (s.clone(), self.keys().specialty(s).wake()));
        let groups: Vec<Vec<_>> = if self.inner.connections.is_cluster() {
            named.map(|one| vec![one]).collect()
        } else {
            vec![named.collect()]
        };
        let arm = |specialties| Arm { specialties, connection: None, blocked: Blocked::default() };
        let arms: Vec<Arm> = groups.into_iter().map(arm).collect();
        let blocked = arms.iter().map(|arm| Arc::clone(&arm.blocked)).collect();
        WakeWaiter { queue: self.clone(), block, arms, blocked }
    }

    /// Puts back a marker that was taken and cannot be used; whether anything waits.
    pub async fn rearm(&self, specialty: &Specialty) -> Result<bool, QueueError> {
        let keys = self.keys().specialty(specialty);
        let answer: u8 = self.inner.scripts.rearm.call(&self.inner.connections, keys.base(), &[""]).await?;
        Ok(answer == 1)
    }
}

impl WakeWaiter {
    /// For whoever wants to end a wait.
    pub fn handle(&self) -> WakeHandle {
        WakeHandle { blocked: self.blocked.clone() }
    }

    /// Waits for a marker. Must be polled to its end: dropped half-way it may swallow a marker. Callers that
    /// want to stop early give the waiter a task of its own.
    ///
    /// # Errors
    /// Where no server can be waited at. Its connection is given up and opened anew by the next call.
    pub async fn wait(&mut self) -> Result<Waited, QueueError> {
        let mut waiting = JoinSet::new();
        for mut arm in self.arms.drain(..) {
            let (queue, block) = (self.queue.clone(), self.block);
            waiting.spawn(async move {
                let answer = arm.wait(&queue.inner.connections, block).await;
                (arm, answer)
            });
        }
        let handle = self.handle();
        let (mut woken, mut timed_out, mut failure) = (None, false, None);
        while let Some((arm, answer)) = next_ended(&mut waiting, &handle, woken.is_some()).await {
            self.arms.push(arm);
            match answer {
                Ok(Waited::TimedOut) => timed_out = true,
                Ok(Waited::Woken(specialty)) if woken.is_none() => woken = Some(specialty),
                // Two at the same moment: the other marker is for somebody else.
                Ok(Waited::Woken(specialty)) => drop(self.queue.rearm(&specialty).await),
                Err(error) => failure = Some(error),
            }
        }
        match (woken, failure) {
            (Some(specialty), _) => Ok(Waited::Woken(specialty)),
            (None, Some(error)) if !timed_out => Err(error),
            (None, _) => Ok(Waited::TimedOut),
        }
    }
}

/// The next arm that has ended; `hurry`: those that block are told to end. Repeated, since a read that is only about
/// to block is not ended by it.
async fn next_ended(
    waiting: &mut JoinSet<(Arm, Result<Waited, QueueError>)>,
    handle: &WakeHandle,
    hurry: bool,
) -> Option<(Arm, Result<Waited, QueueError>)> {
    loop {
        if waiting.is_empty() {
            return None;
        }
        if hurry && let Err(error) = handle.unblock().await {
            tracing::debug!(%error, "a wait cannot be ended early");
        }
        let pause = if hurry { UNBLOCK_AGAIN } else { Duration::MAX };
        match timeout(pause, waiting.join_next()).await {
            Ok(Some(Ok(ended))) => return Some(ended),
            Ok(Some(Err(error))) => tracing::error!(%error, "a wait ended by a defect"),
            Ok(None) => return None,
            Err(_) => {}
        }
    }
}

impl Arm {
    async fn wait(&mut self, connections: &Connections, block: Duration) -> Result<Waited, QueueError> {
        match self.read(connections, block).await {
            Ok(waited) => Ok(waited),
            Err(error) => {
                *self.blocked.lock().await = None;
                self.connection = None;
                connections.failed(&error).await;
                Err(error.into())
            }
        }
    }

    async fn read(&mut self, connections: &Connections, block: Duration) -> RedisResult<Waited> {
        let Some((_, key)) = self.specialties.first() else { return Ok(Waited::TimedOut) };
        let connection = if let Some(connection) = &mut self.connection {
            connection
        } else {
            let node = connections.node_of(key).await?;
            let mut opened = node.dedicated(block + ANSWER_MARGIN).await?;
            let client = redis::cmd("CLIENT").arg("ID").query_async(&mut opened).await?;
            *self.blocked.lock().await = Some((node, client));
            self.connection.insert(opened)
        };
        let mut command = redis::cmd("BZPOPMIN");
        for (_, key) in &self.specialties {
            command.arg(key);
        }
        command.arg(block.as_secs_f64());
        let popped: Option<(String, String, f64)> = command.query_async(connection).await?;
        let found = popped.and_then(|(key, _, _)| self.specialties.iter().find(|(_, wake)| *wake == key));
        Ok(found.map_or(Waited::TimedOut, |(specialty, _)| Waited::Woken(specialty.clone())))
    }
}
