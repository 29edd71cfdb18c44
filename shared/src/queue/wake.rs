//! Waiting for work without asking all the time.
//!
//! A waiter blocks on the markers of its specialties on a connection of its own, which nobody else uses and
//! whose wait is never dropped half-way: a marker that is popped for a client that has gone wakes nobody.
//! The marker is a hint; whoever waits polls as well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::aio::MultiplexedConnection;

use super::{Queue, QueueError};
use crate::Specialty;

/// Added to the time a read blocks before its connection is given up: a frozen server that keeps the
/// connection open must not hold a waiter for ever.
const ANSWER_MARGIN: Duration = Duration::from_secs(3);

/// Why a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Something waits in this specialty, probably.
    Woken(Specialty),
    /// Nothing came.
    TimedOut,
}

/// A waiter with its dedicated connection.
pub struct WakeWaiter {
    queue: Queue,
    specialties: Vec<(Specialty, String)>,
    block: Duration,
    connection: Option<MultiplexedConnection>,
    client: Arc<AtomicU64>,
}

/// Ends a wait from outside without losing a marker.
#[derive(Clone)]
pub struct WakeHandle {
    queue: Queue,
    /// The waiter's client id at the server; 0 while it is not connected.
    client: Arc<AtomicU64>,
}

impl WakeHandle {
    /// Makes a wait that is under way end as if its time were up.
    pub async fn unblock(&self) -> Result<(), QueueError> {
        let client = self.client.load(Ordering::Acquire);
        if client == 0 {
            return Ok(());
        }
        let connections = &self.queue.inner.connections;
        connections
            .run(async |mut connection| {
                redis::cmd("CLIENT").arg("UNBLOCK").arg(client).query_async(&mut connection).await
            })
            .await
    }
}

impl Queue {
    /// A waiter for `specialties` whose reads block for at most `block`.
    pub fn wake_waiter(&self, specialties: &[Specialty], block: Duration) -> WakeWaiter {
        let named = specialties.iter().map(|s| (s.clone(), self.keys().specialty(s).wake())).collect();
        WakeWaiter {
            queue: self.clone(),
            specialties: named,
            block,
            connection: None,
            client: Arc::default(),
        }
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
        WakeHandle { queue: self.queue.clone(), client: Arc::clone(&self.client) }
    }

    /// Waits for a marker. Must be polled to its end: dropped half-way it may swallow a marker. Callers that
    /// want to stop early give the waiter a task of its own.
    ///
    /// # Errors
    /// The connection is given up and opened anew by the next call.
    pub async fn wait(&mut self) -> Result<Waited, QueueError> {
        let connection = if let Some(connection) = &mut self.connection {
            connection
        } else {
            let mut opened = self.queue.inner.connections.dedicated(self.block + ANSWER_MARGIN).await?;
            let client = redis::cmd("CLIENT").arg("ID").query_async(&mut opened).await?;
            self.client.store(client, Ordering::Release);
            self.connection.insert(opened)
        };
        let mut command = redis::cmd("BZPOPMIN");
        for (_, key) in &self.specialties {
            command.arg(key);
        }
        command.arg(self.block.as_secs_f64());
        match command.query_async::<Option<(String, String, f64)>>(connection).await {
            Ok(None) => Ok(Waited::TimedOut),
            Ok(Some((key, _, _))) => {
                let found = self.specialties.iter().find(|(_, wake)| *wake == key);
                Ok(found.map_or(Waited::TimedOut, |(specialty, _)| Waited::Woken(specialty.clone())))
            }
            Err(error) => {
                self.client.store(0, Ordering::Release);
                self.connection = None;
                Err(error.into())
            }
        }
    }
}
