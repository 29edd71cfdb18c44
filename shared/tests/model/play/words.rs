//! What workers say with a lease, in time or late.

use std::time::Duration;

use shared::{
    Failure, Outcome, TaskSpec,
    lifecycle::Fence,
    queue::{Claimed, Lease},
    task_log::{LogLine, LogStream},
};

use super::{Play, RENEWED_MAX, id, named, place, same, text};
use crate::{
    operation::Operation,
    world::{State, TICK_MS},
};

impl Play {
    /// The lease that so many others are newer than, counted round.
    pub(super) fn newest(&self, back: usize) -> Option<(usize, Lease)> {
        self.leases.iter().rev().nth(back % self.leases.len().max(1)).cloned()
    }

    /// Keeps the lease, which must be newer than all of its task, with the specification that was enqueued.
    pub(super) fn take(&mut self, claimed: Claimed) -> Result<(), String> {
        let task = place(&claimed.lease.id);
        if let Some((_, older)) =
            self.leases.iter().find(|(of, l)| *of == task && l.fence >= claimed.lease.fence)
        {
            return Err(format!("fence {} is not above {}", claimed.lease.fence, older.fence));
        }
        // The priority is that of the record; what is handed out says how it was enqueued.
        let spec = claimed.spec.map(|spec| TaskSpec { priority: self.specs[&task].priority, ..spec });
        same(&spec, &Ok(self.specs[&task].clone()))?;
        let expected = &self.world.tasks[&task];
        same(
            &(claimed.runs, claimed.attempts, claimed.alone),
            &(expected.runs, expected.attempts, expected.alone),
        )?;
        self.leases.push((task, claimed.lease));
        Ok(())
    }

    pub(super) async fn holding(&mut self, worker: usize, specialty: usize) -> Result<(), String> {
        let holder = self.holder(worker);
        let held = self.queue.holding(&holder, &named(specialty)).await.map_err(text)?;
        let mut answer: Vec<(usize, Fence)> =
            held.iter().map(|claimed| (place(&claimed.lease.id), claimed.lease.fence)).collect();
        answer.sort_unstable();
        let expected: Vec<(usize, Fence)> = self
            .world
            .tasks
            .iter()
            .filter(|(_, task)| task.specialty == specialty && task.entered)
            .filter(|(_, task)| matches!(task.state, State::Active { .. }))
            .filter_map(|(id, task)| task.holder.as_ref().map(|(of, fence)| (*id, of, *fence)))
            .filter(|(_, of, _)| **of == holder)
            .map(|(id, _, fence)| (id, fence))
            .collect();
        same(&answer, &expected)
    }

    pub(super) async fn renew(&mut self, worker: usize) -> Result<(), String> {
        let mine = format!("w{worker}-");
        let (tasks, leases): (Vec<usize>, Vec<Lease>) = self
            .leases
            .iter()
            .rev()
            .filter(|(_, l)| l.incarnation.starts_with(&mine))
            .take(RENEWED_MAX)
            .cloned()
            .unzip();
        let answers = self.queue.renew(&leases).await.map_err(text)?;
        for ((task, lease), answer) in tasks.into_iter().zip(&leases).zip(answers) {
            same(&(task, answer), &(task, self.world.renew(task, lease)))?;
        }
        Ok(())
    }

    pub(super) async fn word(
        &mut self,
        operation: &Operation,
        task: usize,
        lease: &Lease,
    ) -> Result<(), String> {
        let failure = Failure::task("red");
        let (queue, world) = (&self.queue, &mut self.world);
        match operation {
            Operation::StillHeld { .. } => {
                same(&queue.still_held(lease).await.map_err(text)?, &world.still_held(task, lease))
            }
            Operation::OwnsIssue { .. } => {
                let answer = queue.owns_issue(&self.specs[&task]).await.map_err(text)?;
                same(&answer, &world.owns_issue(task).map(id))
            }
            Operation::Phase { .. } => {
                same(&queue.set_phase(lease, "testing").await.map_err(text)?, &world.set_phase(task, lease))
            }
            Operation::Log { .. } => {
                let line = LogLine::new(LogStream::Agent, "a line");
                queue.append_log(lease, 1, &[line.into()]).await.map_err(text)
            }
            Operation::Complete { .. } => {
                let outcome = Outcome::NoChange { answer: "done".to_owned() };
                same(&queue.complete(lease, &outcome).await.map_err(text)?, &world.complete(task, lease))
            }
            Operation::Fail { .. } => {
                same(&queue.fail(lease, &failure).await.map_err(text)?, &world.fail(task, lease))
            }
            Operation::Retry { delay, .. } => {
                let ticks = f64::from(*delay) + 0.5;
                let pause = Duration::from_millis((ticks * TICK_MS as f64) as u64);
                let answer = queue.retry(lease, &Failure::transient("x"), pause).await.map_err(text)?;
                same(&answer, &world.retry(task, lease, ticks))
            }
            _ => same(&queue.release(lease, "shutdown").await.map_err(text)?, &world.release(task, lease)),
        }
    }
}
