//! Writes one after the other, with a pause between two: what GitHub asks of programs.

use std::{future::Future, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// The writes of one token in this process.
pub(super) struct Pace {
    pause: Duration,
    /// When the next write may begin.
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, next: Mutex::new(Instant::now()) }
    }

    /// Runs `write` when it is its turn.
    pub(super) async fn take<T>(&self, write: impl Future<Output = T>) -> T {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        // Set before the write begins: whoever drops this may have it under way.
        *next = Instant::now() + self.pause;
        let written = write.await;
        *next = Instant::now() + self.pause;
        written
    }
}
