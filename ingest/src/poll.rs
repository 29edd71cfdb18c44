//! Asks GitHub what has changed, for who cannot be reached by webhooks and for deliveries that were missed.
//!
//! What a look finds goes through the same gate as webhooks. How far a repository has been handled stands in Redis, and
//! moves on only when all of a page has been: whoever dies in between leaves it to the next look, and what is told
//! twice makes nothing twice.

mod change;
mod discovery;
mod look;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use shared::{
    RepositoryName, TaskId,
    config::Config,
    crash_point::CrashPoint,
    github::{ApiError, GitHub},
    queue::{PollTurn, PollTurnAnswer, Queue, QueueError},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    gate::{Gate, NotNow},
    poll::{discovery::Discovery, look::Look},
};

/// How long a turn lasts that its poller does not go on with: half an interval, within these bounds.
const LEASE_MIN: Duration = Duration::from_secs(1);
const LEASE_MAX: Duration = Duration::from_secs(30);

/// How far behind the last change a look begins: what GitHub lists may lag behind what it has listed.
const OVERLAP: Duration = Duration::from_secs(10);

/// Of the rate limit, the share that polling leaves to workers: one in this many requests.
const RESERVE_SHARE: u64 = 10;

/// Longest wait for the rate limit to begin anew, whatever the clocks say.
const RATE_WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Looks that fail at one and the same event before it is given up, so that those behind it are not held up.
const FAILURES_MAX: u32 = 5;

/// Polls the configured repositories, one after the other.
pub struct Poller {
    config: Arc<Config>,
    github: Arc<GitHub>,
    gate: Arc<Gate>,
    queue: Queue,
    /// This process among all that poll.
    owner: String,
}

/// What is remembered of a repository from look to look.
#[derive(Default)]
struct Memory {
    /// What the last look failed of; told once.
    trouble: Option<String>,
    /// The events that looks have failed at since a page was last handled, and how often.
    failed_at: HashMap<String, u32>,
}

/// Why a look ended early.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Github(#[from] ApiError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("{event}: {error}")]
    Event { event: String, error: NotNow },
}

impl Poller {
    /// `None` where nothing is to be polled.
    pub fn new(
        config: &Arc<Config>,
        github: Option<Arc<GitHub>>,
        gate: &Arc<Gate>,
        queue: Queue,
    ) -> Option<Self> {
        let github = github.filter(|_| config.poll.enabled)?;
        let owner = TaskId::generate().to_string();
        Some(Self { config: Arc::clone(config), github, gate: Arc::clone(gate), queue, owner })
    }

    /// Polls until `shutdown`. Neither Redis nor GitHub need be there.
    pub async fn run(self, shutdown: CancellationToken) {
        let named = self.config.polled();
        let mut discovery = Discovery::of(&self.config);
        let mut memories: HashMap<RepositoryName, Memory> = HashMap::new();
        info!(
            repositories = named.len(),
            owners = self.config.polled_owners().join(","),
            interval_ms = self.config.poll.interval_ms,
            "polling GitHub"
        );
        // A look that is dropped in the middle is repeated by whoever has the next turn.
        shutdown
            .run_until_cancelled(async {
                loop {
                    let mut pause = self.interval();
                    discovery.refresh(&self).await;
                    let places = together(&named, &discovery);
                    memories.retain(|name, _| places.contains(&name));
                    for name in places {
                        let memory = memories.entry(name.clone()).or_default();
                        pause = pause.min(Box::pin(self.visit(name, memory)).await);
                    }
                    sleep(pause.max(self.until_the_limit_is_anew()) + self.jitter()).await;
                }
            })
            .await;
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(self.config.poll.interval_ms)
    }

    fn lease(&self) -> Duration {
        (self.interval() / 2).clamp(LEASE_MIN, LEASE_MAX)
    }

    fn jitter(&self) -> Duration {
        // Random enough: the last bits of an id that was made for this.
        let bits = TaskId::generate()
            .as_str()
            .bytes()
            .fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        Duration::from_millis(bits % (self.config.poll.jitter_ms + 1))
    }

    /// Looks at one repository if it is due, and says how long there is nothing more to do.
    async fn visit(&self, name: &RepositoryName, memory: &mut Memory) -> Duration {
        if !self.until_the_limit_is_anew().is_zero() {
            return self.interval();
        }
        let trouble = match self.turn(name, memory).await {
            Ok(pause) => {
                if memory.trouble.take().is_some() {
                    info!(repository = %name, "polled again");
                }
                return pause;
            }
            Err(trouble) => trouble,
        };
        let retry_after = match &trouble {
            Trouble::Github(error) => error.retry_after(),
            _ => None,
        };
        let text = trouble.to_string();
        if memory.trouble.as_ref() != Some(&text) {
            warn!(repository = %name, error = text, "cannot poll; tried again");
            memory.trouble = Some(text);
        }
        retry_after.unwrap_or_default().max(self.interval())
    }

    async fn turn(&self, name: &RepositoryName, memory: &mut Memory) -> Result<Duration, Trouble> {
        let taken =
            self.queue.take_poll_turn(name, &self.owner, self.lease(), self.interval(), OVERLAP).await?;
        let turn = match taken {
            PollTurnAnswer::Wait(wait) => return Ok(wait),
            PollTurnAnswer::Ours(turn) => turn,
        };
        CrashPoint::PollTurnTaken.reached();
        let looked = self.look(name, turn.clone(), memory).await;
        self.queue.end_poll_turn(&turn).await?;
        looked.map(|()| self.interval())
    }

    /// Handles what has changed, page by page.
    async fn look(
        &self,
        name: &RepositoryName,
        mut turn: PollTurn,
        memory: &mut Memory,
    ) -> Result<(), Trouble> {
        let Some(repository) = self.github.repository(name) else { return Ok(()) };
        let mut overlap = OVERLAP;
        for _ in 0..self.config.poll.pages_max {
            let look = Look { poller: self, repository: &repository, turn: &turn, issues: HashMap::new() };
            let Some(page) = look.page(overlap, memory).await? else { return Ok(()) };
            memory.failed_at.clear();
            CrashPoint::PageHandled.reached();
            let ours = self.queue.move_poll_cursors(&turn, &page.cursors, self.lease()).await?;
            CrashPoint::CursorsMoved.reached();
            if !ours || page.complete {
                return Ok(());
            }
            turn.cursors = page.cursors;
            overlap = Duration::ZERO;
        }
        Ok(())
    }

    /// How long GitHub is left to the workers, because little is left of the rate limit.
    fn until_the_limit_is_anew(&self) -> Duration {
        let Some(rate) = self.github.rate().filter(|rate| rate.remaining < rate.limit / RESERVE_SHARE) else {
            return Duration::ZERO;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wait = Duration::from_secs(rate.reset_s).saturating_sub(now).min(RATE_WAIT_MAX);
        if !wait.is_zero() {
            warn!(
                remaining = rate.remaining,
                limit = rate.limit,
                seconds = wait.as_secs(),
                "polling pauses: little is left of GitHub's rate limit"
            );
        }
        wait
    }
}

/// Each repository once. GitHub's names do not differ by case.
fn together<'a>(named: &'a [RepositoryName], discovery: &'a Discovery) -> Vec<&'a RepositoryName> {
    let mut known = HashSet::new();
    let all = named.iter().chain(discovery.repositories());
    all.filter(|name| known.insert(name.to_string().to_ascii_lowercase())).collect()
}
