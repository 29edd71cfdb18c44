//! One leased task from its claim to its settlement.

mod asking;

use std::{sync::Arc, time::Duration};

use shared::{
    Failure, FailureClass, TaskSpec,
    crash_point::CrashPoint,
    queue::{Claimed, Lease, Queue, QueueError, Settlement},
    retry::Backoff,
    task_log::{LogLine, LogStream},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::asking::{charge, fence_check, served, still_ours, word_check};
use crate::{
    account::Accounts,
    berths::AllBerths,
    executor::Executor,
    ledger::Ledger,
    run::{Phase, REPORTS_MAX, RunControl, RunEnd, RunInput, StopReason},
    scribe::Scribe,
    stop::{Stop, StopLevel},
};

/// Between tries to reach Redis for a step that must not be skipped.
const PERSIST: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// How long an account rests whose limit named no time.
const LIMIT_WITHOUT_RESET: Duration = Duration::from_secs(15 * 60);

/// Longest rest, whatever a limit says: a wrong date must not stop a fleet for weeks.
const LIMIT_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Longest wait that a forge may ask for before a retry.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// What every slot of a worker shares.
pub struct SlotContext {
    pub queue: Queue,
    pub ledger: Arc<Ledger>,
    pub executor: Arc<Executor>,
    pub node: String,
    /// The agent accounts, where they have limits.
    pub accounts: Arc<Accounts>,
    pub stop: Stop,
    /// Whether a task may be handed to another specialty: not the one that a person runs here.
    pub refers: bool,
}

/// How a task left this worker.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskEnd {
    /// Settled by this worker, as `end` says.
    Settled { settlement: Settlement, end: RunEnd },
    /// Cancelled because its issue has another task.
    Duplicate,
    /// Another holds it, or nobody can say; nothing was settled.
    Abandoned,
}

/// A claimed task whose lease is in the ledger, and so renewed, from now until the slot ends.
pub struct Slot {
    context: Arc<SlotContext>,
    claimed: Claimed,
    told: watch::Receiver<Option<StopReason>>,
}

impl Slot {
    pub fn enter(context: Arc<SlotContext>, claimed: Claimed) -> Self {
        let told = context.ledger.enter(&claimed.lease);
        Self { context, claimed, told }
    }

    /// Runs a task that is to run alone, once it has all slots. Told to end before, the task is given back.
    pub async fn run_alone(
        self,
        all: impl Future<Output = Option<AllBerths>>,
        drain: CancellationToken,
    ) -> TaskEnd {
        let Claimed { lease, runs, attempts, .. } = &self.claimed;
        tracing::info!(task = %lease.id, "so many workers were lost with this task that it runs alone");
        let mut told = self.told.clone();
        let stopped = async { told.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone()) };
        let (all, reason) = tokio::select! {
            all = all => (all, None),
            reason = stopped => (None, reason),
            () = drain.cancelled() => (None, None),
        };
        if all.is_none() {
            let end = RunEnd::Stopped(reason.unwrap_or(StopReason::Shutdown));
            return settle(&self.context, lease, *runs, *attempts, end).await;
        }
        // From here on its worker's death is laid to it.
        match persist(&self.context, lease, || begin(&self.context.queue, lease)).await {
            Some(true) => self.run().await,
            Some(false) | None => TaskEnd::Abandoned,
        }
    }

    /// Runs the task to its end and settles it.
    pub async fn run(self) -> TaskEnd {
        run(&self.context, self.claimed.clone(), self.told.clone()).await
    }
}

impl Drop for Slot {
    /// However the slot ends, also by a panic: a lease that nobody works on must run out instead of being
    /// renewed for ever.
    fn drop(&mut self) {
        self.context.ledger.remove(&self.claimed.lease);
    }
}

async fn run(context: &SlotContext, claimed: Claimed, told: watch::Receiver<Option<StopReason>>) -> TaskEnd {
    let lease = claimed.lease;
    CrashPoint::Entered.reached();
    let end = match claimed.spec {
        // Nothing to run: this program is older than whoever made the task.
        Err(message) => RunEnd::Failed(Failure::configuration(message)),
        Ok(_) if limited(context, &lease).await => {
            let message = "the agent account met its limit, or spent its budget, before this run began";
            let unchanged = Some(Duration::ZERO);
            RunEnd::Failed(Failure {
                retry_after: unchanged,
                ..Failure::new(FailureClass::UsageLimit, message)
            })
        }
        Ok(spec) => {
            match persist(context, &lease, || context.queue.owns_issue(&spec)).await {
                None => return TaskEnd::Abandoned,
                Some(Some(other)) => {
                    tracing::info!(task = %lease.id, %other, "the issue has another task; this one is cancelled");
                    let other = other.to_string();
                    persist(context, &lease, || context.queue.cancel_duplicate(&lease, &spec, &other)).await;
                    return TaskEnd::Duplicate;
                }
                Some(None) => CrashPoint::IssueOwned.reached(),
            }
            execute(context, &lease, spec, (claimed.runs, claimed.attempts), told).await
        }
    };
    settle(context, &lease, claimed.runs, claimed.attempts, end).await
}

/// Notes that the task begins; whether the lease stands.
async fn begin(queue: &Queue, lease: &Lease) -> Result<bool, QueueError> {
    let phase = Phase::Preparing.to_string();
    Ok(queue.set_phase(lease, &phase).await?
        || still_ours(queue, lease).await? && queue.set_phase(lease, &phase).await?)
}

/// Whether the agent account rests. Asked before a claim too; but one may have begun before whoever met the limit
/// suspended the account, and have got the very task that was given back after that.
async fn limited(context: &SlotContext, lease: &Lease) -> bool {
    let Some(account) = context.accounts.of(&lease.specialty) else { return false };
    let standing = persist(context, lease, || context.queue.account_standing(&account.name)).await;
    standing.is_some_and(|standing| account.rests_until(&standing).is_some())
}

async fn execute(
    context: &SlotContext,
    lease: &Lease,
    spec: TaskSpec,
    (run, attempts): (u32, u32),
    stop: watch::Receiver<Option<StopReason>>,
) -> RunEnd {
    tracing::info!(task = %lease.id, run, repository = %spec.repository, title = spec.title, "task started");
    let (reports, received) = mpsc::channel(REPORTS_MAX);
    let (still_held, charge) = (fence_check(context, lease), charge(context, lease));
    let may_tell = word_check(context, &spec, &still_held);
    let control = RunControl { stop, reports, still_held, may_tell, charge };
    let choices = if context.refers && context.executor.wants_opinion(&spec, run) {
        served(context).await
    } else {
        Vec::new()
    };
    let input = RunInput { spec, run, attempts, fence: lease.fence, node: context.node.clone(), choices };
    let scribe = Scribe::new(context.queue.clone(), lease.clone(), run);
    let (end, ()) = tokio::join!(Box::pin(context.executor.run(input, control)), scribe.run(received));
    end
}

async fn settle(context: &SlotContext, lease: &Lease, run: u32, attempts: u32, end: RunEnd) -> TaskEnd {
    let mut answer = settle_once(context, lease, attempts, &end).await;
    if answer == Some(Settlement::Stale)
        && persist(context, lease, || still_ours(&context.queue, lease)).await == Some(true)
    {
        answer = settle_once(context, lease, attempts, &end).await;
    }
    let Some(settlement) = answer else {
        tracing::warn!(task = %lease.id, fence = %lease.fence, "task given up: its lease is gone");
        return TaskEnd::Abandoned;
    };
    tell(context, lease, run, settlement, &end).await;
    if settlement == Settlement::Stale { TaskEnd::Abandoned } else { TaskEnd::Settled { settlement, end } }
}

async fn settle_once(
    context: &SlotContext,
    lease: &Lease,
    attempts: u32,
    end: &RunEnd,
) -> Option<Settlement> {
    let queue = &context.queue;
    match end {
        RunEnd::Finished(outcome) => persist(context, lease, || queue.complete(lease, outcome)).await,
        RunEnd::Failed(failure) => settle_failure(context, lease, attempts, failure).await,
        RunEnd::Stopped(StopReason::Shutdown) => {
            persist(context, lease, || queue.release(lease, "worker shutdown")).await
        }
        RunEnd::NotBegun { why } => persist(context, lease, || queue.release(lease, why)).await,
        // The cancel flag in the record turns the release into the cancellation.
        RunEnd::Stopped(StopReason::Cancelled { .. }) => {
            persist(context, lease, || queue.release(lease, "cancelled")).await
        }
        RunEnd::Stopped(StopReason::LeaseLost) => None,
        RunEnd::Referred(spec) => {
            let by = format!("second opinion on {}", context.node);
            persist(context, lease, || queue.refer(lease, spec, &by)).await
        }
    }
}

async fn settle_failure(
    context: &SlotContext,
    lease: &Lease,
    attempts: u32,
    failure: &Failure,
) -> Option<Settlement> {
    let queue = &context.queue;
    match failure.class {
        FailureClass::Transient => {
            // A forge that says when to come back is not asked before.
            let asked = failure.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
            let delay = queue.settings().retry().delay(attempts).max(asked);
            persist(context, lease, || queue.retry(lease, failure, delay)).await
        }
        FailureClass::UsageLimit => {
            let rest = failure.retry_after.unwrap_or(LIMIT_WITHOUT_RESET).min(LIMIT_MAX);
            // Before the task goes back: nobody of this account may claim it in between.
            if let Some(account) = context.accounts.of(&lease.specialty) {
                persist(context, lease, || queue.suspend_account(&account.name, rest)).await?;
                CrashPoint::AccountSuspended.reached();
            }
            persist(context, lease, || queue.release(lease, &failure.message)).await
        }
        FailureClass::Task | FailureClass::Configuration | FailureClass::LostWorker => {
            persist(context, lease, || queue.fail(lease, failure)).await
        }
    }
}

/// Repeats an idempotent step until Redis has answered it; `None` when the process is to leave at once, or
/// when the step met something that repeating does not mend.
async fn persist<T, F: Future<Output = Result<T, QueueError>>>(
    context: &SlotContext,
    lease: &Lease,
    mut step: impl FnMut() -> F,
) -> Option<T> {
    for attempt in 0.. {
        match step().await {
            Ok(answer) => return Some(answer),
            // A refusal may be of this step alone, and the beat, which tells of an outage, knows nothing of it.
            Err(error @ QueueError::Refused(_)) if attempt == 0 => {
                tracing::warn!(%error, task = %lease.id, "the task cannot be moved on until redis allows it");
            }
            Err(error) if error.is_passing() => {
                tracing::debug!(%error, task = %lease.id, "redis is waited for");
            }
            Err(error) => {
                tracing::error!(%error, task = %lease.id, "the task cannot be moved on");
                return None;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PERSIST.delay(attempt)) => {}
            () = context.stop.reached(StopLevel::Exit) => return None,
        }
    }
    None
}

/// The last line of the task's log, and the one line of the worker's.
async fn tell(context: &SlotContext, lease: &Lease, run: u32, settlement: Settlement, end: &RunEnd) {
    let text = match (settlement, end) {
        (Settlement::Stale, _) => "another worker holds the task; this run counts for nothing".to_owned(),
        (Settlement::Cancelled, _) => "cancelled".to_owned(),
        (_, RunEnd::Finished(shared::Outcome::Branch { branch, commit, tests })) => {
            format!("completed: branch {branch} at {commit}, tests {tests}")
        }
        (_, RunEnd::Finished(shared::Outcome::PullRequest { url, .. })) => format!("completed: {url}"),
        (_, RunEnd::Finished(shared::Outcome::NoChange { .. })) => {
            "completed: the agent changed nothing; its answer is the result".to_owned()
        }
        (Settlement::Done, RunEnd::Failed(failure)) if failure.class == FailureClass::Transient => {
            format!("to be tried again: {}", failure.message)
        }
        (Settlement::Done, RunEnd::Failed(failure)) if failure.class == FailureClass::UsageLimit => {
            format!("back in line: {}", failure.message)
        }
        (_, RunEnd::Failed(failure)) => format!("failed ({}): {}", failure.class, failure.message),
        (_, RunEnd::Stopped(_)) => "back in line: the worker stops".to_owned(),
        (_, RunEnd::NotBegun { why }) => format!("back in line: {why}"),
        (_, RunEnd::Referred(spec)) => format!("handed to {}", spec.specialty),
    };
    tracing::info!(task = %lease.id, ?settlement, "{text}");
    if let (Settlement::Done, RunEnd::Referred(_)) = (settlement, end) {
        // Its log has gone along.
        return;
    }
    let line = LogLine::new(LogStream::Engine, &text);
    if let Err(error) = context.queue.append_log(lease, run, &[line.into()]).await {
        tracing::debug!(%error, task = %lease.id, "the last log line was lost");
    }
}

#[cfg(test)]
mod tests {
    use shared::{
        config::{Config, Driver, SandboxMode},
        queue::{Claim, Holder},
        state_dir::StateDir,
    };
    use testkit::RedisServer;

    use super::*;
    use crate::host::Host;

    /// A worker's slot on a Redis of its own, and a task of account `team` that it has claimed.
    struct Stage {
        _redis: RedisServer,
        _dir: tempfile::TempDir,
        queue: Queue,
        context: Arc<SlotContext>,
        claimed: Claimed,
    }

    impl Stage {
        async fn new(change: impl FnOnce(&mut Config)) -> Self {
            let (redis, dir) = (RedisServer::start().unwrap(), tempfile::tempdir().unwrap());
            let mut config = Config::defaults().unwrap();
            config.redis.url = redis.url().into();
            config.agent.driver = Driver::Command;
            config.agent.command = vec!["/bin/true".to_owned()];
            config.agent.account = "team".to_owned();
            config.sandbox.mode = SandboxMode::Process;
            config.sandbox.allow_same_user = true;
            config.workspace.root = dir.path().join("work");
            change(&mut config);
            let queue = Queue::open(&config.redis, &config.queue).unwrap();
            let state = StateDir::create(&dir.path().join("state")).unwrap();
            // An agent that runs as another user has to reach its workspace.
            std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))
                .unwrap();
            let executor =
                Executor::prepare(&config, &state, Host::new("/bin/true".into(), [])).await.unwrap();
            let (_sender, stop) = Stop::channel();
            let context = Arc::new(SlotContext {
                queue: queue.clone(),
                ledger: Arc::new(Ledger::new()),
                executor: Arc::new(executor),
                node: "w1".to_owned(),
                accounts: Arc::new(Accounts::new(&config.agent)),
                stop,
                refers: true,
            });
            let spec = TaskSpec::new("a".parse().unwrap(), "octo/cat".parse().unwrap(), "a title");
            queue.enqueue(&spec).await.unwrap();
            let holder = Holder { node: "w1".to_owned(), incarnation: "w1-1".to_owned() };
            let Claim::Tasks { mut tasks, .. } = queue.claim(&holder, &spec.specialty, 1, "n").await.unwrap()
            else {
                panic!("not paused")
            };
            Self { _redis: redis, _dir: dir, queue, context, claimed: tasks.remove(0) }
        }

        /// The lease runs out, as it does while the worker is frozen, and a sweep puts the task back in line.
        async fn lease_runs_out(&self) {
            let lease = &self.claimed.lease;
            while self.queue.task(&lease.id).await.unwrap().unwrap().status.name() == "active" {
                self.queue.sweep(&lease.specialty).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    #[tokio::test]
    async fn a_run_that_ends_before_its_worker_has_renewed_counts_where_nobody_took_its_task() {
        let stage = Stage::new(|config| (config.queue.lease_ms, config.queue.sweep_ms) = (400, 50)).await;
        let (context, lease) = (&stage.context, &stage.claimed.lease);
        let _told = context.ledger.enter(lease);
        stage.lease_runs_out().await;
        assert!(fence_check(context, lease)().await, "it may publish");
        stage.lease_runs_out().await;
        let end = RunEnd::Finished(shared::Outcome::NoChange { answer: "done".to_owned() });
        let end = settle(context, lease, 1, 0, end).await;
        assert!(matches!(end, TaskEnd::Settled { settlement: Settlement::Done, .. }), "{end:?}");
        let record = stage.queue.task(&lease.id).await.unwrap().unwrap();
        assert_eq!((record.status.name(), record.runs, record.lost), ("completed", 1, 0));
    }

    #[tokio::test]
    async fn a_task_claimed_while_the_disk_is_nearly_full_is_given_back_uncounted_and_never_started() {
        let stage = Stage::new(|config| config.workspace.free_bytes_min = u64::MAX).await;
        let Stage { queue, context, claimed, .. } = &stage;
        let end = Slot::enter(Arc::clone(context), claimed.clone()).run().await;
        let TaskEnd::Settled { settlement: Settlement::Done, end: RunEnd::NotBegun { why } } = end else {
            panic!("{end:?}")
        };
        assert!(why.contains("the disk is nearly full") && why.contains("workspace.free_bytes_min"), "{why}");
        let record = queue.task(&claimed.lease.id).await.unwrap().unwrap();
        assert_eq!((record.status.name(), record.attempts, record.lost), ("pending", 0, 0));
        let workspaces = context.executor.workspace_root();
        assert_eq!(std::fs::read_dir(workspaces).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_task_claimed_while_its_account_meets_the_limit_is_given_back_and_never_started() {
        let stage = Stage::new(|_| {}).await;
        let Stage { queue, context, claimed, .. } = &stage;
        queue.suspend_account("team", Duration::from_secs(60)).await.unwrap();
        let until = queue.account_suspended_until("team").await.unwrap();
        let end = Slot::enter(Arc::clone(context), claimed.clone()).run().await;
        assert!(matches!(end, TaskEnd::Settled { settlement: Settlement::Done, .. }), "{end:?}");
        let record = queue.task(&claimed.lease.id).await.unwrap().unwrap();
        assert_eq!((record.status.name(), record.attempts), ("pending", 0));
        assert_eq!(queue.account_suspended_until("team").await.unwrap(), until, "as long as before");
        assert!(context.ledger.running().is_empty());
    }
}
