//! A task as the API shows it.

use serde::Serialize;
use shared::{
    FailureClass, Priority, RepositoryName, Specialty, Status, TaskId, TaskRecord, TaskSpec,
    lifecycle::{LastRun, Settled, UnixMs, workspace_name},
    queue::{Queue, QueueError},
};

use super::timestamp::Timestamp;

/// The fields of the data model, then those that say more. What is not known, or not yet, is `null`.
#[derive(Debug, Serialize)]
pub struct TaskView {
    id: TaskId,
    github_issue_id: Option<u64>,
    repository_name: RepositoryName,
    title: String,
    #[serde(flatten)]
    request: Option<Request>,
    specialty: Specialty,
    priority: Priority,
    status: &'static str,
    assigned_agent_id: Option<String>,
    workspace_path: Option<String>,
    pr_url: Option<String>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    error_message: Option<String>,
    error_class: Option<FailureClass>,
    outcome: Option<String>,
    branch: Option<String>,
    commit: Option<String>,
    tests: Option<String>,
    answer: Option<String>,
    phase: Option<String>,
    cancel_requested: bool,
    retry_at: Option<Timestamp>,
    waits_because: Option<String>,
    /// Why the task is where it is, also when it runs.
    why: Option<String>,
    runs: u32,
    attempts: u32,
    lost_workers: u32,
    /// Of all runs, as far as agents told.
    cost_usd: f64,
}

/// What stands in the specification alone: shown of one task, not in lists. Completed tasks keep none.
#[derive(Debug, Serialize)]
struct Request {
    description: Option<String>,
    requirements: Option<Vec<String>>,
    labels: Option<Vec<String>>,
    /// Why the task has its specialty and priority.
    reasons: Option<Vec<String>>,
}

impl TaskView {
    /// What the record tells; `workspace_root` is that of the worker that runs the task.
    pub fn of(record: TaskRecord, workspace_root: Option<&str>) -> Self {
        let status = record.status.name();
        let run = assigned(&record.status, record.last_run);
        let mut view = Self {
            github_issue_id: record.issue,
            repository_name: record.repository,
            title: record.title,
            request: None,
            specialty: record.specialty,
            priority: record.priority,
            status,
            started_at: run.as_ref().map(|run| Timestamp(run.claimed_at)),
            assigned_agent_id: run.map(|run| run.worker),
            workspace_path: None,
            pr_url: None,
            created_at: Timestamp(record.created_at),
            completed_at: None,
            error_message: None,
            error_class: None,
            outcome: None,
            branch: None,
            commit: None,
            tests: None,
            answer: None,
            phase: None,
            cancel_requested: false,
            retry_at: None,
            waits_because: None,
            why: None,
            runs: record.runs,
            attempts: record.attempts,
            lost_workers: record.lost,
            cost_usd: record.micro_usd as f64 / 1_000_000.0,
            id: record.id,
        };
        match record.status {
            Status::Held | Status::Pending => {}
            Status::Delayed { due_at } => view.retry_at = Some(Timestamp(due_at)),
            Status::Active { fence, phase, cancel_requested, .. } => {
                view.workspace_path =
                    workspace_root.map(|root| format!("{root}/{}", workspace_name(&view.id, fence)));
                view.phase = Some(phase);
                view.cancel_requested = cancel_requested;
            }
            Status::Completed { finished_at, result } => view.completed(finished_at, result),
            Status::Failed { finished_at, class, message, branch } => {
                view.completed_at = Some(Timestamp(finished_at));
                view.error_message = Some(message);
                view.error_class = Some(class);
                view.branch = branch;
            }
            Status::Cancelled { finished_at, reason } => {
                view.completed_at = Some(Timestamp(finished_at));
                view.error_message = Some(reason);
            }
        }
        view
    }

    fn completed(&mut self, finished_at: UnixMs, result: Settled) {
        self.completed_at = Some(Timestamp(finished_at));
        self.pr_url = result.url;
        self.outcome = Some(result.outcome);
        self.branch = result.branch;
        self.commit = result.commit;
        self.tests = result.tests;
        self.answer = result.message;
    }

    /// All about the task `id`; `None` where there is none.
    pub async fn read(queue: &Queue, id: &TaskId) -> Result<Option<Self>, QueueError> {
        match queue.task(id).await? {
            Some(record) => Self::complete(queue, record).await.map(Some),
            None => Ok(None),
        }
    }

    /// The record with what stands elsewhere.
    pub async fn complete(queue: &Queue, record: TaskRecord) -> Result<Self, QueueError> {
        let spec = queue.spec(&record.id).await?;
        let worker = match &record.status {
            Status::Active { worker, .. } => queue.worker(worker).await?,
            _ => None,
        };
        let why = queue.why(&record).await?.map(|why| why.to_string());
        let mut view = Self::of(record, worker.as_ref().map(|worker| worker.workspace_root.as_str()));
        view.waits_because = why.clone().filter(|_| view.status == "pending");
        view.why = why;
        view.specify(spec);
        Ok(view)
    }

    fn specify(&mut self, spec: Option<TaskSpec>) {
        let mut request = Request { description: None, requirements: None, labels: None, reasons: None };
        if let Some(spec) = spec {
            // The record's is cut.
            self.title = spec.title;
            request.description = Some(spec.body);
            request.requirements = Some(spec.requirements);
            request.labels = Some(spec.labels);
            request.reasons = Some(spec.classification.reasons);
        }
        self.request = Some(request);
    }

    pub fn id(&self) -> &TaskId {
        &self.id
    }
}

/// The run that counts: a task that waits has no agent, even when it had one before.
fn assigned(status: &Status, last_run: Option<LastRun>) -> Option<LastRun> {
    match status {
        Status::Held | Status::Pending | Status::Delayed { .. } => None,
        Status::Active { .. }
        | Status::Completed { .. }
        | Status::Failed { .. }
        | Status::Cancelled { .. } => last_run,
    }
}
