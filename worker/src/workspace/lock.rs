//! A lock that the kernel releases when its holder dies.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// Shortest and longest pause between two attempts at a lock that another holds.
const POLL_MIN: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(200);

/// An exclusive lock on a file; released when dropped, also by the death of the process. Two holders in one
/// process exclude each other as well.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// `Ok(None)` where another holds it.
    pub(crate) fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let mut open = fs::OpenOptions::new();
            let file = open.create(true).truncate(false).write(true).mode(0o600).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // The former holder may have removed the file between our opening and our locking it: then the
            // lock is on a file that nobody else can find.
            let same = fs::metadata(path).is_ok_and(|now| {
                file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (now.dev(), now.ino()))
            });
            if same {
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
    }

    /// Waits for it. By polling, because a blocked thread could not be told to stop.
    pub(crate) async fn acquire(path: &Path) -> io::Result<Self> {
        let mut pause = POLL_MIN;
        loop {
            if let Some(lock) = Self::try_acquire(path)? {
                return Ok(lock);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// Removes the file and releases the lock, in this order.
    pub(crate) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        self.file.unlock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_it_and_removal_lets_the_next_one_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let first = LockFile::try_acquire(&path).unwrap().unwrap();
        assert!(LockFile::try_acquire(&path).unwrap().is_none());
        first.remove().unwrap();
        assert!(LockFile::try_acquire(&path).unwrap().is_some());
    }
}
