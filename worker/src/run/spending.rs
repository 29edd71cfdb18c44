//! The money of one run: what its agent has cost, told once, and what may still be spent.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::queue::{Expense, MicroUsd};

use crate::account::micro_usd;

/// Most that one call is believed to have cost, in millionths of a US dollar: what an agent prints may be anything.
const CALL_MICRO_USD_MAX: MicroUsd = 1_000_000_000;

/// What may still be spent; `None` where nothing limits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Of the task, over all its runs.
    pub task: Option<MicroUsd>,
    /// Of the account, today.
    pub day: Option<MicroUsd>,
}

impl Allowance {
    /// What limits the next call.
    pub(crate) fn least(self) -> Option<MicroUsd> {
        self.task.into_iter().chain(self.day).min()
    }

    /// Whether it is the account's day that limits it, and not the task.
    pub(crate) fn is_the_days(self) -> bool {
        self.day.is_some_and(|day| self.task.is_none_or(|task| day < task))
    }
}

/// Counts an expense where all who share it see it, and tells what is left; `None` when the lease is gone.
pub type Charge =
    Arc<dyn Fn(Expense) -> Pin<Box<dyn Future<Output = Option<Allowance>> + Send>> + Send + Sync>;

/// What the agent's calls have cost, and how much of that is counted.
pub(crate) struct Spending<'a> {
    charge: &'a Charge,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// `None` until an agent has told.
    total: Option<MicroUsd>,
    /// Charges that were begun; repeating one changes nothing.
    charges: u32,
    /// The charge that is not known to have been counted.
    due: MicroUsd,
    counted: MicroUsd,
}

impl<'a> Spending<'a> {
    pub(crate) fn new(charge: &'a Charge) -> Self {
        Self { charge, told: Mutex::default() }
    }

    /// What a call has cost, as its agent says.
    pub(crate) fn add(&self, usd: f64) {
        let mut told = self.told();
        let cost = micro_usd(usd).min(CALL_MICRO_USD_MAX);
        told.total = Some(told.total.unwrap_or(0) + cost);
    }

    /// Of all calls so far, in US dollars; `None` where no agent has told.
    pub(crate) fn usd(&self) -> Option<f64> {
        self.told().total.map(|micro_usd| micro_usd as f64 / 1_000_000.0)
    }

    /// Counts what is not counted yet, and says what is left; `None` when the lease is gone. Dropped at any moment, it
    /// counts nothing twice when it is called again.
    pub(crate) async fn settle(&self) -> Option<Allowance> {
        let allowance = (self.charge)(self.begin()).await?;
        let mut told = self.told();
        told.counted += std::mem::take(&mut told.due);
        Some(allowance)
    }

    /// Counts what is not counted yet, where there is any.
    pub(crate) async fn settle_rest(&self) {
        if self.uncounted() > 0 {
            let _ = self.settle().await;
        }
    }

    fn uncounted(&self) -> MicroUsd {
        let told = self.told();
        told.total.unwrap_or(0) - told.counted
    }

    /// The charge that is due. One that was begun before is repeated as it was.
    fn begin(&self) -> Expense {
        let uncounted = self.uncounted();
        let mut told = self.told();
        if told.due == 0 && uncounted > 0 {
            told.due = uncounted;
            told.charges += 1;
        }
        Expense { number: told.charges, micro_usd: told.due }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes what it is asked to count, and answers where `answers` says so.
    fn noting(noted: &Arc<Mutex<Vec<Expense>>>, answers: bool) -> Charge {
        let noted = Arc::clone(noted);
        Arc::new(move |expense| {
            noted.lock().unwrap().push(expense);
            Box::pin(async move {
                if !answers {
                    std::future::pending::<()>().await;
                }
                Some(Allowance::default())
            })
        })
    }

    #[tokio::test]
    async fn a_charge_that_was_interrupted_is_repeated_as_it_was_before_anything_else_is_charged() {
        let noted = Arc::default();
        let (silent, answering) = (noting(&noted, false), noting(&noted, true));
        let mut spending = Spending::new(&silent);
        spending.add(0.5);
        polled_once(spending.settle()).await;
        spending.add(0.25);
        spending.charge = &answering;
        for _ in 0..3 {
            spending.settle().await.unwrap();
        }
        let of = |number, micro_usd| Expense { number, micro_usd };
        let expected = [of(1, 500_000), of(1, 500_000), of(2, 250_000), of(2, 0)];
        assert_eq!(*noted.lock().unwrap(), expected);
        assert_eq!(spending.usd(), Some(0.75));
    }

    /// Polls once and drops.
    async fn polled_once<T>(future: impl Future<Output = T>) {
        tokio::select! {
            biased;
            _ = future => panic!("it was not to end"),
            () = std::future::ready(()) => {}
        }
    }

    #[test]
    fn the_smaller_of_two_allowances_limits_a_call() {
        let of = |task, day| Allowance { task, day };
        assert_eq!(of(None, None).least(), None);
        assert_eq!(of(Some(5), Some(3)).least(), Some(3));
        assert!(of(Some(5), Some(3)).is_the_days() && of(None, Some(3)).is_the_days());
        assert!(!of(Some(3), Some(3)).is_the_days() && !of(Some(3), None).is_the_days());
    }

    #[tokio::test]
    async fn what_an_agent_prints_cannot_spend_without_bound() {
        let noted = Arc::default();
        let charge = noting(&noted, true);
        let spending = Spending::new(&charge);
        for usd in [f64::INFINITY, f64::NAN, -5.0] {
            spending.add(usd);
        }
        spending.settle().await.unwrap();
        assert_eq!(noted.lock().unwrap()[0].micro_usd, CALL_MICRO_USD_MAX);
    }
}
