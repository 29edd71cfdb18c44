//! One directory for one run: `<task>-<fence>/{tree,home,tmp,out}`, locked while in use.

mod left_overs;
mod lock;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use nix::unistd::{Gid, Uid, chown};

pub(crate) use self::{
    left_overs::{kept, sweep},
    lock::LockFile,
};
use crate::child::{self, Ending, Ends, Job, Nursery};

/// How long the removal of one workspace may take.
const REMOVE_MAX: Duration = Duration::from_secs(300);

/// Another user than the worker's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub uid: Uid,
    pub gid: Gid,
}

impl Owner {
    /// Whether this user may walk down to `path`.
    pub(crate) fn reaches(self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        path.ancestors().skip(1).all(|dir| {
            fs::metadata(dir).is_ok_and(|dir| {
                let bit = match (dir.uid() == self.uid.as_raw(), dir.gid() == self.gid.as_raw()) {
                    (true, _) => 0o100,
                    (false, true) => 0o010,
                    (false, false) => 0o001,
                };
                dir.mode() & bit != 0
            })
        })
    }
}

/// A locked workspace. [`Workspace::remove`] or [`Workspace::keep`] ends it; a crash leaves it to [`sweep`].
pub(crate) struct Workspace {
    root: PathBuf,
    lock: LockFile,
}

impl Workspace {
    /// Makes the directories below `workspaces`, which exists. With an `owner` they become that user's, and
    /// the directory above them can be walked through but not read.
    pub(crate) fn create(workspaces: &Path, name: &str, owner: Option<Owner>) -> io::Result<Self> {
        let root = workspaces.join(name);
        // The lock comes first: a directory without one is taken for a left-over.
        let lock = LockFile::try_acquire(&lock_path(&root))?
            .ok_or_else(|| io::Error::other(format!("workspace {name} is in use by another run")))?;
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        let workspace = Self { root, lock };
        let mode = if owner.is_some() { 0o711 } else { 0o700 };
        make_dir(&workspace.root, mode)?;
        for dir in [workspace.tree(), workspace.home(), workspace.tmp(), workspace.out()] {
            make_dir(&dir, 0o700)?;
            if let Some(Owner { uid, gid }) = owner {
                chown(&dir, Some(uid), Some(gid))?;
            }
        }
        Ok(workspace)
    }

    /// The repository's working tree.
    pub(crate) fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// `$HOME` of agent and tests, and with it their caches.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Their temporary files.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// What the commit step hands out.
    pub(crate) fn out(&self) -> PathBuf {
        self.root.join("out")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Removes everything. Call it when no process of the run is alive.
    pub(crate) async fn remove(self, nursery: &Nursery) -> io::Result<()> {
        remove_tree(&self.root, nursery).await?;
        self.lock.remove()
    }

    /// Leaves the directory for a person to look at; its name ends in `.kept`, so that no sweep takes it. The janitor
    /// does some day, counted from its time of change.
    pub(crate) fn keep(self) -> io::Result<PathBuf> {
        let kept = self.root.with_file_name(format!("{}{KEPT}", file_name(&self.root)));
        fs::File::open(&self.root)?.set_modified(SystemTime::now())?;
        fs::rename(&self.root, &kept)?;
        self.lock.remove()?;
        Ok(kept)
    }
}

const KEPT: &str = ".kept";
const LOCK: &str = ".lock";

fn lock_path(root: &Path) -> PathBuf {
    root.with_file_name(format!("{}{LOCK}", file_name(root)))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().mode(mode).create(path)?;
    // The process' umask may have taken bits away.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Removes a directory that hostile programs have written to. Links are not followed.
pub(crate) async fn remove_tree(root: &Path, nursery: &Nursery) -> io::Result<()> {
    let quick = root.to_owned();
    if tokio::task::spawn_blocking(move || fs::remove_dir_all(quick)).await.is_ok_and(|done| done.is_ok()) {
        return Ok(());
    }
    // Directories without permissions (Go's module cache makes such), or deeper than there are descriptors.
    for argv in [["chmod", "-R", "u+rwX"], ["rm", "-r", "-f"]] {
        let mut command = Command::new(argv[0]);
        command
            .env_clear()
            .env("PATH", crate::host::SYSTEM_PATH.join(":"))
            .args(&argv[1..])
            .arg("--")
            .arg(root);
        let job = Job { command, ends: Ends::Group };
        let ended = child::capture(nursery, job, &[], REMOVE_MAX).await?;
        if argv[0] == "rm" && ended.ending != Ending::Exited(0) {
            return Err(io::Error::other(format!("cannot remove {}", root.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn odd_files_are_removed_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, "x").unwrap();
        let root = dir.path().join("ws");
        let mut deep = root.clone();
        for _ in 0..300 {
            deep = deep.join("d");
        }
        fs::create_dir_all(&deep).unwrap();
        std::os::unix::fs::symlink(dir.path(), root.join("link")).unwrap();
        fs::create_dir(root.join("locked")).unwrap();
        fs::write(root.join("locked/file"), "x").unwrap();
        fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o000)).unwrap();

        remove_tree(&root, &Nursery::default()).await.unwrap();
        assert!(!root.exists() && precious.exists());
    }
}
