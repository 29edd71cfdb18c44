//! A redis-server whose owner died: it gets the kernel's SIGTERM at that moment and is usually gone soon after.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::EmbeddedRedisError;

/// How long a left-over server may finish writing before it is asked again, and after that before it is killed.
const PATIENCE: Duration = Duration::from_secs(8);

const POLL: Duration = Duration::from_millis(20);

/// Waits until no server works in `dir` any more, and ends one that stays: two servers that append to the same files
/// would destroy them. Only the holder of the ownership may call this.
pub fn end_left_over_servers(dir: &Path) -> Result<(), EmbeddedRedisError> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        if wait_until_gone(dir).is_none() {
            return Ok(());
        }
        for pid in servers_in(dir) {
            tracing::warn!(pid, ?signal, "ending a redis-server that outlived its owner");
            match kill(Pid::from_raw(pid), signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(_) => return Err(EmbeddedRedisError::LeftOver { pid, dir: dir.to_owned() }),
            }
        }
    }
    match wait_until_gone(dir) {
        None => Ok(()),
        Some(pid) => Err(EmbeddedRedisError::LeftOver { pid, dir: dir.to_owned() }),
    }
}

fn wait_until_gone(dir: &Path) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pid = *servers_in(dir).first()?;
        if Instant::now() >= deadline {
            return Some(pid);
        }
        thread::sleep(POLL);
    }
}

/// Processes of this user called redis-server (or valkey-server) whose working directory is `dir`. A pid file would
/// be read before it is written, or long after the number has gone to another process; this is the truth of now.
fn servers_in(dir: &Path) -> Vec<i32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let process = Path::new("/proc").join(pid.to_string());
            let comm = fs::read_to_string(process.join("comm")).unwrap_or_default();
            let is_server = matches!(comm.trim_end(), "redis-server" | "valkey-server");
            // A zombie has no working directory: it writes nothing any more.
            is_server && fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == dir)
        })
        .collect()
}
