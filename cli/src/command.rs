//! One file a command: its options, and what it does.

pub mod agents;
pub mod cancel;
pub mod classify;
pub mod config_show;
pub mod create_task;
pub mod drain;
pub mod events;
pub mod github;
pub mod ingest;
pub mod join_command;
pub mod logs;
pub mod pause;
pub mod run_task;
pub mod setup;
pub mod start_coordinator;
pub mod start_node;
pub mod status;
pub mod tasks;
pub mod up;
pub mod wait;
pub mod worker;
pub mod workflow;

use ::ingest::classify::Classifier;
use shared::{Specialty, TaskId, TaskRecord, queue::Queue};

use crate::{
    args::Global,
    embedded_redis::Need,
    error::CommandError,
    session::{Log, Session},
};

/// A task id on the command line.
pub fn task_id(text: &str) -> Result<TaskId, String> {
    text.parse().map_err(|error: shared::task_id::InvalidTaskId| error.to_string())
}

/// Connects to the queue, does `what` there, and closes.
async fn on_queue<T>(
    global: &Global,
    what: impl AsyncFnOnce(&Session, &Queue) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let session = Session::start(global, Vec::new(), Log::OneShot)?;
    let connection = session.connect(Need::Read)?;
    let result = what(&session, &connection.queue).await;
    connection.close();
    result
}

/// The specialty that `name` or an alias of it means; one that had tasks or workers, or that the classifier knows.
async fn known_specialty(session: &Session, queue: &Queue, name: &str) -> Result<Specialty, CommandError> {
    let classifier = Classifier::load(&session.config().classify)?;
    if let Some(known) = classifier.resolve_alias(name) {
        return Ok(known);
    }
    let specialties = queue.specialties().await?;
    if let Some(known) = specialties.iter().find(|known| known.as_str() == name) {
        return Ok(known.clone());
    }
    let mut names: Vec<&str> =
        classifier.specialties().iter().chain(&specialties).map(Specialty::as_str).collect();
    names.sort_unstable();
    names.dedup();
    Err(CommandError::Usage(format!("there is no specialty '{name}'; there are {}", names.join(", "))))
}

/// A task that a command cannot change in the state it is in.
fn wrong_state(record: &TaskRecord, wish: &str) -> CommandError {
    let advice = match record.status.name() {
        "active" => "cancel it, or take it from its worker with `tasks release --force`",
        "pending" | "delayed" | "held" => "cancel it first with `cancel`",
        _ => "it has ended; `tasks retry` runs one that failed or was cancelled again",
    };
    CommandError::WrongState(format!(
        "task {} is {} and cannot be {wish}: {advice}",
        record.id,
        record.status.name()
    ))
}
