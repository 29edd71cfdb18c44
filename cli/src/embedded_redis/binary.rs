//! The redis-server program of this machine.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::EmbeddedRedisError;
use crate::program;

/// Programs that will do, and the first version of each that has what the queue's scripts use.
const KNOWN: [(&str, [u32; 2]); 2] = [("redis-server", [7, 0]), ("valkey-server", [7, 2])];

/// A redis-server (or valkey-server) that is new enough.
#[derive(Clone, Debug)]
pub struct RedisBinary {
    pub program: PathBuf,
    /// Such as `7.0.15`.
    pub version: String,
}

impl RedisBinary {
    /// The first one on `path`.
    pub fn find(path: Option<&str>) -> Result<Self, EmbeddedRedisError> {
        let found = KNOWN.iter().find_map(|(name, floor)| Some((program::find(name, path)?, floor)));
        let (program, floor) = found.ok_or(EmbeddedRedisError::Missing)?;
        let version = version_of(&program)?;
        // Debian's redis-server may be Valkey under its old name: then its own version, always above 7.0, counts.
        if major_minor(&version).is_none_or(|found| found < *floor) {
            let floor = format!("{}.{}", floor[0], floor[1]);
            return Err(EmbeddedRedisError::TooOld { program, found: version, floor });
        }
        Ok(Self { program, version })
    }
}

/// What stands behind `v=` in `Redis server v=7.0.15 sha=...`.
fn version_of(program: &Path) -> Result<String, EmbeddedRedisError> {
    let output = Command::new(program)
        .arg("--version")
        .env_clear()
        .output()
        .map_err(EmbeddedRedisError::io(format!("run {} --version", program.display())))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="));
    Ok(version.unwrap_or("unknown").to_owned())
}

fn major_minor(version: &str) -> Option<[u32; 2]> {
    let mut parts = version.split('.').map(str::parse);
    Some([parts.next()?.ok()?, parts.next()?.ok()?])
}
