//! What may be removed where nobody uses it.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::measure::measure;
use crate::{
    cache,
    child::Nursery,
    in_use::{self, USED},
    mirror,
    work_dirs::WorkDirs,
    workspace::{kept, remove_tree},
};

/// In the order in which they are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The workspace of a failed run, kept for a look.
    Kept,
    /// What the setups of one repository have fetched.
    Cache,
    Mirror,
}

impl Kind {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept workspace",
            Self::Cache => "cache",
            Self::Mirror => "mirror",
        }
    }
}

/// One of them.
#[derive(Debug)]
pub(super) struct Thing {
    pub kind: Kind,
    pub path: PathBuf,
    pub bytes: u64,
    pub used_at: SystemTime,
}

impl Thing {
    /// Since the last use. A clock that was set back makes it younger, never older.
    pub(super) fn unused(&self) -> Duration {
        self.used_at.elapsed().unwrap_or_default()
    }

    /// `Ok(false)` where somebody uses it.
    pub(super) async fn remove(&self, nursery: &Nursery) -> io::Result<bool> {
        if self.kind == Kind::Kept {
            remove_tree(&self.path, nursery).await?;
            return Ok(true);
        }
        let Some(alone) = in_use::unless_in_use(&self.path)? else { return Ok(false) };
        for part in self.parts() {
            match fs::symlink_metadata(&part) {
                Ok(found) if found.is_dir() => remove_tree(&part, nursery).await?,
                Ok(_) => fs::remove_file(&part)?,
                Err(_) => {}
            }
        }
        // Last: whoever waits for it finds nothing and makes everything anew.
        alone.remove()?;
        Ok(true)
    }

    fn parts(&self) -> Vec<PathBuf> {
        match self.kind {
            Kind::Kept | Kind::Cache => vec![self.path.clone()],
            Kind::Mirror => mirror::PARTS.map(|part| self.path.with_extension(part)).to_vec(),
        }
    }
}

/// Everything that may be removed, measured. What does not look like a worker's own is left out.
pub(super) fn inventory(dirs: &WorkDirs, told: &CancellationToken) -> io::Result<Vec<Thing>> {
    let mut things = Vec::new();
    for path in kept(&dirs.workspaces)? {
        // A person may have removed it just now.
        let Ok(used_at) = fs::symlink_metadata(&path).and_then(|found| found.modified()) else { continue };
        things.push(Thing { kind: Kind::Kept, bytes: measure(&path, told), used_at, path });
    }
    for (kind, dir) in [(Kind::Cache, &dirs.caches), (Kind::Mirror, &dirs.mirrors)] {
        for path in paths(kind, dir)? {
            let used_at = in_use::last_use(&path)?;
            let mut thing = Thing { kind, path, bytes: 0, used_at };
            thing.bytes = thing.parts().iter().map(|part| measure(part, told)).sum();
            things.push(thing);
        }
    }
    Ok(things)
}

/// Caches or mirrors in `dir`: also those of which only a part is there, because somebody died.
fn paths(kind: Kind, dir: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let extension = path.extension().unwrap_or_default().to_str().unwrap_or_default();
        let is_link = entry.file_type()?.is_symlink();
        let stem = path.file_stem().unwrap_or_default().to_str().unwrap_or_default();
        match kind {
            _ if is_link => {}
            Kind::Mirror if mirror::PARTS.contains(&extension) || extension == USED => {
                if mirror::is_name(stem) {
                    paths.insert(path.with_extension(mirror::PARTS[0]));
                }
            }
            Kind::Cache if (extension.is_empty() || extension == USED) && cache::is_name(stem) => {
                paths.insert(path.with_extension(""));
            }
            Kind::Kept | Kind::Cache | Kind::Mirror => {}
        }
    }
    // One whose main part is a link was put there by somebody who wants it so.
    paths.retain(|path| !path.is_symlink());
    Ok(paths)
}
