//! Reading files that an agent or a repository has made.

use std::{fs, io::Read, os::unix::fs::OpenOptionsExt, path::Path};

use nix::fcntl::OFlag;

/// Largest part of a file that is looked at, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The beginning of a regular file: no link is followed, no pipe waited for. `None` for anything else.
pub(crate) fn read(path: &Path) -> Option<String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
