//! Who owns the private redis-server, and what the others may expect of it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::EmbeddedRedisError;

/// What the owner says of its server, in the file that it holds the lock of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerSays {
    /// Nothing serves now: a server that still answers is the former owner's, and about to end.
    Unready,
    /// The server stays as long as its owner.
    Serving,
    /// The server is there for one command and ends in a moment.
    Passing,
}

impl OwnerSays {
    /// Words of one length, so that one replaces the other in a single write.
    fn word(self) -> &'static [u8] {
        match self {
            Self::Unready => b"unready\n",
            Self::Serving => b"serving\n",
            Self::Passing => b"passing\n",
        }
    }

    /// What the owner of `dir` said last. Meaningless while there is none.
    pub fn read(dir: &Path) -> Self {
        let text = fs::read(lock(dir)).unwrap_or_default();
        let known = [Self::Serving, Self::Passing].into_iter().find(|says| says.word() == text);
        known.unwrap_or(Self::Unready)
    }
}

/// Proof of ownership: a lock that is held as long as this lives, and that the kernel frees even after `kill -9`.
pub struct Ownership {
    file: File,
    path: PathBuf,
}

impl Ownership {
    /// Takes the ownership of `dir` if nobody has it.
    pub fn take(dir: &Path) -> Result<Option<Self>, EmbeddedRedisError> {
        let path = lock(dir);
        let refuse = || EmbeddedRedisError::io(format!("lock {}", path.display()));
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(refuse())?;
        match file.try_lock() {
            Ok(()) => {
                let ownership = Self { file, path };
                ownership.say(OwnerSays::Unready)?;
                Ok(Some(ownership))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(refuse()(error)),
        }
    }

    pub fn say(&self, says: OwnerSays) -> Result<(), EmbeddedRedisError> {
        let what = format!("write {}", self.path.display());
        self.file.write_all_at(says.word(), 0).map_err(EmbeddedRedisError::io(what))
    }
}

fn lock(dir: &Path) -> PathBuf {
    dir.join("owner.lock")
}
