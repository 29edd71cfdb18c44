//! The beat: renews every lease in one round, says that the worker lives, and judges an outage.
//!
//! While Redis cannot be reached nothing is claimed or published, but agents run on for the outage grace: a
//! short loss of the network must not throw away a paid run. When contact comes back, the renewal says for
//! each task whether anybody took it meanwhile.

use std::{sync::Arc, time::Duration};

use shared::{
    config::QueueConfig,
    queue::{Beat, Queue, QueueError, Renewal, Stopped},
    retry::Backoff,
    worker_info::WorkerInfo,
};
use tokio_util::sync::CancellationToken;

use crate::{
    account::{Accounts, Standings},
    boot_clock::BootInstant,
    disk::Disk,
    ledger::Ledger,
    run::StopReason,
    system,
};

/// Between tries while Redis is away: soon enough that every lease is renewed before a sweep may take it.
const OUTAGE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// Rounds in a row that end in what waiting does not mend, before the beat gives up. One may be the last moment of
/// keys that somebody is putting right.
const BROKEN_ROUNDS_MAX: u32 = 3;

/// Why the beat stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeartbeatEnd {
    /// It was told to.
    Told,
    /// Another process beats as this node: this one was away for so long that the other could start.
    Displaced { hostname: String, pid: String },
    /// Redis answers, and not as it should: what it says.
    Broken(String),
}

/// The loop's state.
pub struct Heartbeat {
    queue: Queue,
    ledger: Arc<Ledger>,
    accounts: Arc<Accounts>,
    disk: Arc<Disk>,
    info: WorkerInfo,
    outage: Outage,
}

/// Whether Redis answers.
enum Outage {
    No,
    /// Failed so many rounds in a row.
    Since {
        rounds: u32,
    },
}

enum Round {
    Acknowledged,
    Failed(QueueError),
    Displaced { hostname: String, pid: String },
}

impl Heartbeat {
    pub fn new(
        queue: Queue,
        ledger: Arc<Ledger>,
        accounts: Arc<Accounts>,
        disk: Arc<Disk>,
        info: WorkerInfo,
    ) -> Self {
        Self { queue, ledger, accounts, disk, info, outage: Outage::No }
    }

    /// Beats until told to end, also in the middle of a round that a frozen Redis holds up.
    pub async fn run(mut self, told: CancellationToken, draining: CancellationToken) -> HeartbeatEnd {
        told.run_until_cancelled(Box::pin(self.beat_on(&draining))).await.unwrap_or(HeartbeatEnd::Told)
    }

    async fn beat_on(&mut self, draining: &CancellationToken) -> HeartbeatEnd {
        let mut broken = 0;
        loop {
            self.info.draining = draining.is_cancelled() || self.ledger.is_drained();
            let round = self.round().await;
            broken = match &round {
                Round::Failed(error) if !error.is_passing() => broken + 1,
                _ => 0,
            };
            let pause = match round {
                Round::Acknowledged => self.reached(),
                Round::Failed(error) if broken == BROKEN_ROUNDS_MAX => {
                    tracing::error!(%error, "redis answers the beat with what waiting does not mend; the worker ends");
                    self.ledger.stop_all(&StopReason::Shutdown);
                    return HeartbeatEnd::Broken(error.to_string());
                }
                Round::Failed(error) => self.missed(&error),
                Round::Displaced { hostname, pid } => {
                    self.ledger.stop_all(&StopReason::Shutdown);
                    return HeartbeatEnd::Displaced { hostname, pid };
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One round. Leases come first: after a sleep or a freeze nothing matters more than what is still held.
    async fn round(&mut self) -> Round {
        let sent = BootInstant::now();
        let leases = self.ledger.leases();
        match self.queue.renew(&leases).await {
            Err(error) => return Round::Failed(error),
            Ok(answers) => {
                for (lease, answer) in leases.iter().zip(answers) {
                    match answer {
                        Renewal::Held => {}
                        Renewal::CancelRequested { by } => {
                            self.ledger.stop(lease, &StopReason::Cancelled { by });
                        }
                        Renewal::Lost => self.ledger.stop(lease, &StopReason::LeaseLost),
                    }
                }
            }
        }
        self.info.running = self.ledger.running();
        match self.accounts.standings(&self.queue, &self.info.specialties).await {
            Ok(Standings { resting, accounts }) => {
                let all = self.info.specialties.iter().all(|specialty| resting.contains_key(specialty));
                self.info.suspended_until = resting.values().min().copied().filter(|_| all);
                self.info.resting = resting;
                self.info.accounts = accounts;
            }
            Err(error) => return Round::Failed(error),
        }
        self.info.unready = self.disk.shortage().map(|shortage| shortage.to_string());
        self.info.system = system::info(&self.info.workspace_root);
        match self.queue.beat(&self.info).await {
            Ok(Beat::Ok { drained, .. }) => {
                // Before the contact: whoever waits for that to claim must not overlook it.
                self.drain(drained.as_ref());
                self.ledger.acknowledged(sent);
                Round::Acknowledged
            }
            Ok(Beat::Taken { hostname, pid, .. }) => Round::Displaced { hostname, pid },
            Err(error) => Round::Failed(error),
        }
    }

    fn drain(&self, drained: Option<&Stopped>) {
        match (self.ledger.is_drained(), drained) {
            (false, Some(Stopped { by, reason, .. })) => {
                tracing::warn!(
                    by,
                    reason,
                    "this worker is drained: it claims nothing more until it is undrained"
                );
            }
            (true, None) => tracing::info!("this worker is not drained any more"),
            _ => {}
        }
        self.ledger.set_drained(drained.is_some());
    }

    fn reached(&mut self) -> Duration {
        if let Outage::Since { rounds } = std::mem::replace(&mut self.outage, Outage::No) {
            tracing::info!(rounds, "redis answers again");
        }
        Duration::from_millis(self.settings().beat_ms)
    }

    fn missed(&mut self, error: &QueueError) -> Duration {
        let rounds = match self.outage {
            Outage::No => 1,
            Outage::Since { rounds } => rounds.saturating_add(1),
        };
        if rounds == 1 {
            tracing::warn!(%error, "redis does not answer; nothing is claimed or published until it does");
        }
        self.outage = Outage::Since { rounds };
        let grace = Duration::from_millis(self.settings().outage_grace_ms);
        if self.ledger.silence().is_none_or(|silence| silence > grace) {
            self.ledger.stop_all(&StopReason::LeaseLost);
        }
        OUTAGE_BACKOFF.delay(rounds).min(Duration::from_millis(self.settings().beat_ms))
    }

    fn settings(&self) -> &QueueConfig {
        self.queue.settings()
    }
}

#[cfg(test)]
mod tests {
    use shared::{config::Config, lifecycle::Fence, queue::Lease, worker_info::SystemInfo};

    use super::*;

    fn heartbeat(ledger: &Arc<Ledger>) -> Heartbeat {
        let mut config = Config::defaults().unwrap();
        config.redis.url = "unix:///nowhere".to_owned().into();
        config.queue.outage_grace_ms = 1_000;
        let info = WorkerInfo {
            id: "w1".to_owned(),
            incarnation: "w1-1".to_owned(),
            hostname: "pc".to_owned(),
            pid: 1,
            lock: "boot:1:1".to_owned(),
            port: None,
            specialties: Vec::new(),
            slots: 1,
            running: Vec::new(),
            version: String::new(),
            agent: "command".to_owned(),
            sandbox: "process".to_owned(),
            workspace_root: String::new(),
            system: SystemInfo::default(),
            draining: false,
            suspended_until: None,
            resting: std::collections::BTreeMap::new(),
            unready: None,
            accounts: Vec::new(),
            started_at: 0,
            beat_at: 0,
        };
        let queue = Queue::open(&config.redis, &config.queue).unwrap();
        let accounts = Arc::new(Accounts::new(&Config::defaults().unwrap().agent));
        let disk = Arc::new(Disk::of(std::path::Path::new("/"), 0));
        Heartbeat::new(queue, Arc::clone(ledger), accounts, disk, info)
    }

    #[test]
    fn a_sleep_counts_as_silence_and_one_beyond_the_grace_without_redis_ends_what_runs() {
        let ledger = Arc::new(Ledger::new());
        let lease = Lease {
            id: "a".parse().unwrap(),
            specialty: "backend".parse().unwrap(),
            fence: Fence(1),
            incarnation: "w1-1".to_owned(),
        };
        let told = ledger.enter(&lease);
        let mut heartbeat = heartbeat(&ledger);
        let away = QueueError::Unreachable("no network yet".to_owned());
        ledger.acknowledged(BootInstant::now());
        heartbeat.missed(&away);
        assert_eq!(*told.borrow(), None, "a paid run is not thrown away for a moment");
        ledger.acknowledged(BootInstant::ago(Duration::from_secs(2)));
        heartbeat.missed(&away);
        assert_eq!(*told.borrow(), Some(StopReason::LeaseLost));
    }
}
