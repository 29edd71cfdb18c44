//! What time brings about.

use super::{LEASE_TICKS, LOST_MAX, Moment, SWEEP_TICKS, State, Task, World};

/// Settled tasks that one settlement or sweep forgets at most.
const FORGET_MAX: usize = 100;

/// What a sweep is expected to answer.
#[derive(Debug, PartialEq)]
pub enum Swept {
    Later,
    Done { lost: u64, promoted: u64 },
}

impl World {
    pub fn sweep(&mut self, specialty: usize) -> Swept {
        let now = self.now;
        let sweeps = &mut self.shelves[specialty].sweeps;
        let set_back = sweeps.at.filter(|at| now < *at);
        if let Some(at) = sweeps.at {
            if now >= at && now < sweeps.next {
                return Swept::Later;
            }
            // Redis was away, or its clock was set: living workers renew first.
            if now > sweeps.next + 3.0 * SWEEP_TICKS || now > at + LEASE_TICKS / 2.0 || now < at {
                sweeps.grace = now + LEASE_TICKS;
            }
        }
        sweeps.grace = sweeps.grace.min(now + LEASE_TICKS);
        let grace = sweeps.grace;
        if let Some(at) = set_back {
            self.shorten(specialty, at);
        }
        let lost = if now >= grace { self.reclaim(specialty, grace) } else { 0 };
        let due = self.ids(specialty, |task| matches!(task.state, State::Delayed { due } if due <= now));
        for (_, id) in &due {
            self.give_back(*id);
        }
        for status in ["completed", "failed", "cancelled"] {
            self.trim(specialty, status);
            let oldest = self.now - self.keep_ticks;
            for (_, id) in self.ids(specialty, |task| task.status() == status && moment(task) < oldest) {
                self.forget(id);
            }
        }
        self.shelves[specialty].marker |= self.waiting(specialty) > 0 && !self.shelves[specialty].paused;
        let next = now + self.pause(specialty, grace);
        let sweeps = &mut self.shelves[specialty].sweeps;
        (sweeps.at, sweeps.next) = (Some(now), next);
        Swept::Done { lost, promoted: due.len() as u64 }
    }

    /// Gives back what former processes of `node` hold; how many tasks went back and how many ended.
    pub fn forfeit(&mut self, specialty: usize, node: &str, incarnation: &str) -> (u64, u64) {
        let former = |task: &Task| {
            matches!(task.state, State::Active { .. })
                && task.holder.as_ref().is_some_and(|(h, _)| h.node == node && h.incarnation != incarnation)
        };
        let (mut returned, mut ended) = (0, 0);
        for (_, id) in self.ids(specialty, former) {
            if self.lose(id, true) { returned += 1 } else { ended += 1 }
        }
        (returned, ended)
    }

    /// Drops the oldest beyond the number that is kept, and a thousandth more.
    pub fn trim(&mut self, specialty: usize, status: &str) {
        let settled = self.ids(specialty, |task| task.status() == status);
        let excess = settled.len().saturating_sub(self.keep);
        let most = if excess > 0 { excess + self.keep / 1000 } else { 0 };
        for (_, id) in settled.into_iter().take(most.min(FORGET_MAX)) {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: usize) {
        self.tasks.remove(&id);
        self.locators.remove(&id);
    }

    /// A clock that was set back: no time lies farther ahead than it lay at the last sweep.
    fn shorten(&mut self, specialty: usize, at: Moment) {
        let now = self.now;
        for task in self.tasks.values_mut().filter(|task| task.specialty == specialty) {
            match &mut task.state {
                State::Active { ends } => *ends = ends.min(now + LEASE_TICKS),
                State::Delayed { due } if *due >= now => *due = now + (*due - at).max(0.0),
                _ => {}
            }
        }
    }

    fn reclaim(&mut self, specialty: usize, grace: Moment) -> u64 {
        let now = self.now;
        let expired = self.ids(specialty, |task| matches!(task.state, State::Active { ends } if ends < now));
        for (ends, id) in &expired {
            // What ran out before the grace ended is the outage's fault.
            self.lose(*id, *ends > grace);
        }
        expired.len() as u64
    }

    /// Whether the task went back in line.
    fn lose(&mut self, id: usize, counts: bool) -> bool {
        let now = self.now;
        let task = self.task(id);
        // Its worker did not die of what had not begun.
        let counts = counts && !task.alone;
        task.lost += u32::from(counts);
        task.loss_counted = counts;
        let (cancel, lost) = (task.cancel, task.lost);
        if cancel {
            self.finish(id, State::Cancelled { at: now });
        } else if lost >= LOST_MAX {
            self.finish(id, State::Failed { at: now, class: "lost_worker" });
        } else {
            self.give_back(id);
            return true;
        }
        false
    }

    /// Until the next sweep is due.
    fn pause(&self, specialty: usize, grace: Moment) -> f64 {
        let longest = LEASE_TICKS / 4.0;
        let first = self.tasks.values().filter(|task| task.specialty == specialty).filter_map(|task| {
            match task.state {
                State::Active { ends } => Some(ends),
                State::Delayed { due } => Some(due),
                _ => None,
            }
        });
        let until = first.map(|at| at - self.now).fold(longest, f64::min);
        let pause = until.max(SWEEP_TICKS).min(longest);
        let left = grace - self.now;
        if left > 0.0 { pause.min(left).max(SWEEP_TICKS.min(left)) } else { pause }
    }

    /// Tasks with their moment, earliest first, as their index has them.
    pub(super) fn ids(&self, specialty: usize, wanted: impl Fn(&Task) -> bool) -> Vec<(Moment, usize)> {
        let mut ids: Vec<(Moment, usize)> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.specialty == specialty && wanted(task))
            .map(|(id, task)| (moment(task), *id))
            .collect();
        ids.sort_by(|a, b| a.partial_cmp(b).expect("moments are numbers"));
        ids
    }
}

fn moment(task: &Task) -> Moment {
    match task.state {
        State::Active { ends: at }
        | State::Delayed { due: at }
        | State::Completed { at }
        | State::Failed { at, .. }
        | State::Cancelled { at } => at,
        _ => task.created,
    }
}
