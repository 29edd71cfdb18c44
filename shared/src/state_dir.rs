//! The directory in which a user's cluster keeps what outlives a process.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// `$XDG_STATE_HOME/claude-cluster`: readable by its owner alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The directory at `path`, made if need be, with mode 700.
    pub fn create(path: &Path) -> io::Result<Self> {
        private_dir(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        Ok(Self(path.canonicalize()?))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Data of the private redis-server.
    pub fn redis(&self) -> PathBuf {
        self.0.join("redis")
    }

    /// The webhook secret made at first start, mode 600.
    pub fn webhook_secret(&self) -> PathBuf {
        self.0.join("webhook-secret")
    }

    /// The HTTP API's token made at first start, mode 600.
    pub fn api_token(&self) -> PathBuf {
        self.0.join("api-token")
    }

    /// What proves that one process alone is the worker `node`.
    pub fn worker_lock(&self, node: &str) -> PathBuf {
        self.0.join("workers").join(format!("{node}.lock"))
    }

    pub fn mirrors(&self) -> PathBuf {
        self.0.join("mirrors")
    }

    pub fn workspaces(&self) -> PathBuf {
        self.0.join("workspaces")
    }
}

/// Makes `path` and its missing parents, readable by their owner alone.
pub fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
