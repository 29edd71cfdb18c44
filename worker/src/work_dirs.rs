//! Where a worker works.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use shared::{Failure, config::Config, state_dir::StateDir};

use crate::workspace::Owner;

/// Where work is done when the agent's user cannot reach the state directory.
const SYSTEM_STATE: &str = "/var/lib/claude-cluster";

/// The directories below one root.
#[derive(Clone, Debug)]
pub(crate) struct WorkDirs {
    pub root: PathBuf,
    pub workspaces: PathBuf,
    pub mirrors: PathBuf,
    /// What the setups of repositories have fetched.
    pub caches: PathBuf,
}

impl WorkDirs {
    /// Makes what is not there. Another user, the `owner` of workspaces, must be able to walk down to workspaces and
    /// mirrors, and to list neither.
    pub(crate) fn make(config: &Config, state_dir: &StateDir, owner: Option<Owner>) -> Result<Self, Failure> {
        let root = root(config, state_dir, owner);
        let [workspaces, mirrors, caches] = ["workspaces", "mirrors", "caches"].map(|name| root.join(name));
        let open = if owner.is_some() { 0o711 } else { 0o700 };
        for (dir, mode) in [(&workspaces, open), (&mirrors, open), (&caches, 0o700)] {
            make_dir(dir, mode).map_err(|problem| {
                Failure::configuration(format!(
                    "cannot use {}: {problem}; set workspace.root to a directory that can be written",
                    dir.display()
                ))
            })?;
        }
        match owner {
            Some(owner) if !owner.reaches(&workspaces.join("any")) => Err(Failure::configuration(format!(
                "the user that agents run as (uid {}) cannot reach {}; let others walk through the directories \
                 above it (chmod o+x) or set workspace.root to another",
                owner.uid,
                workspaces.display()
            ))),
            _ => Ok(Self { root, workspaces, mirrors, caches }),
        }
    }
}

fn root(config: &Config, state_dir: &StateDir, owner: Option<Owner>) -> PathBuf {
    let configured = &config.workspace.root;
    match owner {
        _ if !configured.as_os_str().is_empty() => configured.clone(),
        None => state_dir.path().to_owned(),
        // The state directory is closed to everybody else.
        Some(_) => {
            let digest = Sha256::digest(state_dir.path().as_os_str().as_encoded_bytes());
            Path::new(SYSTEM_STATE).join(hex::encode(&digest[..8]))
        }
    }
}

fn make_dir(dir: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    // What is removed there would be somebody else's.
    if dir.is_symlink() {
        return Err(io::Error::other("it is a link, which is not followed"));
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
}
