//! The queue as it is meant to be: plain maps, one clock, no Redis.

pub mod control;
pub mod sweeping;

use std::collections::BTreeMap;

use shared::{
    lifecycle::Fence,
    queue::{Holder, Lease, Renewal, Settlement},
};

/// Length of a tick in ms. Long, so that the time that a test really takes is none.
pub const TICK_MS: u64 = 10_000_000;

/// Every duration is a broken number of ticks, and every operation happens at a whole one: nothing is ever due at the
/// very moment of an operation.
pub const LEASE_TICKS: f64 = 24.5;
pub const SWEEP_TICKS: f64 = 3.3;
pub const LOST_MAX: u32 = 3;
pub const ATTEMPTS_MAX: u32 = 3;

/// Moments in ticks.
pub type Moment = f64;

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Held,
    /// In a stream and never delivered, at this place.
    Fresh(u64),
    /// Delivered before, and next in line.
    Returned,
    Active {
        ends: Moment,
    },
    Delayed {
        due: Moment,
    },
    Completed {
        at: Moment,
    },
    Failed {
        at: Moment,
        class: &'static str,
    },
    Cancelled {
        at: Moment,
    },
}

#[derive(Clone, Debug)]
pub struct Task {
    pub specialty: usize,
    pub priority: usize,
    pub created: Moment,
    pub state: State,
    /// The newest lease, also when it has ended.
    pub holder: Option<(Holder, Fence)>,
    /// The fence whose holder settled it.
    pub settled: Option<Fence>,
    pub cancel: bool,
    pub runs: u32,
    pub attempts: u32,
    pub lost: u32,
    /// Whether the last loss counted: a holder that comes back undoes it.
    loss_counted: bool,
    /// It is held to run alone, and has not begun.
    pub alone: bool,
    /// It has an entry in a stream.
    pub entered: bool,
}

/// What a specialty remembers of its sweeps.
#[derive(Clone, Debug)]
struct Sweeps {
    at: Option<Moment>,
    next: Moment,
    grace: Moment,
}

#[derive(Clone, Debug)]
pub struct Shelf {
    pub marker: bool,
    pub paused: bool,
    sweeps: Sweeps,
}

pub struct World {
    pub now: Moment,
    pub tasks: BTreeMap<usize, Task>,
    pub shelves: Vec<Shelf>,
    /// Ids once used, and where they are looked for.
    pub locators: BTreeMap<usize, usize>,
    /// The task that each issue's key names.
    pub issues: BTreeMap<u64, usize>,
    /// How many settled tasks of a kind are kept.
    pub keep: usize,
    pub keep_ticks: f64,
    entries: u64,
}

/// Every second task comes from an issue; two of them share one.
pub fn issue_of(task: usize) -> Option<u64> {
    task.is_multiple_of(2).then_some(task as u64 / 4 + 1)
}

impl Task {
    pub fn is_settled(&self) -> bool {
        matches!(self.state, State::Completed { .. } | State::Failed { .. } | State::Cancelled { .. })
    }

    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Fresh(_) | State::Returned)
    }

    pub fn status(&self) -> &'static str {
        match self.state {
            State::Held => "held",
            State::Fresh(_) | State::Returned => "pending",
            State::Active { .. } => "active",
            State::Delayed { .. } => "delayed",
            State::Completed { .. } => "completed",
            State::Failed { .. } => "failed",
            State::Cancelled { .. } => "cancelled",
        }
    }

    /// One more lost worker would end it.
    pub fn is_suspect(&self) -> bool {
        self.lost >= LOST_MAX - 1
    }

    fn is_of(&self, lease: &Lease) -> bool {
        self.holder
            .as_ref()
            .is_some_and(|(holder, fence)| *fence == lease.fence && holder.incarnation == lease.incarnation)
    }
}

impl World {
    pub fn new(specialties: usize, keep: usize, keep_ticks: f64) -> Self {
        let sweeps = Sweeps { at: None, next: 0.0, grace: f64::MIN };
        let shelf = Shelf { marker: false, paused: false, sweeps };
        Self {
            now: 1_000.0,
            tasks: BTreeMap::new(),
            shelves: vec![shelf; specialties],
            locators: BTreeMap::new(),
            issues: BTreeMap::new(),
            keep,
            keep_ticks,
            entries: 0,
        }
    }

    /// The specialty it is in when it existed before, else `None`: it is made now.
    pub fn admit(&mut self, id: usize, specialty: usize, priority: usize, held: bool) -> Option<usize> {
        let home = *self.locators.entry(id).or_insert(specialty);
        if self.tasks.contains_key(&id) {
            return Some(home);
        }
        let state = if held { State::Held } else { self.entry() };
        self.shelves[home].marker |= !held;
        let task = Task {
            specialty: home,
            priority,
            created: self.now,
            state,
            holder: None,
            settled: None,
            cancel: false,
            runs: 0,
            attempts: 0,
            lost: 0,
            loss_counted: false,
            alone: false,
            entered: !held,
        };
        self.tasks.insert(id, task);
        None
    }

    /// The unsettled task that the issue has already, else `None`.
    pub fn admit_for_issue(&mut self, id: usize, specialty: usize, priority: usize) -> Option<usize> {
        let issue = issue_of(id).expect("only tasks of issues");
        let named = self.issues.get(&issue).copied().filter(|named| *named != id);
        if let Some(other) =
            named.filter(|other| self.tasks.get(other).is_some_and(|task| !task.is_settled()))
        {
            return Some(other);
        }
        self.admit(id, specialty, priority, false);
        // A task that ended before keeps no issue.
        if self.tasks[&id].is_settled() {
            self.issues.remove(&issue);
        } else {
            self.issues.insert(issue, id);
        }
        None
    }

    /// The other unsettled task that the issue of `id` names.
    pub fn owns_issue(&mut self, id: usize) -> Option<usize> {
        let issue = issue_of(id)?;
        let named = self.issues.get(&issue).copied().filter(|named| *named != id);
        let living = |other: &usize| {
            self.tasks.get(other).is_some_and(|task| !task.is_settled() && task.state != State::Held)
        };
        if let Some(other) = named.filter(living) {
            return Some(other);
        }
        if self.tasks.get(&id).is_some_and(|task| !task.is_settled()) {
            self.issues.insert(issue, id);
        } else {
            self.issues.remove(&issue);
        }
        None
    }

    pub fn release_held(&mut self, id: usize) -> Result<(), Option<&'static str>> {
        let status = self.tasks.get(&id).map(Task::status);
        if status != Some("held") {
            return Err(status);
        }
        self.give_back(id);
        Ok(())
    }

    /// The tasks that a claim takes, in order; a suspect is the last.
    pub fn claimable(&self, specialty: usize, slots: usize) -> Vec<usize> {
        let mut line = self.line(specialty);
        line.truncate(slots);
        if let Some(place) = line.iter().position(|id| self.tasks[id].is_suspect()) {
            line.truncate(place + 1);
        }
        line
    }

    /// All that waits, in order: of each priority suspects, then what was returned, then what is new.
    pub fn line(&self, specialty: usize) -> Vec<usize> {
        let mut line: Vec<(usize, &Task)> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.specialty == specialty && task.is_pending())
            .map(|(id, task)| (*id, task))
            .collect();
        line.sort_by(|(_, a), (_, b)| {
            let place = |task: &Task| match task.state {
                State::Fresh(place) => (2, 0.0, place),
                _ => (u8::from(!task.is_suspect()), task.created, 0),
            };
            (a.priority, place(a)).partial_cmp(&(b.priority, place(b))).expect("moments are numbers")
        });
        line.into_iter().map(|(id, _)| id).collect()
    }

    /// Notes that a claim for `slots` took these, with the fences that the queue gave them.
    pub fn claimed(&mut self, specialty: usize, slots: usize, holder: &Holder, taken: &[(usize, Fence)]) {
        for (id, fence) in taken {
            self.activate(*id, holder, *fence);
        }
        let ended_by_suspect = taken.last().is_some_and(|(id, _)| self.tasks[id].alone);
        if taken.len() < slots && !ended_by_suspect {
            self.shelves[specialty].marker = false;
        } else if self.waiting(specialty) > 0 {
            self.shelves[specialty].marker = true;
        }
    }

    pub fn activate(&mut self, id: usize, holder: &Holder, fence: Fence) {
        let ends = self.now + LEASE_TICKS;
        let task = self.task(id);
        task.state = State::Active { ends };
        task.holder = Some((holder.clone(), fence));
        task.alone = task.is_suspect();
        task.runs += 1;
    }

    pub fn waiting(&self, specialty: usize) -> usize {
        self.tasks.values().filter(|task| task.specialty == specialty && task.is_pending()).count()
    }

    pub fn renew(&mut self, id: usize, lease: &Lease) -> Renewal {
        let ends = self.now + LEASE_TICKS;
        let Some(task) = self.tasks.get_mut(&id).filter(|task| task.is_of(lease)) else {
            return Renewal::Lost;
        };
        if task.is_pending() {
            // Who gave it back has no claim on it; who lost it takes it up where nobody else did.
            if task.settled == Some(lease.fence) {
                return Renewal::Lost;
            }
            if matches!(task.state, State::Fresh(_)) {
                task.entered = false;
            }
            task.lost -= u32::from(task.loss_counted);
            task.state = State::Active { ends };
        }
        if !matches!(task.state, State::Active { .. }) {
            return Renewal::Lost;
        }
        task.state = State::Active { ends };
        if task.cancel { Renewal::CancelRequested { by: "ada".to_owned() } } else { Renewal::Held }
    }

    /// Whether the lease stands; what was to run alone has begun by now.
    pub fn set_phase(&mut self, id: usize, lease: &Lease) -> bool {
        let held = self.may_settle(id, lease) == Settlement::Done;
        if held {
            self.task(id).alone = false;
        }
        held
    }

    /// `Done` when the holder may settle it now.
    pub fn may_settle(&self, id: usize, lease: &Lease) -> Settlement {
        match self.tasks.get(&id).filter(|task| task.is_of(lease)) {
            Some(task) if matches!(task.state, State::Active { .. }) => Settlement::Done,
            Some(task) if task.settled == Some(lease.fence) => Settlement::Already,
            _ => Settlement::Stale,
        }
    }

    pub fn still_held(&self, id: usize, lease: &Lease) -> bool {
        self.may_settle(id, lease) == Settlement::Done && !self.tasks[&id].cancel
    }

    pub fn complete(&mut self, id: usize, lease: &Lease) -> Settlement {
        self.settled_by(id, lease, |world| {
            world.finish(id, State::Completed { at: world.now });
            Settlement::Done
        })
    }

    pub fn fail(&mut self, id: usize, lease: &Lease) -> Settlement {
        self.settled_by(id, lease, |world| {
            world.unless_cancelled(id, |world| {
                world.finish(id, State::Failed { at: world.now, class: "task" });
                Settlement::Done
            })
        })
    }

    pub fn retry(&mut self, id: usize, lease: &Lease, delay: f64) -> Settlement {
        self.settled_by(id, lease, |world| {
            world.unless_cancelled(id, |world| {
                let due = world.now + delay;
                let task = world.task(id);
                task.attempts += 1;
                if task.attempts >= ATTEMPTS_MAX {
                    world.finish(id, State::Failed { at: world.now, class: "transient" });
                    return Settlement::Failed;
                }
                task.settled = Some(lease.fence);
                task.state = State::Delayed { due };
                Settlement::Done
            })
        })
    }

    pub fn release(&mut self, id: usize, lease: &Lease) -> Settlement {
        self.settled_by(id, lease, |world| {
            world.unless_cancelled(id, |world| {
                world.task(id).settled = Some(lease.fence);
                world.give_back(id);
                Settlement::Done
            })
        })
    }

    /// The status before, where there was a task.
    pub fn cancel(&mut self, id: usize) -> Option<&'static str> {
        let status = self.tasks.get(&id)?.status();
        match status {
            "active" => self.task(id).cancel = true,
            "held" | "pending" | "delayed" => self.finish(id, State::Cancelled { at: self.now }),
            _ => {}
        }
        Some(status)
    }

    fn settled_by(
        &mut self,
        id: usize,
        lease: &Lease,
        settle: impl FnOnce(&mut Self) -> Settlement,
    ) -> Settlement {
        match self.may_settle(id, lease) {
            Settlement::Done => settle(self),
            refused => refused,
        }
    }

    fn unless_cancelled(&mut self, id: usize, settle: impl FnOnce(&mut Self) -> Settlement) -> Settlement {
        if !self.tasks[&id].cancel {
            return settle(self);
        }
        self.finish(id, State::Cancelled { at: self.now });
        Settlement::Cancelled
    }

    /// Back in line: where it was, or at the end where it never had a place.
    fn give_back(&mut self, id: usize) {
        let task = &self.tasks[&id];
        let fresh = if task.entered || task.is_suspect() { State::Returned } else { self.entry() };
        let task = self.task(id);
        (task.state, task.entered) = (fresh, true);
        let specialty = task.specialty;
        self.shelves[specialty].marker = true;
    }

    /// Ends the task; its issue is free again.
    fn finish(&mut self, id: usize, state: State) {
        let task = self.task(id);
        task.settled = task.holder.as_ref().map(|(_, fence)| *fence);
        task.state = state;
        task.entered = false;
        let (specialty, status) = (task.specialty, task.status());
        self.trim(specialty, status);
        self.tell(id);
    }

    /// The issue of a task that has ended is free again.
    fn tell(&mut self, id: usize) {
        if let Some(issue) = issue_of(id)
            && self.issues.get(&issue) == Some(&id)
        {
            self.issues.remove(&issue);
        }
    }

    fn entry(&mut self) -> State {
        self.entries += 1;
        State::Fresh(self.entries)
    }

    fn task(&mut self, id: usize) -> &mut Task {
        self.tasks.get_mut(&id).expect("the task exists")
    }
}
