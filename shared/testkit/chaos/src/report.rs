//! What a run has counted.

use std::fmt;

/// Faults that were met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub kills: u64,
    pub freezes: u64,
    pub redis_kills: u64,
    pub redis_freezes: u64,
    pub full_stops: u64,
    /// Times a network was cut, refused, delayed, held or made to swallow.
    pub networks: u64,
    /// Connections that were closed by that.
    pub severed: u64,
}

/// What became of the tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub accepted: u64,
    pub completed: u64,
    /// By what the task was made to do.
    pub failed: u64,
    /// After as many lost workers as are allowed.
    pub poisoned: u64,
    pub claims: u64,
    /// Claims of a task after its first.
    pub run_again: u64,
    /// Effects that a later run of the same task has replaced: the first died before it could settle.
    pub replaced: u64,
    /// Of these, published in the moment between fence check and effect, while their process was frozen.
    pub too_late: u64,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub seed: u64,
    pub seconds: u64,
    pub faults: Faults,
    pub tally: Tally,
}

/// The head of a table of reports.
pub const HEAD: &str = "\
| seed | s | kills | freezes | Redis kills / freezes | full stops | network faults (connections closed) | tasks | completed | failed as made to | poison | claims | run again | effects replaced (late) | published twice |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, seconds, faults, tally } = self;
        write!(f, "| {seed} | {seconds} | {} | {} ", faults.kills, faults.freezes)?;
        write!(f, "| {} / {} | {} ", faults.redis_kills, faults.redis_freezes, faults.full_stops)?;
        write!(f, "| {} ({}) | {} ", faults.networks, faults.severed, tally.accepted)?;
        write!(f, "| {} | {} | {} ", tally.completed, tally.failed, tally.poisoned)?;
        // A run in which anything was published twice has no report.
        write!(f, "| {} | {} | {} ({}) | 0 |", tally.claims, tally.run_again, tally.replaced, tally.too_late)
    }
}
