//! `status`: how many tasks are where, or all about one.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use shared::{
    Specialty, TaskId, TaskRecord,
    lifecycle::{Status as TaskStatus, UnixMs},
    queue::{Counts, Queue},
    worker_info::WorkerState,
};

use super::{agents, task_id};
use crate::{
    args::Global,
    clock,
    coordinator_args::CoordinatorArgs,
    embedded_redis::Need,
    error::CommandError,
    phase_times::{self, PhaseTime},
    render,
    session::{Log, Session},
};

#[derive(Debug, Args)]
pub struct Status {
    /// One task instead of the whole cluster.
    #[arg(long, value_name = "ID", value_parser = task_id)]
    task_id: Option<TaskId>,
    /// The workers too; with --json what GET /api/cluster/status answers.
    #[arg(long, conflicts_with = "task_id")]
    show_cluster: bool,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    #[arg(long)]
    json: bool,
}

/// One specialty's line.
#[derive(Serialize)]
struct Line {
    specialty: Specialty,
    #[serde(flatten)]
    counts: Counts,
    /// Online workers that take its tasks.
    workers: usize,
    /// Why what waits does not run, where that is known.
    waits: Option<String>,
}

/// A task and the line that says why it is where it is.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    record: TaskRecord,
    why: Option<String>,
}

impl Status {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let mut session = Session::start(global, Vec::new(), Log::OneShot)?;
        if self.show_cluster {
            self.coordinator.apply(&mut session);
        } else {
            self.coordinator.refuse_without("--show-cluster")?;
        }
        let connection = session.connect(Need::Read)?;
        let result = match &self.task_id {
            Some(id) => show(&connection.queue, id, self.json).await,
            None if self.show_cluster => self.cluster(&connection.queue).await,
            None => self.all(&connection.queue).await,
        };
        connection.close();
        result
    }

    async fn cluster(&self, queue: &Queue) -> Result<(), CommandError> {
        if self.json {
            return render::json(&ingest::cluster_status(queue).await?);
        }
        agents::print_table(&queue.workers().await?)?;
        render::line("")?;
        self.all(queue).await
    }

    async fn all(&self, queue: &Queue) -> Result<(), CommandError> {
        let workers = queue.workers().await?;
        let mut lines = Vec::new();
        for specialty in queue.specialties().await? {
            let counts = queue.counts(&specialty).await?;
            let online = workers.iter().filter(|worker| worker.takes(&specialty)).count();
            let why = queue.why_specialty(&specialty, counts.pending, &workers).await?;
            let waits = why.map(|why| why.to_string());
            lines.push(Line { specialty, counts, workers: online, waits });
        }
        if self.json {
            let online = workers.iter().filter(|w| matches!(w, WorkerState::Online(_))).count();
            return render::json(&serde_json::json!({ "workers_online": online, "specialties": lines }));
        }
        if lines.is_empty() {
            return render::line(
                "no task yet; make one with `claude-cluster create-task`, or send a webhook",
            );
        }
        let heading = [
            "SPECIALTY",
            "WORKERS",
            "HELD",
            "PENDING",
            "ACTIVE",
            "DELAYED",
            "COMPLETED",
            "FAILED",
            "CANCELLED",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(lines.iter().map(Line::row));
        render::table(&rows)?;
        for line in &lines {
            if let Some(reason) = &line.waits {
                render::line(format!(
                    "{}: {} pending because {reason}",
                    line.specialty, line.counts.pending
                ))?;
            }
        }
        Ok(())
    }
}

impl Line {
    fn row(&self) -> Vec<String> {
        let c = &self.counts;
        let numbers = [c.held, c.pending, c.active, c.delayed, c.completed, c.failed, c.cancelled];
        let mut row = vec![self.specialty.to_string(), self.workers.to_string()];
        row.extend(numbers.map(|number| number.to_string()));
        row
    }
}

/// Prints all about one task.
pub async fn show(queue: &Queue, id: &TaskId, json: bool) -> Result<(), CommandError> {
    let record = queue.task(id).await?.ok_or_else(|| CommandError::NoSuchTask(id.clone()))?;
    let why = queue.why(&record).await?.map(|why| why.to_string());
    if json {
        return render::json(&Shown { record, why });
    }
    let mut lines = describe(&record, clock::now());
    lines.extend(
        why.map(|why| (if record.status == TaskStatus::Pending { "waits because" } else { "why" }, why)),
    );
    lines.extend(phase_line(&phase_times::read(queue, &record).await?));
    print_lines(lines)
}

/// Prints lines of name and value.
pub fn print_lines(lines: Vec<(&'static str, String)>) -> Result<(), CommandError> {
    let rows: Vec<_> = lines.into_iter().map(|(name, value)| vec![format!("{name}:"), value]).collect();
    render::table(&rows)
}

/// All phases on one line.
pub fn phase_line(times: &[PhaseTime]) -> Option<(&'static str, String)> {
    let parts: Vec<String> =
        times.iter().map(|time| format!("{} {}", time.phase, render::duration(time.duration()))).collect();
    (!parts.is_empty()).then(|| ("times", parts.join(", ")))
}

/// A task as lines of name and value.
pub fn describe(record: &TaskRecord, now: UnixMs) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("task", record.id.to_string()),
        ("status", record.status.name().to_owned()),
        ("title", record.title.clone()),
        ("repository", record.repository.to_string()),
    ];
    lines.extend(record.issue.map(|number| ("issue", format!("#{number}"))));
    lines.push(("specialty", record.specialty.to_string()));
    lines.push(("priority", record.priority.to_string()));
    lines.push(("created", render::ago(record.created_at, now)));
    lines.push((
        "runs",
        format!("{} ({} transient failures, {} lost workers)", record.runs, record.attempts, record.lost),
    ));
    if record.micro_usd > 0 {
        lines.push(("cost", render::usd(record.micro_usd)));
    }
    lines.extend(details(&record.status, record.created_at, now));
    lines
}

fn details(status: &TaskStatus, created_at: UnixMs, now: UnixMs) -> Vec<(&'static str, String)> {
    let after = |finished_at: UnixMs| {
        let length = render::duration(Duration::from_millis(finished_at.saturating_sub(created_at)));
        ("ended", format!("{}, {length} after it was created", render::ago(finished_at, now)))
    };
    match status {
        TaskStatus::Held | TaskStatus::Pending => Vec::new(),
        TaskStatus::Active { worker, claimed_at, phase, cancel_requested, .. } => {
            let mut lines = vec![
                ("worker", worker.clone()),
                ("claimed", render::ago(*claimed_at, now)),
                ("phase", phase.clone()),
            ];
            if *cancel_requested {
                lines.push(("cancel", "requested".to_owned()));
            }
            lines
        }
        TaskStatus::Delayed { due_at } => {
            let wait = render::duration(Duration::from_millis(due_at.saturating_sub(now)));
            vec![("retried", format!("in {wait}"))]
        }
        TaskStatus::Completed { finished_at, result } => {
            let mut lines = vec![after(*finished_at), ("outcome", result.outcome.clone())];
            let optional = [
                ("branch", &result.branch),
                ("commit", &result.commit),
                ("url", &result.url),
                ("tests", &result.tests),
                ("answer", &result.message),
            ];
            lines.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
            lines
        }
        TaskStatus::Failed { finished_at, class, message, branch } => {
            let mut lines = vec![after(*finished_at), ("failure", format!("{class}: {message}"))];
            lines.extend(branch.clone().map(|branch| ("branch", branch)));
            lines
        }
        TaskStatus::Cancelled { finished_at, reason } => {
            vec![after(*finished_at), ("reason", reason.clone())]
        }
    }
}
