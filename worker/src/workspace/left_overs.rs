//! What runs leave behind: workspaces whose run died, and those that are kept for a look.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::sys::signal::{Signal, kill};
use tokio::time::sleep;

use super::{KEPT, LOCK, LockFile, file_name, lock_path, remove_tree};
use crate::{child::Nursery, process_tree::with_environment};

/// What a workspace may hold; the last three are the publication's. A directory with anything else in it, and without
/// a lock, is somebody else's.
const PARTS: [&str; 7] = ["tree", "home", "tmp", "out", "publish.git", "changes.patch", "result.bundle"];

/// How long the processes of a dead run may take to end by themselves, and how long to be killed.
const USERS_GRACE: Duration = Duration::from_secs(2);
const USERS_DEATH_MAX: Duration = Duration::from_secs(10);
const USERS_POLL: Duration = Duration::from_millis(20);

/// The workspace that the entry `path` belongs to, a directory or its lock; `None` where it is kept, or was never
/// one: what somebody else has put there is not ours to remove.
fn left_over(path: &Path) -> Option<PathBuf> {
    let name = file_name(path);
    let root = path.with_file_name(name.strip_suffix(LOCK).unwrap_or(&name));
    (is_name(&file_name(&root)) && (lock_path(&root).is_file() || is_workspace(&root))).then_some(root)
}

/// Kept workspaces below `workspaces`.
pub(crate) fn kept(workspaces: &Path) -> io::Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(workspaces)? {
        let path = entry?.path();
        let name = file_name(&path);
        if name.strip_suffix(KEPT).is_some_and(is_name) && is_workspace(&path) {
            kept.push(path);
        }
    }
    Ok(kept)
}

/// `<task>-<fence>`.
fn is_name(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(task, fence)| {
        !task.is_empty() && !fence.is_empty() && fence.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Whether this is a directory, no link to one, that holds nothing but the parts of a workspace.
fn is_workspace(root: &Path) -> bool {
    let is_part = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| PARTS.iter().any(|part| entry.file_name() == *part))
    };
    !root.is_symlink() && fs::read_dir(root).is_ok_and(|mut entries| entries.all(is_part))
}

/// Removes the workspaces below `workspaces` whose run died with its worker, and says how many. A workspace
/// in use, of this process or another, is locked and stays.
pub(crate) async fn sweep(workspaces: &Path, nursery: &Nursery) -> io::Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(workspaces)? {
        let path = entry?.path();
        let Some(root) = left_over(&path) else { continue };
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

#[cfg(test)]
mod tests {
    use super::{super::Workspace, *};

    #[tokio::test]
    async fn left_overs_are_swept_and_what_is_in_use_or_kept_stays() {
        let dir = tempfile::tempdir().unwrap();
        let nursery = Nursery::default();
        let live = Workspace::create(dir.path(), "live-1", None).unwrap();
        let kept = Workspace::create(dir.path(), "failed-1", None).unwrap().keep().unwrap();
        let crashed = Workspace::create(dir.path(), "crashed-1", None).unwrap();
        let crashed_root = crashed.root().to_owned();
        drop(crashed);
        fs::create_dir_all(dir.path().join("no-lock-at-all-1/tree")).unwrap();

        assert_eq!(sweep(dir.path(), &nursery).await.unwrap(), 2);
        assert!(live.tree().is_dir() && kept.is_dir() && !crashed_root.exists());

        live.remove(&nursery).await.unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["failed-1.kept"]);
    }

    #[tokio::test]
    async fn what_was_never_a_workspace_is_not_swept() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["project-1/src", "empty", "notes.kept/tree", "elsewhere/tree", "tree"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        fs::write(dir.path().join("file-1"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("link-1")).unwrap();
        assert_eq!(sweep(dir.path(), &Nursery::default()).await.unwrap(), 0);
        assert_eq!(kept(dir.path()).unwrap(), [] as [PathBuf; 0]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 7);
    }
}
