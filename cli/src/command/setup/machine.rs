//! Disk, state directory, and what is allowed.

use nix::sys::statvfs::statvfs;
use shared::config::Config;

use super::Check;
use crate::session::Session;

pub(super) fn disk(session: &Session) -> Check {
    const NAME: &str = "disk";
    let root = &session.config().workspace.root;
    let root = if root.is_dir() { root } else { session.state_dir.path() };
    match statvfs(root) {
        Ok(facts) => {
            let free_mib = facts.blocks_available().saturating_mul(facts.fragment_size()) >> 20;
            let found = format!("{free_mib} MiB free in {}", root.display());
            let min_mib = session.config().workspace.free_bytes_min >> 20;
            if free_mib >= min_mib {
                return Check::ok(NAME, found);
            }
            let mend = format!(
                "no task begins here: make room, or set workspace.root to a disk with {min_mib} MiB or more \
                 (workspace.free_bytes_min)"
            );
            Check::warn(NAME, found, mend)
        }
        Err(error) => Check::warn(NAME, format!("{}: {error}", root.display()), "look at that directory"),
    }
}

pub(super) fn state_dir(session: &Session) -> Check {
    Check::ok("state", session.state_dir.path().display().to_string())
}

pub(super) fn repositories(config: &Config) -> Check {
    const NAME: &str = "repositories";
    match config.repository.len() {
        0 => Check::warn(
            NAME,
            "every repository whose webhook is signed with our secret",
            "narrow it with [[repository]] entries: match = \"owner/name\"",
        ),
        count => Check::ok(NAME, format!("{count} [[repository]] entries")),
    }
}
