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

/// How long a left-over server may finish writing before it is killed, and a killed one may take to vanish.
const PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(10);

/// Ends whatever server still works in `dir` and waits until it is gone: two servers that append to the same files
/// would destroy them. Only the holder of the ownership may call this.
pub fn end_left_over_servers(dir: &Path) -> Result<(), EmbeddedRedisError> {
    // Usually it has had the first signal from the kernel; the same again does no harm.
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        for pid in servers_in(dir) {
            tracing::warn!(pid, ?signal, "ending a redis-server that outlived its owner");
            match kill(Pid::from_raw(pid), signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(_) => return Err(EmbeddedRedisError::LeftOver { pid, dir: dir.to_owned() }),
            }
        }
        if all_gone(dir) {
            return Ok(());
        }
    }
    let pid = servers_in(dir).first().copied().unwrap_or(0);
    Err(EmbeddedRedisError::LeftOver { pid, dir: dir.to_owned() })
}

fn all_gone(dir: &Path) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !servers_in(dir).is_empty() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

/// Processes of this user called redis-server (or valkey-server) whose working directory is `dir`. A pid file would
/// be read before it is written, or long after the number has gone to another process; this is the truth of now.
pub(super) fn servers_in(dir: &Path) -> Vec<i32> {
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
