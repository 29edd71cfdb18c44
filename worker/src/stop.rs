//! How a worker is told to end, in three ordered steps.

use tokio::sync::watch;

/// How urgently the worker is to end; it only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopLevel {
    /// Work on.
    Run,
    /// Claim nothing new; let what runs come to its end, up to `worker.drain_ms`.
    Drain,
    /// Kill what runs and give its tasks back.
    Release,
    /// Leave at once; leases run out by themselves.
    Exit,
}

/// The side that tells.
#[derive(Clone, Debug)]
pub struct StopSender(watch::Sender<StopLevel>);

/// The side that listens.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<StopLevel>);

impl Stop {
    pub fn channel() -> (StopSender, Self) {
        let (sender, receiver) = watch::channel(StopLevel::Run);
        (StopSender(sender), Self(receiver))
    }

    pub fn level(&self) -> StopLevel {
        *self.0.borrow()
    }

    /// Returns when the level has reached `level`. Never returns when the sender is gone before that.
    pub async fn reached(&self, level: StopLevel) {
        if self.0.clone().wait_for(|now| *now >= level).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl StopSender {
    /// Raises the level to at least `level`.
    pub fn raise(&self, level: StopLevel) {
        self.0.send_if_modified(|now| {
            let raised = level > *now;
            *now = (*now).max(level);
            raised
        });
    }

    /// One step further: what a repeated signal means.
    pub fn escalate(&self) {
        self.0.send_modify(|now| {
            *now = match *now {
                StopLevel::Run => StopLevel::Drain,
                StopLevel::Drain => StopLevel::Release,
                StopLevel::Release | StopLevel::Exit => StopLevel::Exit,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_level_only_grows_and_each_signal_is_one_step() {
        let (sender, stop) = Stop::channel();
        sender.escalate();
        sender.raise(StopLevel::Run);
        assert_eq!(stop.level(), StopLevel::Drain);
        sender.escalate();
        stop.reached(StopLevel::Release).await;
        sender.escalate();
        sender.escalate();
        assert_eq!(stop.level(), StopLevel::Exit);
    }
}
