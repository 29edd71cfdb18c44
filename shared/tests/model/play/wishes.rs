//! What people ask for.

use shared::queue::{Asked, Change, Ended, ForceReleaseAnswer, RerunAnswer, Trim};

use super::{Play, id, named, place, same, text};
use crate::{
    operation::{Operation, PRIORITIES},
    world::control,
};

impl Play {
    pub(super) async fn wish(&mut self, operation: &Operation) -> Result<(), String> {
        let (queue, world) = (self.queue.clone(), &mut self.world);
        match *operation {
            Operation::ForceRelease { lease } => {
                let Some((task, lease)) = self.newest(lease) else { return Ok(()) };
                let answer = match queue.force_release(&id(task), lease.fence, "ada").await.map_err(text)? {
                    ForceReleaseAnswer::Released => control::Asked::Done,
                    ForceReleaseAnswer::Cancelled => control::Asked::Cancelled,
                    ForceReleaseAnswer::NotActive(_) => control::Asked::Wrong,
                    ForceReleaseAnswer::Unknown => control::Asked::Unknown,
                };
                same(&answer, &self.world.force_release(task, lease.fence))
            }
            Operation::Rerun { task } => {
                let answer = match queue.rerun(&id(task), "ada").await.map_err(text)? {
                    RerunAnswer::Pending => control::Asked::Done,
                    RerunAnswer::IssueTaken { task } => control::Asked::Taken(place(&task)),
                    RerunAnswer::WrongState(_) => control::Asked::Wrong,
                    RerunAnswer::NoSpec => return Err("its specification is gone".to_owned()),
                    RerunAnswer::Unknown => control::Asked::Unknown,
                };
                same(&answer, &world.rerun(task))
            }
            Operation::MovePriority { task, priority } => {
                let to = PRIORITIES[priority].parse().expect("a priority");
                let answer = queue.move_priority(&id(task), to, "ada").await.map_err(text)?;
                if let Some(spec) = self.specs.get_mut(&task).filter(|_| answer == Asked::Done) {
                    spec.priority = to;
                }
                same(&asked(&answer), &world.move_priority(task, priority))
            }
            Operation::MoveSpecialty { task, specialty } => {
                let answer = queue.move_specialty(&id(task), &named(specialty), "ada").await.map_err(text)?;
                if let Some(spec) = self.specs.get_mut(&task).filter(|_| answer == Asked::Done) {
                    spec.specialty = named(specialty);
                }
                same(&asked(&answer), &world.move_specialty(task, specialty))
            }
            Operation::Change { task } => self.change(task).await,
            Operation::Delete { task } => {
                same(&asked(&queue.delete(&id(task), "ada").await.map_err(text)?), &world.delete(task))
            }
            Operation::Trim { specialty, ended, keep } => {
                let (ended, trim) = (Ended::ALL[ended], Trim { keep: Some(keep), older_than: None });
                let removed = queue.trim(&named(specialty), ended, trim).await.map_err(text)?;
                same(&removed, &world.trim_to(specialty, ended.as_str(), keep))
            }
            Operation::Pause { specialty } => {
                let new = queue.pause(&named(specialty), "ada", "", None).await.map_err(text)?;
                same(&new, &!std::mem::replace(&mut world.shelves[specialty].paused, true))
            }
            Operation::Resume { specialty } => {
                same(&queue.resume(&named(specialty), "ada").await.map_err(text)?, &world.resume(specialty))
            }
            _ => unreachable!("no wish"),
        }
    }

    async fn change(&mut self, task: usize) -> Result<(), String> {
        let body = format!("changed {}", self.nonce());
        let change = Change { body: Some(body.clone()), ..Change::default() };
        let answer = asked(&self.queue.change(&id(task), &change, "ada").await.map_err(text)?);
        if answer == control::Asked::Done
            && let Some(spec) = self.specs.get_mut(&task)
        {
            spec.body = body;
        }
        same(&answer, &self.world.change(task))
    }
}

fn asked(answer: &Asked) -> control::Asked {
    match answer {
        Asked::Done => control::Asked::Done,
        Asked::WrongState(_) => control::Asked::Wrong,
        Asked::Unknown => control::Asked::Unknown,
    }
}
