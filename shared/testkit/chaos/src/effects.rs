//! Where the workers of the queue level publish: a file a task, a line an effect.
//!
//! Like a git remote it takes an effect only from whoever has read what is there: a push that leases the ref.

use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

/// What a worker has published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    pub fence: u64,
    /// When its worker had sent the question whether the lease stands, and when it was published, in microseconds
    /// since the epoch.
    pub asked_at_us: u64,
    pub published_at_us: u64,
}

/// Every effect of `task`, oldest first.
pub fn effects_of(dir: &Path, task: &str) -> Result<Vec<Effect>> {
    let text = match fs::read_to_string(dir.join(task)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    parse(&text)
}

/// Publishes under `fence` if the last effect is still the one of the fence `read`; says whether it did.
pub fn publish(dir: &Path, task: &str, read: Option<u64>, fence: u64, asked_at_us: u64) -> Result<bool> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(dir.join(task))?;
    // Freed with the process, however it ends.
    file.lock()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if parse(&text)?.last().map(|effect| effect.fence) != read {
        return Ok(false);
    }
    // One write: a process that is killed has published or has not.
    file.write_all(format!("{fence} {asked_at_us} {}\n", now_us()).as_bytes())?;
    Ok(true)
}

pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn parse(text: &str) -> Result<Vec<Effect>> {
    let line = |line: &str| {
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let mut next = || anyhow::Ok(numbers.next().context("a number is missing")??);
        Ok(Effect { fence: next()?, asked_at_us: next()?, published_at_us: next()? })
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_published_only_by_who_has_read_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(publish(dir.path(), "a", None, 1, 0).unwrap());
        assert!(!publish(dir.path(), "a", None, 2, 0).unwrap(), "it has read nothing");
        assert!(publish(dir.path(), "a", Some(1), 2, 0).unwrap());
        let fences: Vec<u64> = effects_of(dir.path(), "a").unwrap().iter().map(|e| e.fence).collect();
        assert_eq!(fences, [1, 2]);
    }
}
