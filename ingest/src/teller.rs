//! Says on an issue that its task waits, or no longer does, after whoever told of it has been answered.
//!
//! Nothing hangs on these words: they wait in memory, within a bound, and what a worker says later is more. One comment
//! an issue holds both. Two processes never write it at the same moment: an ingester takes a turn in Redis, looks
//! whether the task waits still, and only then writes; a worker, whose task is active, waits until nobody has the turn.

mod words;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shared::{
    RepositoryName, Status, TaskId, TaskRecord,
    config::Config,
    crash_point::CrashPoint,
    github::{GitHub, StatusComment, Unsaid},
    queue::{Queue, QueueError},
    retry::Backoff,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{event::IssueEvent, gate::Verdict, trigger::short};

/// Words that wait to be said, each of another issue.
const NOTICES_MAX: usize = 1_000;

/// Before the first word: a worker that is free takes the task meanwhile, and says more.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Between two words on one issue.
const PAUSE: Duration = Duration::from_secs(3);

/// Between tries of a word that GitHub did not take.
const AGAIN: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));
const TRIES_MAX: u32 = 6;

/// Longest time that GitHub is left alone, whatever it asks for.
const QUIET_MAX: Duration = Duration::from_secs(3_600);

/// How long one word may take, and how long the turn lasts that it is written in: whoever waits for it, waits no
/// longer. Less, so that nothing is written when it has ended.
const SAY_MAX: Duration = Duration::from_secs(8);
const TURN_LIFE: Duration = Duration::from_secs(10);

/// How long a stop waits for what is still to be said.
const FINISH_MAX: Duration = Duration::from_secs(3);

/// Takes what is to be said, and never waits.
pub struct Teller {
    /// `None` without a token.
    notices: Option<mpsc::Sender<Notice>>,
    config: Arc<Config>,
}

/// Says it.
pub struct Telling {
    notices: mpsc::Receiver<Notice>,
    config: Arc<Config>,
    github: Arc<GitHub>,
    queue: Queue,
    /// This process among all that write.
    writer: String,
    due: HashMap<Place, Due>,
    /// GitHub asked to be left alone until then.
    quiet_until: Instant,
}

/// An issue, by the name that does not differ by case.
type Place = (String, u64);

#[derive(Clone, Debug)]
struct Notice {
    repository: RepositoryName,
    issue: u64,
    task: TaskId,
    news: News,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    /// The task waits, and no worker has had it.
    Waits,
    /// The same, of a task that is not new: worth less than any other news.
    WaitsStill,
    /// It waits, and is not what it was.
    Changed { by: String },
    /// It was cancelled while it waited.
    Cancelled,
}

/// What there is to say of one issue.
struct Due {
    /// `None`: nothing, and nothing may be said before `at`.
    notice: Option<Notice>,
    at: Instant,
    failures: u32,
    /// What may stand there although it should not: it was on its way when the time to say it had passed.
    doubt: Option<String>,
}

/// Why a word was not said now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    GitHub(#[from] Unsaid),
    #[error("GitHub took longer than {} s", SAY_MAX.as_secs())]
    TooSlow,
    #[error("it was said when the time to do so had passed")]
    Late,
}

impl Trouble {
    fn is_passing(&self) -> bool {
        match self {
            Self::Queue(error) => error.is_passing(),
            Self::GitHub(error) => error.is_passing(),
            Self::TooSlow | Self::Late => true,
        }
    }

    /// How long GitHub asked to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::GitHub(Unsaid::Refused(error)) => error.retry_after(),
            _ => None,
        }
    }
}

/// Both ends. Without a token nothing is said.
pub fn teller(
    config: &Arc<Config>,
    github: Option<&Arc<GitHub>>,
    queue: &Queue,
) -> (Teller, Option<Telling>) {
    let (sender, notices) = mpsc::channel(NOTICES_MAX);
    let telling = github.map(|github| Telling {
        notices,
        config: Arc::clone(config),
        github: Arc::clone(github),
        queue: queue.clone(),
        writer: TaskId::generate().to_string(),
        due: HashMap::new(),
        quiet_until: Instant::now(),
    });
    let notices = telling.is_some().then_some(sender);
    (Teller { notices, config: Arc::clone(config) }, telling)
}

impl Teller {
    /// Has said what became of `event`, if that is anything that its issue should be told.
    pub fn tell(&self, event: &IssueEvent, verdict: &Verdict) {
        let Some(notices) = &self.notices else { return };
        let (task, news) = match verdict {
            Verdict::TaskCreated { task_id, .. } => (task_id, News::Waits),
            // Whoever was told first may have died before it said so.
            Verdict::Duplicate { task_id } => (task_id, News::WaitsStill),
            Verdict::TaskChanged { task_id } => (task_id, News::Changed { by: short(&event.actor.login) }),
            Verdict::TaskCancelled { task_id } => (task_id, News::Cancelled),
            // Its worker says that.
            Verdict::CancelRequested { .. } | Verdict::Ignored { .. } => return,
        };
        if !self.config.rules(&event.repository).is_ok_and(|rules| rules.comment_when_queued()) {
            return;
        }
        let notice = Notice {
            repository: event.repository.clone(),
            issue: event.issue.number,
            task: task.clone(),
            news,
        };
        if notices.try_send(notice).is_err() {
            debug!(
                issue = event.issue.number,
                "not told how its task stands: {NOTICES_MAX} others wait to be told"
            );
        }
    }
}

impl Telling {
    /// Says what there is to say until `shutdown`, and then what is left, as far as that takes no time.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let next = self.next();
            tokio::select! {
                () = shutdown.cancelled() => break,
                notice = self.notices.recv(), if self.due.len() < NOTICES_MAX => match notice {
                    Some(notice) => self.take(notice),
                    None => break,
                },
                () = until(next.as_ref().map(|(_, at)| *at)) => {
                    if let Some((place, _)) = next {
                        self.serve(place).await;
                    }
                }
            }
        }
        let end = Instant::now() + FINISH_MAX;
        while let Ok(notice) = self.notices.try_recv() {
            self.take(notice);
        }
        if self.quiet_until > Instant::now() {
            return;
        }
        let left: Vec<Due> = self.due.drain().map(|(_, due)| due).collect();
        for mut due in left {
            let Some(notice) = due.notice else { continue };
            if timeout_at(end, self.say(&notice, &mut due.doubt)).await.is_err() {
                break;
            }
        }
    }

    fn next(&self) -> Option<(Place, Instant)> {
        let first = self.due.iter().min_by_key(|(_, due)| due.at);
        first.map(|(place, due)| (place.clone(), due.at.max(self.quiet_until)))
    }

    /// The latest news of an issue count.
    fn take(&mut self, notice: Notice) {
        let place = (notice.repository.to_string().to_ascii_lowercase(), notice.issue);
        let new = || Due { notice: None, at: Instant::now() + FIRST_PAUSE, failures: 0, doubt: None };
        let due = self.due.entry(place).or_insert_with(new);
        if notice.news != News::WaitsStill || due.notice.is_none() {
            (due.notice, due.failures) = (Some(notice), 0);
        }
    }

    async fn serve(&mut self, place: Place) {
        let Some(mut due) = self.due.remove(&place) else { return };
        let Some(notice) = due.notice.take() else { return };
        due.at = Instant::now() + PAUSE;
        match self.say(&notice, &mut due.doubt).await {
            Ok(()) => {
                debug!(?place, "the issue is told how its task stands");
                due.failures = 0;
            }
            Err(trouble) if trouble.is_passing() && due.failures < TRIES_MAX => {
                debug!(?place, %trouble, "the issue is told later how its task stands");
                if let Some(quiet) = trouble.retry_after() {
                    self.quiet_until = Instant::now() + quiet.min(QUIET_MAX);
                }
                due.at = Instant::now() + AGAIN.delay(due.failures).max(PAUSE);
                (due.notice, due.failures) = (Some(notice), due.failures + 1);
            }
            Err(trouble) => {
                warn!(?place, %trouble, "the issue was not told how its task stands");
            }
        }
        self.due.insert(place, due);
    }

    /// Says it, if it is so still.
    async fn say(&self, notice: &Notice, doubt: &mut Option<String>) -> Result<(), Trouble> {
        let Some(repository) = self.github.repository(&notice.repository) else { return Ok(()) };
        let comment = StatusComment::of(&repository, notice.issue);
        if let Some(written) = doubt {
            self.mend(notice, &comment, written).await?;
            *doubt = None;
        }
        let Some(record) = self.standing(notice).await? else { return Ok(()) };
        let text = self.text(notice, &record).await?;
        let asked = AtomicBool::new(false);
        *doubt = Some(text.clone());
        let said = timeout(SAY_MAX, comment.say(&text, || self.may_say(notice, &record, &asked))).await;
        if matches!(said, Ok(Ok(()))) {
            CrashPoint::WaitingSaid.reached();
        }
        // Without a turn nothing was written.
        let in_time = !asked.into_inner()
            || self.queue.end_comment_turn(&notice.repository, notice.issue, &self.writer).await?;
        said.map_err(|_| Trouble::TooSlow)??;
        if !in_time {
            return Err(Trouble::Late);
        }
        *doubt = None;
        Ok(())
    }

    /// Puts right what came too late: a second comment, and `written` over what a worker has said since.
    async fn mend(&self, notice: &Notice, comment: &StatusComment, written: &str) -> Result<(), Trouble> {
        let stands = comment.tidy().await?;
        if stands.as_deref() != Some(written) || self.standing(notice).await?.is_some() {
            return Ok(());
        }
        let record = self.queue.task(&notice.task).await?;
        // While it is active, its worker says the next word soon.
        let Some(text) = record.as_ref().and_then(words::ended) else { return Ok(()) };
        let free =
            || async { matches!(self.queue.issue_task(&notice.repository, notice.issue).await, Ok(None)) };
        Ok(comment.say(&text, free).await?)
    }

    /// Takes the turn, and then looks whether all is as it was when the words were chosen.
    async fn may_say(&self, notice: &Notice, chosen_for: &TaskRecord, asked: &AtomicBool) -> bool {
        asked.store(true, Ordering::Relaxed);
        let turn = self.queue.take_comment_turn(&notice.repository, notice.issue, &self.writer, TURN_LIFE);
        let ours = matches!(turn.await, Ok(true));
        let same = ours && matches!(self.standing(notice).await, Ok(Some(now)) if now == *chosen_for);
        if same {
            CrashPoint::WaitingAsked.reached();
        }
        same
    }

    /// The task as it is, if there is something to say of it; `None` of one that a worker has, or that is not the
    /// issue's any more.
    async fn standing(&self, notice: &Notice) -> Result<Option<TaskRecord>, QueueError> {
        let current = self.queue.issue_task(&notice.repository, notice.issue).await?;
        if notice.news == News::Cancelled {
            let ended = if current.is_none() { self.queue.task(&notice.task).await? } else { None };
            return Ok(ended.filter(|record| matches!(record.status, Status::Cancelled { .. })));
        }
        let waits = |record: &TaskRecord| match record.status {
            // What a worker said of an earlier run is worth more.
            Status::Pending | Status::Delayed { .. } => {
                record.runs == 0 || matches!(notice.news, News::Changed { .. })
            }
            _ => false,
        };
        Ok(current.filter(waits))
    }

    async fn text(&self, notice: &Notice, record: &TaskRecord) -> Result<String, QueueError> {
        let label = self.config.rules(&notice.repository).map_or("", |rules| rules.trigger_label());
        Ok(match (&notice.news, &record.status) {
            (News::Cancelled, Status::Cancelled { reason, .. }) => words::cancelled(record, reason, label),
            (News::Changed { by }, _) => {
                words::waits(record, self.queue.why(record).await?.as_ref(), Some(by))
            }
            _ => words::waits(record, self.queue.why(record).await?.as_ref(), None),
        })
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
