//! Who a worker is: a node, a process of it, and the lock that proves that there is one only.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::PathBuf,
};

use shared::{queue::Holder, state_dir::StateDir, state_dir::private_dir};

/// Longest node id, in bytes.
const NODE_BYTES_MAX: usize = 100;

/// Why this process cannot be the worker it wants to be.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "'{0}' is not a node id: 1 to {NODE_BYTES_MAX} of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
    )]
    Invalid(String),
    #[error(
        "another worker with the node id '{node}' runs on this machine (lock {}); stop it, or give this one another id with --node-id",
        .lock.display()
    )]
    Taken { node: String, lock: PathBuf },
    #[error("the lock file {} cannot be used: {source}", .lock.display())]
    Lock { lock: PathBuf, source: io::Error },
}

/// A node id that this process alone holds on this machine, for as long as the value lives.
#[derive(Debug)]
pub struct Identity {
    pub holder: Holder,
    /// See [`shared::worker_info::WorkerInfo::lock`].
    pub lock: String,
    /// The kernel releases it when the process ends, however it ends.
    _file: File,
}

impl Identity {
    /// Takes `node`, which must not be empty.
    pub fn take(node: &str, state_dir: &StateDir) -> Result<Self, IdentityError> {
        let plain = node.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let starts = node.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !plain || !starts || node.len() > NODE_BYTES_MAX {
            return Err(IdentityError::Invalid(node.chars().take(NODE_BYTES_MAX).collect()));
        }
        let lock = state_dir.worker_lock(node);
        let broken = |source| IdentityError::Lock { lock: lock.clone(), source };
        if let Some(parent) = lock.parent() {
            private_dir(parent).map_err(broken)?;
        }
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let mut file = options.map_err(broken)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(IdentityError::Taken { node: node.to_owned(), lock });
            }
            Err(TryLockError::Error(source)) => return Err(broken(source)),
        }
        // For people; the lock itself is what counts.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        let meta = file.metadata().map_err(broken)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let holder = Holder { node: node.to_owned(), incarnation: uuid::Uuid::now_v7().to_string() };
        Ok(Self { holder, lock: format!("{}:{}:{}", boot.trim(), meta.dev(), meta.ino()), _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_processes_with_one_id_the_second_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(dir.path()).unwrap();
        let first = Identity::take("pc-1", &state).unwrap();
        assert!(matches!(Identity::take("pc-1", &state), Err(IdentityError::Taken { .. })));
        assert!(Identity::take("pc-2", &state).is_ok());
        let lock = first.lock.clone();
        drop(first);
        let second = Identity::take("pc-1", &state).unwrap();
        assert_eq!(second.lock, lock, "the same lock, so the former holder is proven dead");
    }

    #[test]
    fn ids_that_would_be_paths_or_the_parked_consumer_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(dir.path()).unwrap();
        for bad in ["", "-", "../x", "a b", "a/b", ".x"] {
            assert!(matches!(Identity::take(bad, &state), Err(IdentityError::Invalid(_))), "{bad}");
        }
    }
}
