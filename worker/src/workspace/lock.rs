//! A lock that the kernel releases when its holder dies.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Shortest and longest pause between two attempts at a lock that another holds.
const POLL_MIN: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(200);

/// A lock on a file, alone or shared with others; released when dropped, also by the death of the process. Two
/// holders in one process count as two.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

/// One try at a lock, without waiting.
type Try = fn(&File) -> Result<(), TryLockError>;

impl LockFile {
    /// Takes it alone; `Ok(None)` where another holds it.
    pub(crate) fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        Self::try_lock(path, File::try_lock)
    }

    /// Takes it alone, and waits for that.
    pub(crate) async fn acquire(path: &Path) -> io::Result<Self> {
        Self::lock(path, File::try_lock).await
    }

    /// Shares it with whoever else does, and waits while somebody has it alone.
    pub(crate) async fn share(path: &Path) -> io::Result<Self> {
        Self::lock(path, File::try_lock_shared).await
    }

    fn try_lock(path: &Path, attempt: Try) -> io::Result<Option<Self>> {
        loop {
            let mut open = fs::OpenOptions::new();
            let file = open.create(true).truncate(false).write(true).mode(0o600).open(path)?;
            match attempt(&file) {
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

    /// By polling, because a blocked thread could not be told to stop.
    async fn lock(path: &Path, attempt: Try) -> io::Result<Self> {
        let mut pause = POLL_MIN;
        loop {
            if let Some(lock) = Self::try_lock(path, attempt)? {
                return Ok(lock);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// Sets the file's time of change to now.
    pub(crate) fn touch(&self) -> io::Result<()> {
        self.file.set_modified(SystemTime::now())
    }

    /// Removes the file and releases the lock, in this order.
    pub(crate) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

impl Drop for LockFile {
    /// Closing alone is not enough: a program that is just being started has a copy of every open file for a moment,
    /// and a lock lasts as long as its last copy.
    fn drop(&mut self) {
        let _ = self.file.unlock();
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

    #[tokio::test]
    async fn those_who_share_it_keep_out_whoever_wants_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let (first, second) = (LockFile::share(&path).await.unwrap(), LockFile::share(&path).await.unwrap());
        drop(first);
        assert!(LockFile::try_acquire(&path).unwrap().is_none());
        drop(second);
        let alone = LockFile::try_acquire(&path).unwrap().unwrap();
        assert!(LockFile::try_lock(&path, File::try_lock_shared).unwrap().is_none());
        alone.remove().unwrap();
        assert!(path.metadata().is_err());
    }
}
