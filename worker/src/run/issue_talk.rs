//! What a run says on its issue, and hears there.

use std::{
    convert::Infallible,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use shared::{
    Failure, FailureClass,
    config::Config,
    crash_point::CrashPoint,
    github::{Repository, StatusComment},
    task::Trigger,
};

use super::{FenceCheck, Reporter, RunEnd, RunInput, Spending, StopReason};
use crate::{
    github::{Below, Comment},
    publish::{Facts, Moment, status},
};

/// Between two words about the progress of one run. How it ends is said at once.
const PROGRESS_PAUSE: Duration = Duration::from_secs(5);

/// The status comment of a run's issue, once the run has found it. A comment that cannot be written is told in the
/// task's log and costs nothing else.
pub(crate) struct IssueTalk<'a> {
    config: &'a Config,
    input: &'a RunInput,
    reporter: &'a Reporter,
    may_tell: &'a FenceCheck,
    spending: &'a Spending<'a>,
    began: Instant,
    comment: OnceLock<StatusComment>,
    /// Set when the pull request is good and GitHub left it a draft.
    draft: AtomicBool,
    /// Set when the log has said that the comment cannot be written.
    complained: AtomicBool,
}

impl<'a> IssueTalk<'a> {
    pub(crate) fn new(
        config: &'a Config,
        input: &'a RunInput,
        reporter: &'a Reporter,
        may_tell: &'a FenceCheck,
        spending: &'a Spending<'a>,
    ) -> Self {
        Self {
            config,
            input,
            reporter,
            may_tell,
            spending,
            began: Instant::now(),
            comment: OnceLock::new(),
            draft: AtomicBool::new(false),
            complained: AtomicBool::new(false),
        }
    }

    /// Reads what people have written below the issue and says that work begins.
    pub(crate) async fn open(&self, repository: &Repository) -> Result<Vec<Comment>, Failure> {
        let Some(issue) = self.input.spec.issue else { return Ok(Vec::new()) };
        let triggered_at_ms = self.input.spec.triggered_at_ms;
        let rules = self.config.rules(&self.input.spec.repository);
        let rules = rules.map_err(|error| Failure::configuration(error.to_string()))?;
        let below = match Below::read(repository, issue, triggered_at_ms, &rules).await {
            Ok(below) => below,
            // What was written there may be what the work hangs on: better later than without.
            Err(failure) if failure.class == FailureClass::Transient => return Err(failure),
            Err(failure) => {
                self.reporter.engine(&format!("no comments: {}", failure.message)).await;
                return Ok(Vec::new());
            }
        };
        let comment = self.comment.get_or_init(|| below.status);
        self.say(comment, &Moment::Started).await;
        CrashPoint::BeginSaid.reached();
        Ok(below.told)
    }

    /// Says which phase the run is in, for as long as it is polled. Dropped at any moment it leaves nothing that the
    /// last word does not put right.
    pub(crate) async fn follow(&self) -> Infallible {
        let mut phases = self.reporter.phases();
        loop {
            tokio::time::sleep(PROGRESS_PAUSE).await;
            let phase = *phases.borrow_and_update();
            if let (Some(comment), Some(phase)) = (self.comment.get(), phase) {
                self.say(comment, &Moment::Working(phase)).await;
            }
            if phases.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Says how the run ended. Nothing, where another may hold the task by now.
    pub(crate) async fn close(&self, end: &RunEnd) {
        let Some(comment) = self.comment.get() else { return };
        let moment = match end {
            RunEnd::Finished(outcome) => Moment::Finished(outcome),
            RunEnd::Failed(failure) => Moment::Failed { failure, again: self.is_tried_again(failure) },
            RunEnd::Stopped(StopReason::Cancelled { by }) => Moment::Cancelled { by },
            RunEnd::Stopped(StopReason::Shutdown) => Moment::Returned,
            RunEnd::Stopped(StopReason::LeaseLost) | RunEnd::NotBegun { .. } | RunEnd::Referred(_) => return,
        };
        self.say(comment, &moment).await;
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        let RunInput { spec, node, run, .. } = self.input;
        let (took, cost_usd) = (self.began.elapsed(), self.spending.usd());
        let draft = self.draft.load(Ordering::Relaxed);
        Facts { task: &spec.id, node, run: *run, took, cost_usd, draft }
    }

    /// The last word will ask for what the token could not do.
    pub(crate) fn still_a_draft(&self) {
        self.draft.store(true, Ordering::Relaxed);
    }

    fn is_tried_again(&self, failure: &Failure) -> bool {
        match failure.class {
            FailureClass::Transient => self.input.attempts + 1 < self.config.queue.attempts_max,
            FailureClass::UsageLimit | FailureClass::LostWorker => true,
            FailureClass::Task | FailureClass::Configuration => false,
        }
    }

    async fn say(&self, comment: &StatusComment, moment: &Moment<'_>) {
        let by_hand = self.input.spec.trigger == Trigger::Manual;
        let rules = self.config.rules(&self.input.spec.repository).ok();
        let label = rules.filter(|_| !by_hand).map_or("", |rules| rules.trigger_label());
        let text = status(moment, &self.facts(), label);
        let text = self.reporter.redact(&text);
        if let Err(problem) = comment.say(&text, || (self.may_tell)()).await
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            self.reporter
                .engine(&format!("the status comment on the issue was not written: {problem}"))
                .await;
        }
    }
}
