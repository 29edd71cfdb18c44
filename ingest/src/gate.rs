//! What becomes of an event, from the list of repositories on: one way for webhooks and for what polls find.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    Priority, Specialty, TaskId, TaskRecord, TaskSpec,
    config::{Config, Rules},
    queue::{CancelAnswer, IssueEnqueued, Queue},
    task::Trigger,
};
use tracing::info;

use crate::{
    bounded_queue::{BoundedQueue, Unavailable},
    classify::Classifier,
    command::Wishes,
    event::{IssueEvent, What},
    permission::{Permissions, Unanswered},
    snapshot,
    trigger::{self, Ignored, Step, Stop, short},
    trust::{self, Distrust},
};

/// What events are judged by, and where their tasks go.
pub struct Gate {
    pub config: Arc<Config>,
    pub classifier: Arc<Classifier>,
    pub queue: BoundedQueue,
    pub permissions: Permissions,
}

/// What became of an event.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Verdict {
    TaskCreated {
        task_id: TaskId,
        specialty: Specialty,
        priority: Priority,
    },
    /// The issue has an unsettled task, or this event made one before.
    Duplicate {
        task_id: TaskId,
    },
    TaskCancelled {
        task_id: TaskId,
    },
    /// It runs: its worker learns it with its next beat.
    CancelRequested {
        task_id: TaskId,
    },
    Ignored {
        reason: String,
    },
}

/// Nothing was decided: the event has to come again.
#[derive(Debug, thiserror::Error)]
pub enum NotNow {
    #[error(transparent)]
    Queue(#[from] Unavailable),
    #[error(transparent)]
    Trust(#[from] Unanswered),
}

/// Why no step was taken.
enum No {
    Ignored(Ignored),
    NotNow(NotNow),
}

impl From<Ignored> for No {
    fn from(ignored: Ignored) -> Self {
        Self::Ignored(ignored)
    }
}

impl From<Unavailable> for No {
    fn from(error: Unavailable) -> Self {
        Self::NotNow(error.into())
    }
}

impl From<Distrust> for No {
    fn from(distrust: Distrust) -> Self {
        match distrust {
            Distrust::Ignored(ignored) => Self::Ignored(ignored),
            Distrust::Unanswered(unanswered) => Self::NotNow(unanswered.into()),
        }
    }
}

impl Gate {
    /// Does what `event` asks for, if it may. Telling an event again is always safe: it finds what it did before.
    pub async fn pass(&self, event: &IssueEvent) -> Result<Verdict, NotNow> {
        match self.judge(event).await {
            Ok(verdict) => {
                info!(issue = subject(event), ?verdict, "event taken");
                Ok(verdict)
            }
            Err(No::Ignored(ignored)) => {
                // Somebody waits for the one kind and wonders; the other comes with every click.
                if ignored.is_refusal() {
                    info!(issue = subject(event), %ignored, "event ignored");
                }
                Ok(Verdict::Ignored { reason: ignored.to_string() })
            }
            Err(No::NotNow(error)) => Err(error),
        }
    }

    async fn judge(&self, event: &IssueEvent) -> Result<Verdict, No> {
        let rules = self.config.rules(&event.repository);
        let rules = rules.map_err(|_| Ignored::RepositoryNotAllowed(short(&event.repository.to_string())))?;
        let step = trigger::step(event, &rules, &self.classifier)?;
        // Most edits and labels are of issues that nothing waits for; whose they are need not be found out.
        let task = match &step {
            Step::Start { .. } => None,
            Step::Stop(_) | Step::Change(_) => {
                Some(self.task(event).await?.ok_or_else(|| nothing_there(event, &rules))?)
            }
        };
        trust::check(&step, event, &rules, &self.permissions).await?;
        match (step, task) {
            (Step::Start { trigger, wishes, text }, _) => {
                self.start(event, &rules, trigger, &wishes, text).await
            }
            (Step::Stop(why), Some((record, _))) => self.stop(event, why, record.id).await,
            (Step::Change(_), Some((record, _))) => Err(Ignored::Keeps(record.id.to_string()).into()),
            (_, None) => Err(Ignored::NoTask.into()),
        }
    }

    /// The issue's task that waits or runs, as it was before `event`.
    async fn task(&self, event: &IssueEvent) -> Result<Option<(TaskRecord, TaskSpec)>, No> {
        let (repository, number) = (event.repository.clone(), event.issue.number);
        let look = move |queue: Queue| {
            let repository = repository.clone();
            async move {
                let Some(record) = queue.issue_task(&repository, number).await? else { return Ok(None) };
                Ok(queue.spec(&record.id).await?.map(|spec| (record, spec)))
            }
        };
        let Some((record, spec)) = self.queue.look(look).await? else { return Ok(None) };
        // Events may be told late, and in another order than they happened.
        if event.at_ms().zip(spec.triggered_at_ms).is_some_and(|(at_ms, since_ms)| at_ms < since_ms) {
            return Err(Ignored::Older(record.id.to_string()).into());
        }
        Ok(Some((record, spec)))
    }

    async fn start(
        &self,
        event: &IssueEvent,
        rules: &Rules<'_>,
        trigger: Trigger,
        wishes: &Wishes,
        text: &str,
    ) -> Result<Verdict, No> {
        let spec = snapshot::task_spec(event, trigger, wishes, text, rules, &self.classifier);
        let (task_id, specialty, priority) = (spec.id.clone(), spec.specialty.clone(), spec.priority);
        if let Some(verdict) = self.runs_used_up(event, rules).await? {
            return Ok(verdict);
        }
        match self.queue.enqueue_issue(spec, event.delivery.clone()).await? {
            IssueEnqueued::Created => Ok(Verdict::TaskCreated { task_id, specialty, priority }),
            IssueEnqueued::Duplicate { task } | IssueEnqueued::Delivered { task } => {
                Ok(Verdict::Duplicate { task_id: task })
            }
        }
    }

    /// An issue that starts itself again and again, by whatever way, comes to an end here.
    async fn runs_used_up(&self, event: &IssueEvent, rules: &Rules<'_>) -> Result<Option<Verdict>, No> {
        let runs_max = rules.runs_per_issue_per_day();
        let (repository, number) = (event.repository.clone(), event.issue.number);
        let look = move |queue: Queue| {
            let repository = repository.clone();
            async move {
                if queue.issue_runs(&repository, number).await? < runs_max {
                    return Ok(None);
                }
                queue.issue_task(&repository, number).await.map(Some)
            }
        };
        match self.queue.look(look).await? {
            None => Ok(None),
            Some(Some(task)) => Ok(Some(Verdict::Duplicate { task_id: task.id })),
            Some(None) => Err(Ignored::TooManyRuns { runs_max }.into()),
        }
    }

    async fn stop(&self, event: &IssueEvent, why: Stop, id: TaskId) -> Result<Verdict, No> {
        let who = short(&event.actor.login);
        let by = match why {
            Stop::Closed => format!("{who} closed the issue"),
            Stop::Unlabeled => format!("{who} removed the label"),
            Stop::Asked => format!("{who} asked for it by comment"),
        };
        let cancelled = self.queue.change({
            let id = id.clone();
            move |queue| {
                let (id, by) = (id.clone(), by.clone());
                async move { queue.cancel(&id, &by).await }
            }
        });
        match cancelled.await? {
            CancelAnswer::Cancelled => Ok(Verdict::TaskCancelled { task_id: id }),
            CancelAnswer::Requested => Ok(Verdict::CancelRequested { task_id: id }),
            CancelAnswer::AlreadySettled(_) | CancelAnswer::Unknown => Err(Ignored::NoTask.into()),
        }
    }
}

fn nothing_there(event: &IssueEvent, rules: &Rules<'_>) -> Ignored {
    match event.what {
        What::Labeled(_) => Ignored::OtherLabel { label: rules.trigger_label().to_owned() },
        _ => Ignored::NoTask,
    }
}

fn subject(event: &IssueEvent) -> String {
    format!("{}#{}", event.repository, event.issue.number)
}
