//! Whether the queue and its model say the same.

use shared::Status;
use testkit::audit;

use super::{EVENTS_MAX, Play, id, named, same, text};
use crate::{
    operation::{PRIORITIES, SPECIALTIES, TASKS},
    world::{self, State},
};

impl Play {
    pub(super) async fn compare_counts(&mut self) -> Result<(), String> {
        for (specialty, name) in SPECIALTIES.iter().enumerate() {
            let counts = self.queue.counts(&named(specialty)).await.map_err(text)?;
            let world = &self.world;
            let count = |status: &str| {
                let here = |task: &&world::Task| task.specialty == specialty && task.status() == status;
                world.tasks.values().filter(here).count() as u64
            };
            let expected =
                ["held", "pending", "active", "delayed", "completed", "failed", "cancelled"].map(count);
            let answer = [
                counts.held,
                counts.pending,
                counts.active,
                counts.delayed,
                counts.completed,
                counts.failed,
                counts.cancelled,
            ];
            same(&answer, &expected).map_err(|what| format!("counts of {name}: {what}"))?;
            let key = format!("{}:{{{}}}:wake", self.prefix, name);
            let marker: bool = redis::cmd("EXISTS").arg(key).query(&mut self.connection).map_err(text)?;
            same(&marker, &world.shelves[specialty].marker).map_err(|what| format!("the marker: {what}"))?;
        }
        Ok(())
    }

    /// Every task, and all that Redis keeps.
    pub(super) async fn compare_all(&mut self) -> Result<(), String> {
        for task in 0..TASKS {
            self.compare_task(task).await.map_err(|what| format!("t{task}: {what}"))?;
        }
        for specialty in 0..SPECIALTIES.len() {
            let waiting = self.queue.waiting(&named(specialty)).await.map_err(text)?;
            let answer = [waiting.high.tasks, waiting.medium.tasks, waiting.low.tasks];
            let expected = [0, 1, 2].map(|priority| {
                let line = self.world.line(specialty);
                line.iter().filter(|task| self.world.tasks[task].priority == priority).count() as u64
            });
            same(&answer, &expected).map_err(|what| format!("what waits: {what}"))?;
        }
        let limits = audit::Limits {
            finished_count_max: self.world.keep,
            events_count_max: EVENTS_MAX as usize,
            ..audit::Limits::default()
        };
        let audit = audit::audit_at(&mut self.connection, &self.prefix, &limits).map_err(text)?;
        if audit.findings.is_empty() { Ok(()) } else { Err(audit.findings.join("\n")) }
    }

    async fn compare_task(&self, task: usize) -> Result<(), String> {
        let record = self.queue.task(&id(task)).await.map_err(text)?;
        let expected = self.world.tasks.get(&task);
        let (Some(record), Some(expected)) = (&record, expected) else {
            return same(&record.map(|r| r.status), &expected.map(|task| panic!("{task:?}")));
        };
        same(
            &(record.status.name(), record.priority.as_str(), record.specialty.as_str()),
            &(expected.status(), PRIORITIES[expected.priority], SPECIALTIES[expected.specialty]),
        )?;
        same(
            &(record.runs, record.attempts, record.lost),
            &(expected.runs, expected.attempts, expected.lost),
        )?;
        match &record.status {
            Status::Active { worker, fence, cancel_requested, .. } => {
                let (holder, newest) = expected.holder.as_ref().expect("it is held");
                same(&(worker, fence, *cancel_requested), &(&holder.node, newest, expected.cancel))?;
            }
            Status::Failed { class, .. } => {
                let class = class.as_str();
                if !matches!(expected.state, State::Failed { class: meant, .. } if meant == class) {
                    return Err(format!("failed as {class}, meant {:?}", expected.state));
                }
            }
            Status::Cancelled { reason, .. } => same(&reason.as_str(), &"ada")?,
            _ => {}
        }
        let spec = self.queue.spec(&id(task)).await.map_err(text)?;
        let kept = !matches!(expected.state, State::Completed { .. });
        same(&spec, &kept.then(|| self.specs[&task].clone()))
    }
}
