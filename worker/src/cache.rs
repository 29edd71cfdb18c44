//! What a repository's setup has fetched, kept for its next task.
//!
//! Only what the setup has fetched for the base branch gets in, before any agent has run: no change can leave
//! something behind that a later task would use. Runs get copies. A generation is a directory; the newest is
//! the one that counts, and it is there whole or not at all, because it gets its name last.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::{
    bounded_read::read,
    child::{self, Ending, Ends, Job, Nursery},
    host::SYSTEM_PATH,
    in_use::InUse,
    mirror::is_digest,
    workspace::{LockFile, remove_tree},
};

/// Where package managers keep what they have fetched, below the home.
const PLACES: [&str; 14] = [
    ".bun/install/cache",
    ".bundle",
    ".cache",
    ".cargo/git",
    ".cargo/registry",
    ".composer/cache",
    ".gradle/caches",
    ".gradle/wrapper",
    ".local/share/pnpm",
    ".m2/repository",
    ".npm",
    ".nuget/packages",
    ".yarn",
    "go/pkg/mod",
];

/// Files at the top of a tree that say what is needed.
const MANIFESTS: [&str; 18] = [
    "Cargo.lock",
    "Cargo.toml",
    "Gemfile",
    "Gemfile.lock",
    "build.gradle",
    "build.gradle.kts",
    "bun.lock",
    "composer.json",
    "composer.lock",
    "go.mod",
    "go.sum",
    "package-lock.json",
    "package.json",
    "pnpm-lock.yaml",
    "pom.xml",
    "pyproject.toml",
    "requirements.txt",
    "yarn.lock",
];

/// Characters of a cache's name.
const NAME_LEN: usize = 16;

/// How long one copy may take.
const COPY_MAX: Duration = Duration::from_secs(300);

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Stored,
    /// It holds what these manifests need already, or another run stores it now.
    Unchanged,
    /// More than may be kept.
    TooLarge,
}

/// The kept files of one repository.
pub(crate) struct DependencyCache<'a> {
    dir: PathBuf,
    nursery: &'a Nursery,
}

impl<'a> DependencyCache<'a> {
    /// Below `caches`, by the repository's address.
    pub(crate) fn of(caches: &Path, url: &str, nursery: &'a Nursery) -> Self {
        let name = hex::encode(&Sha256::digest(url)[..NAME_LEN / 2]);
        Self { dir: caches.join(name), nursery }
    }

    /// Copies what is kept into `home`; `false` where nothing is. A copy that breaks off is removed.
    pub(crate) async fn restore(&self, home: &Path) -> io::Result<bool> {
        let _used = InUse::begin(&self.dir).await?;
        let Some(generation) = self.newest() else { return Ok(false) };
        match copy(&generation, home, self.nursery).await {
            Ok(()) => Ok(true),
            Err(error) => {
                for place in PLACES {
                    remove_tree(&home.join(place), self.nursery).await.or_else(unless_absent)?;
                }
                Err(error)
            }
        }
    }

    /// Keeps what `home` holds now, for the manifests in `tree`, unless it is kept already.
    pub(crate) async fn keep(&self, home: &Path, tree: &Path, bytes_max: u64) -> io::Result<Kept> {
        let _used = InUse::begin(&self.dir).await?;
        let name = key(tree);
        fs::create_dir_all(&self.dir)?;
        let Some(lock) = LockFile::try_acquire(&self.dir.join("lock"))? else { return Ok(Kept::Unchanged) };
        let newest = self.newest();
        if newest.as_deref().is_some_and(|newest| newest.to_string_lossy().ends_with(&name)) {
            return Ok(Kept::Unchanged);
        }
        let places: Vec<&str> = PLACES.into_iter().filter(|place| home.join(place).is_dir()).collect();
        let mut left = bytes_max;
        for place in &places {
            match left.checked_sub(size(&home.join(place), left)) {
                Some(rest) => left = rest,
                None => return Ok(Kept::TooLarge),
            }
        }
        let unfinished = self.dir.join("unfinished");
        remove_tree(&unfinished, self.nursery).await.or_else(unless_absent)?;
        for place in places {
            let target = unfinished.join(place);
            fs::create_dir_all(&target)?;
            copy(&home.join(place), &target, self.nursery).await?;
        }
        fs::create_dir_all(&unfinished)?;
        let number = newest.as_deref().and_then(number).unwrap_or(0) + 1;
        fs::rename(&unfinished, self.dir.join(format!("{number:06}-{name}")))?;
        // The one before may just be copied; those before it are not.
        for old in self.generations().into_iter().rev().skip(2) {
            remove_tree(&old, self.nursery).await?;
        }
        drop(lock);
        Ok(Kept::Stored)
    }

    fn newest(&self) -> Option<PathBuf> {
        self.generations().pop()
    }

    /// Oldest first.
    fn generations(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut all: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(|path| number(path).is_some()).collect();
        all.sort();
        all
    }
}

/// Whether a cache has this name.
pub(crate) fn is_name(name: &str) -> bool {
    is_digest(name, NAME_LEN)
}

/// Of `000007-<key>`.
fn number(generation: &Path) -> Option<u32> {
    generation.file_name()?.to_str()?.split_once('-')?.0.parse().ok()
}

/// What the manifests say, as a name.
fn key(tree: &Path) -> String {
    let mut digest = Sha256::new();
    for name in MANIFESTS {
        if let Some(text) = read(&tree.join(name)) {
            digest.update(name);
            digest.update([0]);
            digest.update(&text);
            digest.update([0]);
        }
    }
    hex::encode(&digest.finalize()[..8])
}

/// The content of `from` into `to`, which exists. Shares blocks where the file system can.
async fn copy(from: &Path, to: &Path, nursery: &Nursery) -> io::Result<()> {
    let mut command = Command::new("cp");
    command.env_clear().env("PATH", SYSTEM_PATH.join(":"));
    command.args(["-a", "--reflink=auto", "--"]).arg(from.join(".")).arg(to);
    let copied = child::capture(nursery, Job { command, ends: Ends::Group }, &[], COPY_MAX).await?;
    match copied.ending {
        Ending::Exited(0) => Ok(()),
        _ => Err(io::Error::other(copied.stderr.last().unwrap_or("cp did not end in time").to_owned())),
    }
}

/// Bytes below `dir`; at least `enough` + 1 where there are more than that. Links are not followed.
fn size(dir: &Path, enough: u64) -> u64 {
    let mut bytes = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => dirs.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
            if bytes > enough {
                return bytes;
            }
        }
    }
    bytes
}

fn unless_absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn with(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = dir.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(dir)
        }

        fn read(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.0.path().join(path)).ok()
        }
    }

    #[tokio::test]
    async fn what_was_fetched_comes_back_and_nothing_else_of_the_home() {
        let (caches, nursery) = (tempfile::tempdir().unwrap(), Nursery::default());
        let cache = DependencyCache::of(caches.path(), "https://example.org/a.git", &nursery);
        let tree = Home::with(&[("Cargo.lock", "one")]);
        let home = Home::with(&[(".cargo/registry/x", "crate"), (".cargo/credentials.toml", "secret")]);
        assert!(!cache.restore(home.0.path()).await.unwrap());
        assert_eq!(cache.keep(home.0.path(), tree.0.path(), 1_000).await.unwrap(), Kept::Stored);

        let next = Home::with(&[]);
        assert!(cache.restore(next.0.path()).await.unwrap());
        assert_eq!(next.read(".cargo/registry/x").as_deref(), Some("crate"));
        assert_eq!(next.read(".cargo/credentials.toml"), None);
        let other = DependencyCache::of(caches.path(), "https://example.org/b.git", &nursery);
        assert!(!other.restore(Home::with(&[]).0.path()).await.unwrap(), "another repository's stays apart");
    }

    #[tokio::test]
    async fn a_new_lock_file_makes_a_new_generation_and_old_ones_go() {
        let (caches, nursery) = (tempfile::tempdir().unwrap(), Nursery::default());
        let cache = DependencyCache::of(caches.path(), "url", &nursery);
        for text in ["one", "two", "three", "four"] {
            let tree = Home::with(&[("Cargo.lock", text)]);
            let home = Home::with(&[(".npm/x", text)]);
            assert_eq!(cache.keep(home.0.path(), tree.0.path(), 1_000).await.unwrap(), Kept::Stored);
            assert_eq!(cache.keep(home.0.path(), tree.0.path(), 1_000).await.unwrap(), Kept::Unchanged);
        }
        assert_eq!(cache.generations().len(), 2);
        let next = Home::with(&[]);
        cache.restore(next.0.path()).await.unwrap();
        assert_eq!(next.read(".npm/x").as_deref(), Some("four"));
    }

    #[tokio::test]
    async fn too_much_is_not_kept_and_an_unfinished_copy_does_not_count() {
        let (caches, nursery) = (tempfile::tempdir().unwrap(), Nursery::default());
        let cache = DependencyCache::of(caches.path(), "url", &nursery);
        let (tree, home) = (Home::with(&[]), Home::with(&[(".cache/x", "12345")]));
        assert_eq!(cache.keep(home.0.path(), tree.0.path(), 4).await.unwrap(), Kept::TooLarge);
        fs::create_dir_all(cache.dir.join("unfinished/.cache")).unwrap();
        assert!(!cache.restore(home.0.path()).await.unwrap());
        assert_eq!(cache.keep(home.0.path(), tree.0.path(), 5).await.unwrap(), Kept::Stored);
    }
}
