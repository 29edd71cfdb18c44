//! How much of the disk a directory takes.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt, path::Path};

use tokio_util::sync::CancellationToken;

/// What `st_blocks` counts, in bytes.
const BLOCK_BYTES: u64 = 512;

/// Bytes of `path` and all below it on the disk. Links are not followed, other file systems not entered, and a file
/// with several names counts once. What vanishes meanwhile does not count. Too little when it is told to end.
pub(super) fn measure(path: &Path, told: &CancellationToken) -> u64 {
    let Ok(top) = fs::symlink_metadata(path) else { return 0 };
    let mut bytes = top.blocks() * BLOCK_BYTES;
    let mut seen = HashSet::new();
    let mut dirs = if top.is_dir() { vec![path.to_owned()] } else { Vec::new() };
    while let Some(dir) = dirs.pop().filter(|_| !told.is_cancelled()) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != top.dev() {
                continue;
            }
            if metadata.is_dir() {
                dirs.push(entry.path());
            } else if metadata.nlink() > 1 && !seen.insert(metadata.ino()) {
                continue;
            }
            bytes += metadata.blocks() * BLOCK_BYTES;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_elsewhere_does_not_count_and_two_names_count_once() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let told = CancellationToken::new();
        let megabyte = vec![1; 1 << 20];
        fs::write(other.path().join("far"), &megabyte).unwrap();
        std::os::unix::fs::symlink(other.path(), dir.path().join("link")).unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/one"), &megabyte).unwrap();
        fs::hard_link(dir.path().join("below/one"), dir.path().join("two")).unwrap();
        let bytes = measure(dir.path(), &told);
        assert!((1 << 20..(1 << 20) + (1 << 18)).contains(&bytes), "{bytes}");
        assert_eq!(measure(&dir.path().join("gone"), &told), 0);
    }
}
