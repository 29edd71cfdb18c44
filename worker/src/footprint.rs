//! What one run has on disk, watched while it goes on: no agent and no test may fill the machine.
//!
//! Two looks, since either can be deceived. The files of the workspace are added up now and then; what was deleted and
//! is still written to is not among them. And the free space of the disk is asked for all the time: below a floor
//! every run on it ends, whoever is to blame, before the machine suffers.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use shared::Failure;
use tokio::time::{Instant, sleep};

use crate::disk::{Disk, Size};

/// Between two looks at the free space.
const LOOK: Duration = Duration::from_millis(200);

/// Between two counts of the workspace; longer where a count takes long.
const COUNT: Duration = Duration::from_secs(2);

/// A count may take so much of the time at most: one part of these.
const COUNT_SHARE: u32 = 20;

/// Least that a file or a directory is counted as, in bytes: a disk runs out of inodes, too.
const ENTRY_BYTES_MIN: u64 = 4_096;

/// Runs are ended when less than one part of these of `workspace.free_bytes_min` is left.
const FLOOR_SHARE: u64 = 2;

/// Watches one run.
pub(crate) struct Watch<'a> {
    /// The run's workspace.
    pub root: &'a Path,
    pub disk: &'a Disk,
    /// `sandbox.disk_bytes_max`; 0: no limit.
    pub bytes_max: u64,
    /// `workspace.free_bytes_min`; 0: no floor.
    pub free_bytes_min: u64,
}

impl Watch<'_> {
    /// Returns why the run has to end. Never, while it keeps within its limits.
    pub(crate) async fn exceeded(&self) -> Failure {
        let before = self.disk.free().ok();
        let (mut counted, mut free_then) = (Instant::now(), before);
        let mut pause = COUNT;
        loop {
            sleep(LOOK).await;
            let free = self.disk.free().ok();
            if let Some(free) = free.filter(|free| *free < self.free_bytes_min / FLOOR_SHARE) {
                return nearly_full(free);
            }
            let gone = |since: Option<u64>| since.zip(free).map_or(0, |(then, now)| then.saturating_sub(now));
            let hurried = gone(free_then) > self.bytes_max / 8;
            if self.bytes_max == 0 || (counted.elapsed() < pause && !hurried) {
                continue;
            }
            let began = Instant::now();
            let Footprint { bytes, hidden } = self.count().await;
            pause = COUNT.max(began.elapsed() * COUNT_SHARE);
            (counted, free_then) = (Instant::now(), free);
            // What cannot be looked into is no more than what has gone from the disk since.
            let bytes = if hidden { bytes.max(gone(before)) } else { bytes };
            if bytes > self.bytes_max {
                return self.too_large(bytes);
            }
        }
    }

    async fn count(&self) -> Footprint {
        let (root, enough) = (self.root.to_owned(), self.bytes_max);
        tokio::task::spawn_blocking(move || Footprint::of(root, enough)).await.unwrap_or_default()
    }

    fn too_large(&self, bytes: u64) -> Failure {
        Failure::task(format!(
            "the run was ended because its workspace came to more than {}, and sandbox.disk_bytes_max is {}: see what \
             the agent or the tests write, or raise the limit",
            Size(bytes),
            Size(self.bytes_max)
        ))
    }
}

fn nearly_full(free: u64) -> Failure {
    Failure::transient(format!(
        "all runs on this worker were ended because the disk ran nearly full: {} free; make room, lower \
         worker.max_tasks or sandbox.disk_bytes_max, or move workspace.root",
        Size(free)
    ))
}

/// What lies below a directory, as it takes up the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Footprint {
    bytes: u64,
    /// Something cannot be looked into.
    hidden: bool,
}

impl Footprint {
    /// Counts until there is more than `enough`. Links are not followed; what vanishes meanwhile does not count.
    fn of(root: PathBuf, enough: u64) -> Self {
        let mut found = Self::default();
        let mut dirs = vec![root];
        while let Some(dir) = dirs.pop() {
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) => {
                    found.hidden |= error.kind() != ErrorKind::NotFound;
                    continue;
                }
            };
            for entry in entries.flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                // A file with several names is here once, at most so often.
                let names = if metadata.is_dir() { 1 } else { metadata.nlink().max(1) };
                found.bytes += (metadata.blocks() * 512 / names).max(ENTRY_BYTES_MIN);
                if found.bytes > enough {
                    return found;
                }
                if metadata.is_dir() {
                    dirs.push(entry.path());
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn files_count_as_what_they_take_up_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("large"), vec![1; 1 << 20]).unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), vec![1; 100_000]).unwrap();
        fs::File::create(root.join("sparse")).unwrap().set_len(1 << 40).unwrap();
        symlink(outside.path(), root.join("link")).unwrap();
        fs::hard_link(root.join("a/b/file"), root.join("again")).unwrap();
        let found = Footprint::of(root.clone(), u64::MAX);
        assert!((100_000..200_000).contains(&found.bytes) && !found.hidden, "{found:?}");
        assert!(Footprint::of(root, 50_000).bytes > 50_000, "it stops early and says enough");
    }

    #[test]
    fn many_empty_files_count_too_and_what_has_gone_does_not() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..100 {
            fs::write(dir.path().join(n.to_string()), "").unwrap();
        }
        assert!(Footprint::of(dir.path().to_owned(), u64::MAX).bytes >= 100 * ENTRY_BYTES_MIN);
        assert_eq!(Footprint::of(dir.path().join("gone"), u64::MAX), Footprint::default());
    }

    #[test]
    fn what_cannot_be_looked_into_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("closed")).unwrap();
        fs::set_permissions(dir.path().join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        let can = fs::read_dir(dir.path().join("closed")).is_ok();
        assert_eq!(Footprint::of(dir.path().to_owned(), u64::MAX).hidden, !can);
    }

    #[tokio::test]
    async fn a_disk_below_its_floor_ends_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::of(dir.path(), 0);
        let watch = Watch { root: dir.path(), disk: &disk, bytes_max: 0, free_bytes_min: u64::MAX };
        let failure = watch.exceeded().await;
        assert!(failure.message.contains("nearly full"), "{failure}");
    }
}
