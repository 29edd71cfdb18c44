//! What people ask of tasks, wherever they are.

use shared::{lifecycle::Fence, queue::Settlement};

use super::{State, Task, World, issue_of};

/// What a wish is expected to come to.
#[derive(Debug, PartialEq)]
pub enum Asked {
    Done,
    /// A cancel that had been asked for won.
    Cancelled,
    Wrong,
    /// Its issue has this task by now.
    Taken(usize),
    Unknown,
}

impl World {
    pub fn force_release(&mut self, id: usize, fence: Fence) -> Asked {
        let Some(task) = self.tasks.get_mut(&id) else { return Asked::Unknown };
        let active = matches!(task.state, State::Active { .. });
        if !active || task.holder.as_ref().is_none_or(|(_, newest)| *newest != fence) {
            // It was taken before, and nobody claimed it since, or somebody else did.
            let done = task.settled == Some(fence) && (active || task.is_pending());
            return if done { Asked::Done } else { Asked::Wrong };
        }
        if self.unless_cancelled(id, |_| Settlement::Done) == Settlement::Cancelled {
            return Asked::Cancelled;
        }
        let task = self.task(id);
        (task.settled, task.holder) = (Some(fence), None);
        self.give_back(id);
        Asked::Done
    }

    /// Failed, cancelled -> pending, at the end of the line.
    pub fn rerun(&mut self, id: usize) -> Asked {
        let Some(task) = self.tasks.get(&id) else { return Asked::Unknown };
        if !matches!(task.state, State::Failed { .. } | State::Cancelled { .. }) {
            return Asked::Wrong;
        }
        if let Some(issue) = issue_of(id) {
            let named = self.issues.get(&issue).filter(|named| **named != id);
            let living = named.filter(|other| self.tasks.get(other).is_some_and(|task| !task.is_settled()));
            if let Some(other) = living {
                return Asked::Taken(*other);
            }
            self.issues.insert(issue, id);
        }
        let task = self.task(id);
        (task.attempts, task.lost, task.loss_counted, task.cancel) = (0, 0, false, false);
        task.holder = None;
        self.give_back(id);
        Asked::Done
    }

    pub fn move_priority(&mut self, id: usize, priority: usize) -> Asked {
        self.waiting_task(id, |world| {
            let task = world.task(id);
            if task.priority == priority {
                return;
            }
            task.priority = priority;
            if task.is_pending() {
                task.state = State::Returned;
                let specialty = task.specialty;
                world.shelves[specialty].marker = true;
            }
        })
    }

    pub fn move_specialty(&mut self, id: usize, specialty: usize) -> Asked {
        self.waiting_task(id, |world| {
            let task = world.task(id);
            if task.specialty == specialty {
                return;
            }
            (task.specialty, task.holder) = (specialty, None);
            if task.is_pending() {
                task.state = State::Returned;
                world.shelves[specialty].marker = true;
            }
            if world.tasks[&id].state != State::Held {
                world.task(id).entered = true;
            }
            world.locators.insert(id, specialty);
        })
    }

    /// A former holder has the old text: it cannot take it up again.
    pub fn change(&mut self, id: usize) -> Asked {
        self.waiting_task(id, |world| world.task(id).holder = None)
    }

    pub fn delete(&mut self, id: usize) -> Asked {
        match self.tasks.get(&id) {
            None => Asked::Unknown,
            Some(task) if task.is_settled() || task.state == State::Held => {
                self.tasks.remove(&id);
                self.tell(id);
                Asked::Done
            }
            Some(_) => Asked::Wrong,
        }
    }

    /// How many were removed.
    pub fn trim_to(&mut self, specialty: usize, status: &str, keep: u64) -> u64 {
        let ended = self.ids(specialty, |task| task.status() == status);
        let excess = ended.len().saturating_sub(keep as usize);
        // Their issues have been free since they ended; their locators stay for a minute.
        for (_, id) in &ended[..excess] {
            self.tasks.remove(id);
        }
        excess as u64
    }

    pub fn resume(&mut self, specialty: usize) -> bool {
        self.shelves[specialty].marker |= self.waiting(specialty) > 0;
        std::mem::take(&mut self.shelves[specialty].paused)
    }

    fn waiting_task(&mut self, id: usize, change: impl FnOnce(&mut Self)) -> Asked {
        match self.tasks.get(&id).map(Task::status) {
            None => Asked::Unknown,
            Some("held" | "pending" | "delayed") => {
                change(self);
                Asked::Done
            }
            Some(_) => Asked::Wrong,
        }
    }
}
