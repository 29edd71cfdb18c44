//! What this worker holds right now, and how fresh its knowledge of that is.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared::{TaskId, queue::Lease};
use tokio::sync::watch;

use crate::{boot_clock::BootInstant, run::StopReason};

/// The leases of one worker. Written by slots, read and judged by the heartbeat.
#[derive(Debug)]
pub struct Ledger {
    entries: Mutex<HashMap<TaskId, Entry>>,
    /// When the last acknowledged round of renewals and beats was sent; `None` before the first.
    contact: watch::Sender<Option<BootInstant>>,
    /// Whether somebody asked that this worker claim nothing, as the last beat was told.
    drained: watch::Sender<bool>,
}

#[derive(Debug)]
struct Entry {
    lease: Lease,
    stop: watch::Sender<Option<StopReason>>,
}

impl Ledger {
    pub fn new() -> Self {
        Self {
            entries: Mutex::default(),
            contact: watch::Sender::new(None),
            drained: watch::Sender::new(false),
        }
    }

    /// Enters a lease; the receiver tells its run when to stop. A run of the same task under an earlier fence,
    /// which a claim can overtake after a freeze, is told that its lease is lost: nobody else would.
    pub fn enter(&self, lease: &Lease) -> watch::Receiver<Option<StopReason>> {
        let (stop, receiver) = watch::channel(None);
        let earlier = self.entries().insert(lease.id.clone(), Entry { lease: lease.clone(), stop });
        if let Some(earlier) = earlier {
            raise(&earlier.stop, &StopReason::LeaseLost);
        }
        receiver
    }

    /// Removes a lease, if it is still the one that is meant.
    pub fn remove(&self, lease: &Lease) {
        let mut entries = self.entries();
        if entries.get(&lease.id).is_some_and(|entry| entry.lease.fence == lease.fence) {
            entries.remove(&lease.id);
        }
    }

    pub fn leases(&self) -> Vec<Lease> {
        self.entries().values().map(|entry| entry.lease.clone()).collect()
    }

    pub fn running(&self) -> Vec<TaskId> {
        let mut ids: Vec<TaskId> = self.entries().keys().cloned().collect();
        ids.sort();
        ids
    }

    pub fn holds(&self, lease: &Lease) -> bool {
        self.entries().get(&lease.id).is_some_and(|entry| entry.lease.fence == lease.fence)
    }

    /// Tells the run of `lease` to stop. A later reason replaces an earlier one, never the other way round.
    pub fn stop(&self, lease: &Lease, reason: &StopReason) {
        if let Some(entry) = self.entries().get(&lease.id).filter(|entry| entry.lease.fence == lease.fence) {
            raise(&entry.stop, reason);
        }
    }

    /// Tells every run to stop.
    pub fn stop_all(&self, reason: &StopReason) {
        for entry in self.entries().values() {
            raise(&entry.stop, reason);
        }
    }

    /// Notes that a round sent at `sent` was acknowledged.
    pub fn acknowledged(&self, sent: BootInstant) {
        self.contact.send_replace(Some(sent));
    }

    /// How long ago the last acknowledged round was sent; `None` before the first.
    pub fn silence(&self) -> Option<Duration> {
        self.contact.borrow().map(BootInstant::elapsed)
    }

    /// Returns when a round is acknowledged after this call, however late it is waited for.
    pub fn next_contact(&self) -> impl Future<Output = ()> + use<> {
        let mut contact = self.contact.subscribe();
        async move {
            if contact.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns when the last acknowledged round was sent less than `age` ago: at once, or after the next one.
    pub async fn in_contact(&self, age: Duration) {
        loop {
            let contact = self.next_contact();
            if self.silence().is_some_and(|silence| silence < age) {
                return;
            }
            contact.await;
        }
    }

    /// Notes what a beat was told.
    pub fn set_drained(&self, drained: bool) {
        self.drained.send_replace(drained);
    }

    pub fn is_drained(&self) -> bool {
        *self.drained.borrow()
    }

    /// Returns when this worker may claim.
    pub fn undrained(&self) -> impl Future<Output = ()> + use<> {
        let mut drained = self.drained.subscribe();
        async move {
            if drained.wait_for(|drained| !drained).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<TaskId, Entry>> {
        // Nothing panics while it is held; and a map is whole after every single operation.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn raise(stop: &watch::Sender<Option<StopReason>>, reason: &StopReason) {
    stop.send_if_modified(|now| {
        let raised = now.as_ref().is_none_or(|now| now < reason);
        if raised {
            *now = Some(reason.clone());
        }
        raised
    });
}

#[cfg(test)]
mod tests {
    use shared::lifecycle::Fence;

    use super::*;

    fn lease(fence: u64) -> Lease {
        Lease {
            id: "a".parse().unwrap(),
            specialty: "backend".parse().unwrap(),
            fence: Fence(fence),
            incarnation: "i".to_owned(),
        }
    }

    #[test]
    fn a_lost_lease_overrides_a_shutdown_and_not_the_other_way_round() {
        let ledger = Ledger::new();
        let stop = ledger.enter(&lease(1));
        ledger.stop_all(&StopReason::Shutdown);
        ledger.stop(&lease(1), &StopReason::LeaseLost);
        ledger.stop_all(&StopReason::Shutdown);
        assert_eq!(*stop.borrow(), Some(StopReason::LeaseLost));
    }

    #[test]
    fn a_run_whose_task_is_claimed_anew_by_its_own_worker_is_told_that_its_lease_is_lost() {
        let ledger = Ledger::new();
        let earlier = ledger.enter(&lease(1));
        let later = ledger.enter(&lease(2));
        assert_eq!(*earlier.borrow(), Some(StopReason::LeaseLost));
        assert!(later.borrow().is_none());
    }

    #[tokio::test]
    async fn a_contact_between_the_call_and_the_wait_counts() {
        let ledger = Ledger::new();
        let contact = ledger.next_contact();
        ledger.acknowledged(BootInstant::now());
        contact.await;
    }

    #[tokio::test]
    async fn a_contact_from_before_a_sleep_is_none_until_the_next_round_is_acknowledged() {
        let (ledger, lease) = (Ledger::new(), Duration::from_secs(1));
        ledger.acknowledged(BootInstant::ago(Duration::from_secs(2)));
        let mut contact = std::pin::pin!(ledger.in_contact(lease));
        tokio::select! {
            biased;
            () = &mut contact => panic!("nobody knows what is still held"),
            () = std::future::ready(()) => {}
        }
        ledger.acknowledged(BootInstant::now());
        contact.await;
    }

    #[test]
    fn an_earlier_fence_of_the_same_task_removes_and_stops_nothing() {
        let ledger = Ledger::new();
        let stop = ledger.enter(&lease(2));
        ledger.remove(&lease(1));
        ledger.stop(&lease(1), &StopReason::LeaseLost);
        assert!(ledger.holds(&lease(2)) && stop.borrow().is_none());
    }
}
