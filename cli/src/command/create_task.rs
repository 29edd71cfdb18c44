//! `create-task`: a task that waits for `run-task`, or goes into the queue at once.

use clap::Args;
use shared::{
    TaskSpec,
    queue::{Enqueued, IssueEnqueued, Queue},
};

use crate::{
    args::Global,
    embedded_redis::Need,
    error::CommandError,
    render,
    session::{Log, Session},
    task_args::TaskArgs,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claude-cluster create-task --repo owner/name --issue 42
  claude-cluster create-task --repo ../my-project --issue-file issue.md

Prints the task's id; run it with `claude-cluster run-task ID`.")]
pub struct CreateTask {
    #[command(flatten)]
    task: TaskArgs,
    /// Put it into the queue, for any worker of its specialty.
    #[arg(long)]
    enqueue: bool,
    #[arg(long)]
    json: bool,
}

impl CreateTask {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let session = Session::start(global, Vec::new(), Log::OneShot)?;
        let spec = self.task.spec(session.config()).await?;
        let connection = session.connect(Need::Use)?;
        let result = self.admit(&connection.queue, &spec).await;
        connection.close();
        let status = result?;
        if self.json {
            let answer = serde_json::json!({
                "task_id": spec.id, "status": status, "specialty": spec.specialty, "priority": spec.priority,
            });
            return render::json(&answer);
        }
        render::line(spec.id.as_str())
    }

    async fn admit(&self, queue: &Queue, spec: &TaskSpec) -> Result<&'static str, CommandError> {
        if self.enqueue {
            enqueue(queue, spec).await?;
            return Ok("pending");
        }
        match queue.hold(spec).await? {
            Enqueued::Created => Ok("held"),
            Enqueued::Exists { .. } => Err(taken(spec)),
        }
    }
}

/// Puts the task into the queue, unless its id or its issue is taken.
pub async fn enqueue(queue: &Queue, spec: &TaskSpec) -> Result<(), CommandError> {
    if queue.task(&spec.id).await?.is_some() {
        return Err(taken(spec));
    }
    if spec.issue.is_none() {
        return match queue.enqueue(spec).await? {
            Enqueued::Created => Ok(()),
            Enqueued::Exists { .. } => Err(taken(spec)),
        };
    }
    match queue.enqueue_issue(spec, None).await? {
        IssueEnqueued::Created => Ok(()),
        IssueEnqueued::Duplicate { task } | IssueEnqueued::Delivered { task } => {
            Err(CommandError::WrongState(format!("the issue already has an active task: {task}")))
        }
    }
}

fn taken(spec: &TaskSpec) -> CommandError {
    CommandError::WrongState(format!("a task with the id {} exists already", spec.id))
}
