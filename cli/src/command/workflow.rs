//! `workflow`: one issue, from its text to the pushed branch, in this process or by the cluster.

mod distributed;
mod progress;

use clap::Args;
use shared::{
    TaskId, TaskRecord,
    lifecycle::Status,
    queue::{Enqueued, Queue},
};
use tokio_util::sync::CancellationToken;
use worker::{HeldEnd, Stop, StopLevel};

use self::progress::Progress;
use crate::{
    agent_args::AgentArgs,
    args::Global,
    clock,
    command::status::{describe, phase_line, print_lines},
    coordinator_args::CoordinatorArgs,
    embedded_redis::Need,
    environment,
    error::CommandError,
    phase_times, render,
    session::{Connection, Log, Session},
    signals::{Signals, Urgency},
    task_args::TaskArgs,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claude-cluster workflow --repo owner/name --issue 42
  claude-cluster workflow --repo ../my-project --issue-file issue.md
  claude-cluster workflow --repo ./name.git --issue-file - --agent-command 'my-agent --fast' < issue.md
  claude-cluster workflow --repo owner/name --issue-file issue.md --distributed

Needs no configuration. First Ctrl-C: the run is stopped and the task goes into the queue. Second: it is cancelled. \
Third: leaves at once. With --distributed, Ctrl-C ends the following, and the cluster goes on with the task.

Ends with 0 when there is a result, 1 when the task failed, 7 when it was cancelled.")]
pub struct Workflow {
    #[command(flatten)]
    task: TaskArgs,
    #[command(flatten)]
    agent: AgentArgs,
    /// Leaves the work to the cluster's workers, and follows it until it has ended.
    #[arg(long)]
    distributed: bool,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Prints the task's record at the end, and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

impl Workflow {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let agent = self.agent.overrides()?;
        if self.distributed && !agent.is_empty() {
            let message = "which agent works is the workers' matter; leave --agent and --agent-command out";
            return Err(CommandError::Usage(message.to_owned()));
        }
        let mut session = Session::start(global, agent, Log::OneShot)?;
        let mut api = None;
        if self.distributed {
            api = self.coordinator.apply(&mut session);
        } else {
            self.coordinator.refuse_without("--distributed")?;
        }
        let spec = self.task.spec(session.config()).await?;
        let connection = session.connect(Need::Serve)?;
        let result = async {
            connection.require_usable().await?;
            if self.distributed {
                return distributed::run(global, &connection.queue, &spec, api.as_deref(), self.json).await;
            }
            if let Enqueued::Exists { .. } = connection.queue.hold(&spec).await? {
                let message = format!("a task with the id {} exists already", spec.id);
                return Err(CommandError::WrongState(message));
            }
            run_held(global, &session, &connection, &spec.id, self.json).await
        };
        let result = result.await;
        connection.close();
        result
    }
}

/// Runs the held task `id` in this process, shows how it goes and how it ended.
pub async fn run_held(
    global: &Global,
    session: &Session,
    connection: &Connection,
    id: &TaskId,
    json: bool,
) -> Result<(), CommandError> {
    let queue = &connection.queue;
    let signals = Signals::listen(global.part_of).map_err(CommandError::io("handle signals"))?;
    let (told, stop) = Stop::channel();
    let watch = tokio::spawn(obey(signals.clone(), told, queue.clone(), id.clone()));
    let over = CancellationToken::new();
    let progress = tokio::spawn(Progress::new(queue.clone(), id.clone(), json).show(over.clone()));
    let config = session.config().clone();
    let run =
        worker::run_held(config, queue.clone(), session.state_dir.clone(), session.host()?, stop, id.clone());
    let end = Box::pin(run).await;
    over.cancel();
    watch.abort();
    progress.await.map_err(|error| CommandError::Internal(error.to_string()))??;
    let record = match end? {
        HeldEnd::Unknown => return Err(CommandError::NoSuchTask(id.clone())),
        end => {
            let record = queue.task(id).await?.ok_or_else(|| CommandError::NoSuchTask(id.clone()))?;
            if end == HeldEnd::NotHeld {
                let message =
                    format!("task {id} is {}, and only a held one can be run so", record.status.name());
                return Err(CommandError::WrongState(message));
            }
            record
        }
    };
    conclude(queue, &record, json).await?;
    verdict(&record, &signals)
}

/// First request: give the task back. Second: cancel it, wherever it is then.
async fn obey(mut signals: Signals, told: worker::StopSender, queue: Queue, id: TaskId) {
    signals.wait(Urgency::Drain).await;
    told.raise(StopLevel::Release);
    signals.wait(Urgency::Now).await;
    if let Err(error) = queue.cancel(&id, &format!("cancelled by {}", environment::user())).await {
        tracing::warn!(%error, "the task could not be cancelled");
    }
}

async fn conclude(queue: &Queue, record: &TaskRecord, json: bool) -> Result<(), CommandError> {
    let times = phase_times::read(queue, record).await?;
    if json {
        return render::json(&serde_json::json!({ "task": record, "phases": times }));
    }
    render::line("")?;
    let mut lines = describe(record, clock::now());
    lines.extend(phase_line(&times));
    print_lines(lines)
}

/// What the end of the run means to whoever asked for it.
fn verdict(record: &TaskRecord, signals: &Signals) -> Result<(), CommandError> {
    match &record.status {
        Status::Completed { .. } => Ok(()),
        Status::Failed { class, message, .. } => Err(CommandError::TaskFailed(format!("{class}: {message}"))),
        Status::Cancelled { reason, .. } => Err(CommandError::TaskCancelled(reason.clone())),
        unfinished => {
            if let Some(request) = signals.request() {
                tracing::warn!(task = %record.id, "the task is back in the queue, for the next worker");
                return Err(CommandError::Stopped { signal: request.signal });
            }
            Err(CommandError::TaskFailed(format!(
                "not finished; it is {} and goes on when a worker runs (claude-cluster worker); see: claude-cluster logs {}",
                unfinished.name(),
                record.id
            )))
        }
    }
}
