//! Who uses what is kept between runs, and since when nobody does.
//!
//! Beside each mirror and each cache lies a `.used` file. Whoever uses the thing shares a lock on that file and sets
//! its time; whoever removes the thing holds the lock alone. The kernel releases the locks of the dead.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::workspace::LockFile;

/// The ending of the file beside the thing.
pub(crate) const USED: &str = "used";

/// As long as it lives, nobody removes the thing.
#[derive(Debug)]
pub(crate) struct InUse(#[expect(dead_code, reason = "held, not read")] LockFile);

impl InUse {
    /// Begins to use what lies, or will lie, at `path`. Waits while that is being removed.
    pub(crate) async fn begin(path: &Path) -> io::Result<Self> {
        let lock = LockFile::share(&mark(path)).await?;
        lock.touch()?;
        Ok(Self(lock))
    }
}

/// The lock that whoever removes the thing must hold; `Ok(None)` while somebody uses it.
pub(crate) fn unless_in_use(path: &Path) -> io::Result<Option<LockFile>> {
    LockFile::try_acquire(&mark(path))
}

/// When somebody last began to use the thing. What has no mark yet gets one: its time begins now.
pub(crate) fn last_use(path: &Path) -> io::Result<SystemTime> {
    let mark = mark(path);
    if !mark.exists() {
        fs::OpenOptions::new().create(true).append(true).open(&mark)?;
    }
    mark.metadata()?.modified()
}

fn mark(path: &Path) -> PathBuf {
    path.with_extension(USED)
}
