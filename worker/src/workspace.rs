//! One directory for one run: `<task>-<fence>/{tree,home,tmp,out}`, locked while in use.

mod lock;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Gid, Uid, chown},
};
use tokio::time::sleep;

pub(crate) use self::lock::LockFile;
use crate::{
    child::{self, Ending, Ends, Job, Nursery},
    process_tree::with_environment,
};

/// How long the removal of one workspace may take.
const REMOVE_MAX: Duration = Duration::from_secs(300);

/// How long the processes of a dead run may take to end by themselves, and how long to be killed.
const USERS_GRACE: Duration = Duration::from_secs(2);
const USERS_DEATH_MAX: Duration = Duration::from_secs(10);
const USERS_POLL: Duration = Duration::from_millis(20);

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

    /// Leaves the directory for a person to look at; its name ends in `.kept`, so that no sweep takes it.
    pub(crate) fn keep(self) -> io::Result<PathBuf> {
        let kept = self.root.with_file_name(format!("{}{KEPT}", file_name(&self.root)));
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

/// Removes the workspaces below `workspaces` whose run died with its worker, and says how many. A workspace
/// in use, of this process or another, is locked and stays.
pub(crate) async fn sweep(workspaces: &Path, nursery: &Nursery) -> io::Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(workspaces)? {
        let path = entry?.path();
        let name = file_name(&path);
        if name.ends_with(KEPT) {
            continue;
        }
        let root = name.strip_suffix(LOCK).map_or_else(|| path.clone(), |root| path.with_file_name(root));
        // Neither may exist any more: directory and lock are both listed, the first one takes both along.
        if !path.exists() {
            continue;
        }
        let Some(lock) = LockFile::try_acquire(&lock_path(&root))? else { continue };
        if root.exists() {
            end_users_of(&root).await;
            remove_tree(&root, nursery).await?;
            swept += 1;
        }
        lock.remove()?;
    }
    Ok(swept)
}

/// The agents of a dead worker get their death signals from the kernel; a start that comes right after a
/// crash may still meet them, and one whose supervisor was killed as well got none.
async fn end_users_of(root: &Path) {
    let mut home = b"HOME=".to_vec();
    home.extend_from_slice(root.join("home").as_os_str().as_encoded_bytes());
    let began = Instant::now();
    loop {
        let users = with_environment(&home);
        if users.is_empty() || began.elapsed() > USERS_DEATH_MAX {
            return;
        }
        if began.elapsed() > USERS_GRACE {
            for pid in users {
                // One that is gone by now is as good.
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        sleep(USERS_POLL).await;
    }
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
    async fn left_overs_are_swept_and_what_is_in_use_or_kept_stays() {
        let dir = tempfile::tempdir().unwrap();
        let nursery = Nursery::default();
        let live = Workspace::create(dir.path(), "live-1", None).unwrap();
        let kept = Workspace::create(dir.path(), "failed-1", None).unwrap().keep().unwrap();
        let crashed = Workspace::create(dir.path(), "crashed-1", None).unwrap();
        let crashed_root = crashed.root().to_owned();
        drop(crashed);
        fs::create_dir(dir.path().join("no-lock-at-all")).unwrap();

        assert_eq!(sweep(dir.path(), &nursery).await.unwrap(), 2);
        assert!(live.tree().is_dir() && kept.is_dir() && !crashed_root.exists());

        live.remove(&nursery).await.unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["failed-1.kept"]);
    }

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
