//! What the machine has, for the beat.

use std::fs;

use shared::worker_info::SystemInfo;

/// The machine's figures now; what cannot be read is zero.
pub fn info(workspace_root: &str) -> SystemInfo {
    let cpus = std::thread::available_parallelism().map_or(0, |cpus| cpus.get() as u32);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load_1m = load.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0);
    let free = nix::sys::statvfs::statvfs(workspace_root);
    let disk_free_mib = free.map_or(0, |fs| fs.blocks_available() * fs.fragment_size() / 1_048_576);
    SystemInfo { os: std::env::consts::OS.to_owned(), cpus, memory_mib: memory_mib(), disk_free_mib, load_1m }
}

fn memory_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1_024
}

/// The host's name, or `localhost`.
pub fn hostname() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}
