//! The repositories that patterns stand for, as GitHub lists them from time to time.

use std::time::Duration;

use shared::{
    RepositoryName,
    config::Config,
    github::{ApiError, LISTED_MAX, Patience},
};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Poller;

/// How long one owner's list waits for a GitHub that does not answer as it should.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every owner whose repositories a pattern names.
pub struct Discovery {
    owners: Vec<Owner>,
}

struct Owner {
    name: String,
    /// As the last list that could be had has them.
    repositories: Vec<RepositoryName>,
    /// `None`: never listed.
    due: Option<Instant>,
    trouble: Option<String>,
}

impl Discovery {
    pub fn of(config: &Config) -> Self {
        let owner = |name| Owner { name, repositories: Vec::new(), due: None, trouble: None };
        Self { owners: config.polled_owners().into_iter().map(owner).collect() }
    }

    /// Lists again what is due. Where that fails, the repositories of the last list are polled on.
    pub async fn refresh(&mut self, poller: &Poller) {
        for owner in &mut self.owners {
            let due = owner.due.is_none_or(|due| due <= Instant::now());
            if due && poller.until_the_limit_is_anew().is_zero() {
                let listed = Box::pin(owner.list(poller)).await;
                let wait = owner.told(listed, poller);
                owner.due = Some(Instant::now() + wait);
            }
        }
    }

    pub fn repositories(&self) -> impl Iterator<Item = &RepositoryName> {
        self.owners.iter().flat_map(|owner| &owner.repositories)
    }
}

impl Owner {
    /// Whether the list holds all.
    async fn list(&mut self, poller: &Poller) -> Result<bool, ApiError> {
        let listed = poller.github.repositories_of(&self.name, &mut Patience::new(PATIENCE)).await?;
        let before = self.repositories.len();
        self.repositories = listed.names.into_iter().filter(|name| poller.config.polls(name)).collect();
        if self.repositories.len() != before {
            info!(owner = self.name, repositories = self.repositories.len(), "repositories to poll");
        }
        Ok(listed.complete)
    }

    /// Says what has changed about the list, and how long it is good.
    fn told(&mut self, listed: Result<bool, ApiError>, poller: &Poller) -> Duration {
        let usual = Duration::from_millis(poller.config.poll.listing_interval_ms);
        let (trouble, wait) = match listed {
            Ok(true) => (None, usual),
            Ok(false) => {
                let problem = format!("there are more than {LISTED_MAX}: the rest is not polled; name them");
                (Some(problem), usual)
            }
            Err(error) => {
                let wait = error.retry_after().unwrap_or_default().max(poller.interval());
                (Some(error.to_string()), wait)
            }
        };
        if let Some(problem) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            warn!(owner = self.name, problem, "cannot list all repositories to poll");
        }
        self.trouble = trouble;
        wait
    }
}
