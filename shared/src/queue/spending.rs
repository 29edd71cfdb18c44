//! Money: what a task has cost over all its runs, and what its agent account has spent today.
//!
//! A day is one of UTC, by Redis' clock. What an account has spent lies in the slot of its limit, so that one look
//! tells both, and ends with the day.

use redis::Value;

use super::{
    Lease, Queue, QueueError,
    inspect::{first_word, number, text},
    outbox::{OutboxEntry, Share},
};
use crate::{crash_point::CrashPoint, lifecycle::UnixMs};

/// Millionths of a US dollar.
pub type MicroUsd = u64;

/// What one call of an agent has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expense {
    /// Which charge of its run it is, from 1.
    pub number: u32,
    /// 0 asks and charges nothing.
    pub micro_usd: MicroUsd,
}

/// The answer to a charge, with what the task has cost in all its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    Counted {
        task: MicroUsd,
    },
    /// This charge was counted before; the answer to that was lost.
    Already {
        task: MicroUsd,
    },
    /// Another holds the task, or held it since. Nothing was counted.
    Stale,
}

/// How an agent account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountStanding {
    /// Nobody claims for it until then, by Redis' clock.
    pub limited_until: Option<UnixMs>,
    pub spent_today: MicroUsd,
    pub day_ends_at: UnixMs,
}

impl Queue {
    /// Counts what a call has cost, for the task and for the day of its account; once, however often it is repeated.
    pub async fn charge(
        &self,
        lease: &Lease,
        account: Option<&str>,
        expense: Expense,
    ) -> Result<Charged, QueueError> {
        let mut args = lease.args();
        let account = account.unwrap_or_default();
        args.extend([expense.number.to_string(), expense.micro_usd.to_string(), account.to_owned()]);
        let keys = self.keys().specialty(&lease.specialty);
        let answer: Vec<Value> =
            self.inner.scripts.charge.call(&self.inner.connections, keys.base(), args).await?;
        let task = answer.get(1).map_or(0, number);
        let part = |place: usize| answer.get(place).map(text).unwrap_or_default();
        match first_word(&answer).as_str() {
            "counted" => {
                if expense.micro_usd > 0 {
                    CrashPoint::Charged.reached();
                }
                if !part(2).is_empty() {
                    let share = Share {
                        account: account.to_owned(),
                        micro_usd: expense.micro_usd.to_string(),
                        day: part(3),
                    };
                    let due = OutboxEntry {
                        entry: part(2),
                        task: lease.id.to_string(),
                        issue: String::new(),
                        share: Some(share),
                    };
                    self.deliver_late(&lease.specialty, &due).await;
                }
                Ok(Charged::Counted { task })
            }
            "already" => Ok(Charged::Already { task }),
            "stale" => Ok(Charged::Stale),
            other => Err(QueueError::unexpected("charge", other)),
        }
    }

    /// Whether `account` met a limit, and what it has spent today. A limit without an end gets one.
    pub async fn account_standing(&self, account: &str) -> Result<AccountStanding, QueueError> {
        let (limited, spent) = (self.keys().account_limited(account), self.keys().account_spent(account));
        let connections = &self.inner.connections;
        let look = async || {
            let keys = [limited.as_str(), &spent];
            self.inner.scripts.account.call_on::<(i64, String, u64)>(connections, &keys, &[""; 0]).await
        };
        let mut answer = look().await?;
        if answer.0 == super::suspend::NO_END {
            self.bound_limit(&limited).await?;
            answer = look().await?;
        }
        let (ends_at, spent_today, day_ends_at) = answer;
        Ok(AccountStanding {
            limited_until: u64::try_from(ends_at).ok(),
            spent_today: spent_today.parse().unwrap_or(0),
            day_ends_at,
        })
    }

    /// The share of an account in a charge; repeatable.
    pub(super) async fn count_share(&self, entry: &str, share: &Share) -> Result<(), QueueError> {
        let key = self.keys().account_spent(&share.account);
        let args = [entry, &share.micro_usd, &share.day];
        self.inner.scripts.spend_once.call::<u8>(&self.inner.connections, &key, &args).await?;
        Ok(())
    }
}
