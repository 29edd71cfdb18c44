//! What the tasks of the queue level do, by their number.

use anyhow::{Context, Result};
use shared::{Priority, Specialty, TaskSpec};

/// Tasks wait in more than one stream.
pub const SPECIALTIES: [&str; 2] = ["backend", "frontend"];

/// What becomes of a task, whoever runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    Completes,
    /// Its first attempt meets a transient failure.
    CompletesLater,
    Fails,
    /// Kills whoever runs it.
    Kills,
}

impl TaskKind {
    pub fn of(number: u64) -> Self {
        match number {
            n if n % 500 == 250 => Self::Kills,
            n if n % 50 == 7 => Self::Fails,
            n if n % 20 == 3 => Self::CompletesLater,
            _ => Self::Completes,
        }
    }
}

/// `t42` -> 42
pub fn number(id: &str) -> Result<u64> {
    Ok(id.strip_prefix('t').context("not a task of ours")?.parse()?)
}

/// Every fourth task is that of an issue.
pub fn task(number: u64) -> Result<TaskSpec> {
    let repository = "octo/cat".parse()?;
    let specialty: Specialty = SPECIALTIES[usize::from(number.is_multiple_of(5))].parse()?;
    Ok(TaskSpec {
        specialty,
        priority: Priority::ALL[(number % 3) as usize],
        issue: number.is_multiple_of(4).then_some(number),
        ..TaskSpec::new(format!("t{number}").parse()?, repository, "a task of the chaos suite")
    })
}
