//! `workflow --distributed`: the cluster's workers do it, and this process looks on.

use std::time::Duration;

use shared::{TaskId, TaskRecord, TaskSpec, lifecycle::Status, queue::Queue};
use tokio_util::sync::CancellationToken;

use super::{Progress, conclude, verdict};
use crate::{
    args::Global,
    command::create_task,
    error::CommandError,
    render,
    signals::{Signals, Urgency},
};

/// How often the task is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long a task may wait before somebody is told why it does.
const PATIENCE: Duration = Duration::from_secs(2);

/// Puts the task into the queue and follows it until it has ended; then tells of it as a run in this process does.
pub async fn run(
    global: &Global,
    queue: &Queue,
    spec: &TaskSpec,
    api: Option<&str>,
    json: bool,
) -> Result<(), CommandError> {
    let mut signals = Signals::listen(global.part_of).map_err(CommandError::io("handle signals"))?;
    create_task::enqueue(queue, spec).await?;
    if let Some(api) = api.filter(|_| !json) {
        render::line(format!("task: {api}/api/tasks/{}", spec.id))?;
    }
    let over = CancellationToken::new();
    let progress = tokio::spawn(Progress::new(queue.clone(), spec.id.clone(), json).show(over.clone()));
    let settled = tokio::select! {
        settled = settled(queue, &spec.id) => Some(settled),
        _ = signals.wait(Urgency::Drain) => None,
    };
    over.cancel();
    progress.await.map_err(|error| CommandError::Internal(error.to_string()))??;
    if let Some(settled) = settled {
        let record = settled?;
        conclude(queue, &record, json).await?;
        return verdict(&record, &signals);
    }
    tracing::warn!("the cluster goes on with it; follow it with: claude-cluster logs -f {}", spec.id);
    Err(CommandError::Stopped { signal: signals.request().map_or(0, |request| request.signal) })
}

/// The record of the task once it has ended. Redis may be away for a while.
async fn settled(queue: &Queue, id: &TaskId) -> Result<TaskRecord, CommandError> {
    let mut waiting = Duration::ZERO;
    loop {
        match queue.task(id).await {
            Ok(None) => return Err(CommandError::NoSuchTask(id.clone())),
            Ok(Some(record)) if record.status.is_settled() => return Ok(record),
            Ok(Some(record)) if matches!(record.status, Status::Pending) => {
                waiting += LOOK;
                // Once each time that it waits.
                if (PATIENCE..PATIENCE + LOOK).contains(&waiting)
                    && let Ok(Some(reason)) = queue.why(&record).await
                {
                    tracing::warn!(specialty = %record.specialty, "the task waits because {reason}");
                }
            }
            Ok(Some(_)) => waiting = Duration::ZERO,
            Err(error) if error.is_passing() => tracing::debug!(%error, "waiting for redis"),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(LOOK).await;
    }
}
