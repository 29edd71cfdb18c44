//! What becomes of an event, from the list of repositories on: one way for webhooks and for what polls find.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    Priority, Specialty, Status, TaskId, TaskRecord, TaskSpec,
    config::{Config, Rules},
    queue::{Asked, CancelAnswer, Change, IssueEnqueued, Queue, QueueError},
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
    teller::Teller,
    trigger::{self, Ignored, Parts, Step, Stop, short},
    trust::{self, Distrust},
};

/// What comments may ask of one task besides the issue.
const REQUIREMENTS_MAX: usize = 20;

/// What events are judged by, and where their tasks go.
pub struct Gate {
    pub config: Arc<Config>,
    pub classifier: Arc<Classifier>,
    pub queue: BoundedQueue,
    pub permissions: Permissions,
    pub teller: Teller,
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
    /// A waiting task has other words, another priority or another specialty now.
    TaskChanged {
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
                self.teller.tell(event, &verdict);
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
            (Step::Change(parts), Some((record, Some(spec)))) => {
                self.change(event, parts, record, &spec).await
            }
            (Step::Change(_), Some((record, None))) => Err(Ignored::Runs(record.id.to_string()).into()),
            (_, None) => Err(Ignored::NoTask.into()),
        }
    }

    /// The issue's task that waits or runs, if it did so before `event`. Its specification is missing in the moment
    /// of a move, and where somebody removed it.
    async fn task(&self, event: &IssueEvent) -> Result<Option<(TaskRecord, Option<TaskSpec>)>, No> {
        let (repository, number) = (event.repository.clone(), event.issue.number);
        let look = move |queue: Queue| {
            let repository = repository.clone();
            async move {
                let Some(record) = queue.issue_task(&repository, number).await? else { return Ok(None) };
                let spec = queue.spec(&record.id).await?;
                Ok(Some((record, spec)))
            }
        };
        let Some((record, spec)) = self.queue.look(look).await? else { return Ok(None) };
        // Events may be told late, and in another order than they happened.
        let since_ms = spec.as_ref().and_then(|spec| spec.triggered_at_ms);
        if event.at_ms().zip(since_ms).is_some_and(|(at_ms, since_ms)| at_ms < since_ms) {
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
        let asks = trigger == Trigger::Comment;
        let spec = snapshot::task_spec(event, trigger, wishes, text, rules, &self.classifier);
        let (task_id, specialty, priority) = (spec.id.clone(), spec.specialty.clone(), spec.priority);
        let requirements = spec.requirements.clone();
        if let Some(verdict) = self.runs_used_up(event, rules).await? {
            return Ok(verdict);
        }
        match self.queue.enqueue_issue(spec, event.delivery.clone()).await? {
            IssueEnqueued::Created => Ok(Verdict::TaskCreated { task_id, specialty, priority }),
            // Told again, it may not have come that far before.
            IssueEnqueued::Duplicate { task } | IssueEnqueued::Delivered { task } if asks => {
                self.wish(event, task, wishes.clone(), requirements).await
            }
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

    /// What a comment wants of a task that was there before it.
    async fn wish(
        &self,
        event: &IssueEvent,
        task: TaskId,
        wishes: Wishes,
        requirements: Vec<String>,
    ) -> Result<Verdict, No> {
        if wishes == Wishes::default() && requirements.is_empty() {
            return Ok(Verdict::Duplicate { task_id: task });
        }
        let Some((record, Some(spec))) = self.task(event).await? else {
            return Ok(Verdict::Duplicate { task_id: task });
        };
        // The task that this very comment has started has it all.
        let own = spec.trigger == Trigger::Comment && spec.triggered_at_ms == event.at_ms();
        if record.id != task || own {
            return Ok(Verdict::Duplicate { task_id: task });
        }
        let more: Vec<String> =
            requirements.into_iter().filter(|text| !spec.requirements.contains(text)).collect();
        if spec.requirements.len() + more.len() > REQUIREMENTS_MAX {
            return Err(Ignored::TooManyRequirements(task.to_string()).into());
        }
        let requirements = (!more.is_empty()).then(|| [spec.requirements, more].concat());
        self.apply(event, record, Change { requirements, ..Change::default() }, wishes).await
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

    /// Only what this very edit has changed enters: the rest may be what somebody untrusted wrote since.
    async fn change(
        &self,
        event: &IssueEvent,
        parts: Parts,
        record: TaskRecord,
        spec: &TaskSpec,
    ) -> Result<Verdict, No> {
        let Parts { title, body, labels } = parts;
        let now = snapshot::words(&event.issue);
        let change = Change {
            title: Some(now.title).filter(|new| title && *new != spec.title),
            body: Some(now.body).filter(|new| body && *new != spec.body),
            labels: Some(now.labels).filter(|new| labels && *new != spec.labels),
            requirements: None,
        };
        if change == Change::default() {
            return Err(Ignored::NothingChanged.into());
        }
        let wishes = self.labels_wish(spec, change.labels.as_deref());
        self.apply(event, record, change, wishes).await
    }

    /// What the labels want that they did not want before. What a comment or a person asked for stays otherwise.
    fn labels_wish(&self, spec: &TaskSpec, labels: Option<&[String]>) -> Wishes {
        let Some(labels) = labels else { return Wishes::default() };
        let before = self.classifier.classify(&spec.title, &spec.body, &spec.labels);
        let after = self.classifier.classify(&spec.title, &spec.body, labels);
        Wishes {
            specialty: Some(after.specialty).filter(|new| *new != before.specialty),
            priority: Some(after.priority).filter(|new| *new != before.priority),
        }
    }

    /// Changes a task that waits.
    async fn apply(
        &self,
        event: &IssueEvent,
        record: TaskRecord,
        change: Change,
        wishes: Wishes,
    ) -> Result<Verdict, No> {
        let id = record.id;
        if matches!(record.status, Status::Active { .. }) {
            return Err(Ignored::Runs(id.to_string()).into());
        }
        let by = short(&event.actor.login);
        let changed = self.queue.change({
            let id = id.clone();
            move |queue| {
                let (id, change, wishes, by) = (id.clone(), change.clone(), wishes.clone(), by.clone());
                async move { carry_out(&queue, &id, &change, &wishes, &by).await }
            }
        });
        match changed.await? {
            Asked::Done => Ok(Verdict::TaskChanged { task_id: id }),
            Asked::WrongState(_) => Err(Ignored::Runs(id.to_string()).into()),
            Asked::Unknown => Err(Ignored::NoTask.into()),
        }
    }
}

/// The words last: told again after an outage, the event still finds what it asks for to be different.
async fn carry_out(
    queue: &Queue,
    id: &TaskId,
    change: &Change,
    wishes: &Wishes,
    by: &str,
) -> Result<Asked, QueueError> {
    let mut asked = Asked::Done;
    if let Some(priority) = wishes.priority {
        asked = queue.move_priority(id, priority, by).await?;
    }
    if let (Asked::Done, Some(specialty)) = (&asked, &wishes.specialty) {
        asked = queue.move_specialty(id, specialty, by).await?;
    }
    if asked == Asked::Done && *change != Change::default() {
        asked = queue.change(id, change, by).await?;
    }
    Ok(asked)
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
