//! What may happen to a queue, in any order.

use fastrand::Rng;

/// Ids in use: few, so that every operation meets every state.
pub const TASKS: usize = 8;
pub const WORKERS: usize = 3;
pub const SPECIALTIES: [&str; 2] = ["backend", "frontend"];
pub const PRIORITIES: [&str; 3] = ["high", "medium", "low"];

/// Leases that a late word may come from, newest first.
const LEASES: usize = 12;

/// One operation. Tasks, workers, specialties and priorities are places in the lists above; a lease is counted
/// from the newest, so that a sequence from which something was taken out still means something.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    Enqueue {
        task: usize,
        specialty: usize,
        priority: usize,
    },
    /// As an ingester does for an issue; only tasks that have one.
    EnqueueIssue {
        task: usize,
        specialty: usize,
        priority: usize,
    },
    Hold {
        task: usize,
        specialty: usize,
        priority: usize,
    },
    ReleaseHeld {
        task: usize,
    },
    Claim {
        worker: usize,
        specialty: usize,
        slots: usize,
    },
    /// `again`: the answer is lost and it is sent once more.
    ClaimHeld {
        worker: usize,
        task: usize,
        again: bool,
    },
    /// What the worker holds by Redis' account.
    Holding {
        worker: usize,
        specialty: usize,
    },
    /// All that the worker was ever given and has not settled, as far as it knows.
    Renew {
        worker: usize,
    },
    StillHeld {
        lease: usize,
    },
    OwnsIssue {
        lease: usize,
    },
    Phase {
        lease: usize,
    },
    Log {
        lease: usize,
    },
    Complete {
        lease: usize,
    },
    Fail {
        lease: usize,
    },
    Retry {
        lease: usize,
        delay: u8,
    },
    Release {
        lease: usize,
    },
    Cancel {
        task: usize,
    },
    /// The worker's process dies, and its successor gives back what it held.
    Restart {
        worker: usize,
    },
    Sweep {
        specialty: usize,
    },
    /// A fleet that sweeps all the time: so often, some ticks apart.
    Sweeps {
        specialty: usize,
        rounds: u8,
    },
    /// A waiting worker takes the marker.
    TakeMarker {
        specialty: usize,
    },
    Rearm {
        specialty: usize,
    },
    /// The clock goes on by so many ticks, or is set forward.
    Forward {
        ticks: u8,
    },
    /// The clock is set back.
    Back {
        ticks: u8,
    },
    /// A person takes the task from whoever has the lease.
    ForceRelease {
        lease: usize,
    },
    /// A failed or cancelled task is to run again.
    Rerun {
        task: usize,
    },
    MovePriority {
        task: usize,
        priority: usize,
    },
    MoveSpecialty {
        task: usize,
        specialty: usize,
    },
    Change {
        task: usize,
    },
    Delete {
        task: usize,
    },
    Trim {
        specialty: usize,
        ended: usize,
        keep: u64,
    },
    Pause {
        specialty: usize,
    },
    Resume {
        specialty: usize,
    },
    /// Locators of tasks whose records went come to their end.
    LocatorsEnd,
}

/// `length` operations.
pub fn sequence(rng: &mut Rng, length: usize) -> Vec<Operation> {
    (0..length).map(|_| one(rng)).collect()
}

fn one(rng: &mut Rng) -> Operation {
    use Operation as O;
    let task = rng.usize(0..TASKS);
    let worker = rng.usize(0..WORKERS);
    let specialty = rng.usize(0..10) / 7;
    let priority = rng.usize(0..PRIORITIES.len());
    let lease = rng.usize(0..LEASES) * rng.usize(0..LEASES) / LEASES;
    match rng.u32(0..123) {
        0..12 => O::Enqueue { task, specialty, priority },
        12..17 => O::EnqueueIssue { task, specialty, priority },
        17..21 => O::Hold { task, specialty, priority },
        21..23 => O::ReleaseHeld { task },
        23..40 => O::Claim { worker, specialty, slots: rng.usize(1..4) },
        40..44 => O::ClaimHeld { worker, task, again: rng.bool() },
        44..46 => O::Holding { worker, specialty },
        46..52 => O::Renew { worker },
        52..54 => O::StillHeld { lease },
        54..56 => O::OwnsIssue { lease },
        56..57 => O::Phase { lease },
        57..58 => O::Log { lease },
        58..63 => O::Complete { lease },
        63..66 => O::Fail { lease },
        66..71 => O::Retry { lease, delay: rng.u8(0..12) },
        71..75 => O::Release { lease },
        75..80 => O::Cancel { task },
        80..82 => O::Restart { worker },
        82..87 => O::Sweep { specialty },
        87..91 => O::Sweeps { specialty, rounds: rng.u8(2..9) },
        91..93 => O::TakeMarker { specialty },
        93..94 => O::Rearm { specialty },
        94..98 => O::Forward { ticks: if rng.bool() { rng.u8(1..5) } else { rng.u8(5..40) } },
        98..99 => O::Back { ticks: rng.u8(1..40) },
        99..102 => O::ForceRelease { lease },
        102..105 => O::MovePriority { task, priority },
        105..108 => O::MoveSpecialty { task, specialty: rng.usize(0..2) },
        108..110 => O::Change { task },
        110..111 => O::Delete { task },
        111..112 => O::Trim { specialty, ended: rng.usize(0..3), keep: rng.u64(0..3) },
        112..113 => O::Pause { specialty },
        113..116 => O::Resume { specialty },
        116..122 => O::Rerun { task },
        _ => O::LocatorsEnd,
    }
}
