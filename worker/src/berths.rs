//! How many tasks run at a time, and a task that runs alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of a worker.
#[derive(Clone)]
pub struct Berths {
    free: Arc<Semaphore>,
    /// Whoever is to have all slots holds this first: nobody gets a slot meanwhile, so that they all become free.
    gate: Arc<Semaphore>,
    slots: u32,
}

/// One slot, until it is dropped.
#[expect(dead_code, reason = "it is held, and read by nobody")]
pub struct Berth(OwnedSemaphorePermit);

/// All slots, until it is dropped.
#[expect(dead_code, reason = "it is held, and read by nobody")]
pub struct AllBerths {
    gate: OwnedSemaphorePermit,
    slots: OwnedSemaphorePermit,
}

impl Berths {
    pub fn new(slots: u32) -> Self {
        let free = Arc::new(Semaphore::new(slots as usize));
        Self { free, gate: Arc::new(Semaphore::new(1)), slots }
    }

    /// A slot, as soon as one is free and nobody is to have all.
    pub async fn one(&self) -> Option<Berth> {
        drop(self.gate.acquire().await.ok()?);
        Arc::clone(&self.free).acquire_owned().await.ok().map(Berth)
    }

    /// One more, if it is free now.
    pub fn one_more(&self) -> Option<Berth> {
        Arc::clone(&self.free).try_acquire_owned().ok().map(Berth)
    }

    /// From this call on nobody gets a slot; the answer comes when all are free. Whoever waits for it holds none.
    pub fn all(&self) -> impl Future<Output = Option<AllBerths>> + use<> {
        let (free, gate, slots) = (Arc::clone(&self.free), Arc::clone(&self.gate), self.slots);
        let first = Arc::clone(&self.gate).try_acquire_owned().ok();
        async move {
            let gate = match first {
                Some(gate) => gate,
                None => gate.acquire_owned().await.ok()?,
            };
            let slots = free.acquire_many_owned(slots).await.ok()?;
            Some(AllBerths { gate, slots })
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn whoever_is_to_have_all_slots_gets_them_when_the_last_is_free_and_nobody_gets_one_before() {
        let berths = Berths::new(2);
        let running = berths.one().await;
        let mut all = Box::pin(berths.all());
        assert!((&mut all).now_or_never().is_none(), "one runs");
        assert!(berths.one().now_or_never().is_none(), "all are promised");
        drop(running);
        let all = all.now_or_never().flatten();
        assert!(all.is_some() && berths.one_more().is_none());
        drop(all);
        assert!(berths.one().now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn two_that_are_to_run_alone_take_turns() {
        let berths = Berths::new(2);
        let (first, mut second) = (berths.all(), Box::pin(berths.all()));
        assert!((&mut second).now_or_never().is_none());
        let first = first.await;
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().flatten().is_some());
    }
}
