//! One bare mirror per repository: fetched by one run at a time, read by all of them.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use shared::Failure;

use crate::{
    child::Nursery,
    git::{Access, Git, GitError},
    in_use::InUse,
    workspace::{LockFile, remove_tree},
};

/// The endings of what belongs to one mirror: itself, the one that is to take its place, the one before, the lock of
/// whoever fetches.
pub(crate) const PARTS: [&str; 4] = ["git", "new", "old", LOCK];
pub(crate) const LOCK: &str = "lock";

/// Characters of the digest in a mirror's name.
const DIGEST_LEN: usize = 16;

/// Part of a mirror's name that people can read, in characters.
const READABLE_MAX: usize = 40;

/// A branch of the remote, as it was when the run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub branch: String,
    pub commit: String,
}

/// The remote's branches and their commits.
pub(crate) type Branches = BTreeMap<String, String>;

/// The mirror of one remote.
pub(crate) struct Mirror<'a> {
    git: &'a Git,
    nursery: &'a Nursery,
    access: Option<&'a Access>,
    url: String,
    path: PathBuf,
}

/// What a run starts from.
pub(crate) struct Fetched {
    pub base: Base,
    pub branches: Branches,
}

impl<'a> Mirror<'a> {
    pub(crate) fn new(
        git: &'a Git,
        nursery: &'a Nursery,
        access: Option<&'a Access>,
        mirrors: &Path,
        url: &str,
    ) -> Self {
        let path = mirrors.join(format!("{}-{}.git", readable(url), digest(url)));
        Self { git, nursery, access, url: url.to_owned(), path }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the mirror from being removed for as long as the answer lives: a tree that shares its objects is
    /// nothing without them.
    pub(crate) async fn begin_use(&self) -> Result<InUse, Failure> {
        let used = InUse::begin(&self.path).await;
        used.map_err(|error| Failure::transient(format!("cannot lock {}: {error}", self.path.display())))
    }

    /// Asks the remote for its branches and brings them here where they are new. `base_branch` is what runs
    /// start from; without one, the remote's default.
    pub(crate) async fn fetch(&self, base_branch: Option<&str>) -> Result<Fetched, Failure> {
        let _lock = self.lock().await?;
        let doing = format!("cannot read {}", self.url);
        let ask = ["ls-remote", "--symref", "--", &self.url, "HEAD", "refs/heads/*"];
        let listing = self.git.with(self.access).run(&ask).await;
        let remote = parse_listing(&listing.map_err(|error| error.into_failure(&doing))?);
        let base = self.base(&remote, base_branch)?;
        if !self.has(&base).await {
            self.bring(&base).await?;
        }
        Ok(Fetched { base, branches: remote.branches })
    }

    /// Brings one commit here, of a repository that nothing is published to. The remote is asked in any case: who
    /// may not read it now gets nothing that others have fetched.
    pub(crate) async fn fetch_commit(&self, commit: &str) -> Result<(), Failure> {
        let _lock = self.lock().await?;
        let doing = format!("cannot read {}", self.url);
        let ask = ["ls-remote", "--", &self.url, "HEAD"];
        self.git.with(self.access).run(&ask).await.map_err(|error| error.into_failure(&doing))?;
        let base = Base { branch: String::new(), commit: commit.to_owned() };
        if self.path.is_dir() && self.has_tree(commit).await { Ok(()) } else { self.bring(&base).await }
    }

    /// Throws the mirror away and fetches it anew: for one whose objects turned out to be damaged. Runs that
    /// use it meanwhile find the same objects again at the same place.
    pub(crate) async fn remake(&self, base: &Base) -> Result<(), Failure> {
        let _lock = self.lock().await?;
        self.make(base).await.map_err(|error| self.unfetched(error))
    }

    async fn lock(&self) -> Result<LockFile, Failure> {
        let path = self.path.with_extension(LOCK);
        LockFile::acquire(&path)
            .await
            .map_err(|error| Failure::transient(format!("cannot lock {}: {error}", path.display())))
    }

    fn base(&self, remote: &Listing, wanted: Option<&str>) -> Result<Base, Failure> {
        let url = &self.url;
        if remote.branches.is_empty() {
            return Err(Failure::configuration(format!("{url} is empty: push a first commit to it")));
        }
        let branch = wanted.or(remote.head.as_deref()).ok_or_else(|| {
            Failure::configuration(format!(
                "{url} has no default branch: set base_branch in its [[repository]] entry"
            ))
        })?;
        let commit = remote.branches.get(branch).ok_or_else(|| {
            Failure::configuration(format!(
                "{url} has no branch {branch}: correct base_branch in its [[repository]] entry"
            ))
        })?;
        Ok(Base { branch: branch.to_owned(), commit: commit.clone() })
    }

    /// Whether the mirror has this branch at this commit already, so that no fetch is needed.
    async fn has(&self, base: &Base) -> bool {
        let reference = format!("refs/heads/{}^{{commit}}", base.branch);
        let known = self.path.is_dir()
            && self
                .git
                .run_in(&self.path, &["rev-parse", "--verify", "--quiet", &reference])
                .await
                .is_ok_and(|sha| sha.trim() == base.commit);
        known && self.has_tree(&base.commit).await
    }

    async fn has_tree(&self, commit: &str) -> bool {
        self.git.run_in(&self.path, &["cat-file", "-e", &format!("{commit}^{{tree}}")]).await.is_ok()
    }

    async fn bring(&self, base: &Base) -> Result<(), Failure> {
        if self.path.is_dir() {
            match self.fetch_into(&self.path, base).await {
                Ok(()) => return Ok(()),
                // The remote answered a moment ago, so this end may be the broken one.
                Err(error) => {
                    tracing::warn!(mirror = %self.path.display(), %error, "the mirror is made anew");
                }
            }
        }
        self.make(base).await.map_err(|error| self.unfetched(error))
    }

    fn unfetched(&self, error: GitError) -> Failure {
        error.into_failure(&format!("cannot fetch {}", self.url))
    }

    /// A new mirror takes the place of the old one only when it is whole.
    async fn make(&self, base: &Base) -> Result<(), GitError> {
        let (new, old) = (self.path.with_extension("new"), self.path.with_extension("old"));
        for left_over in [&new, &old] {
            self.clear(left_over).await?;
        }
        // Readable for the agent's user, where that is another one.
        let format = object_format(&base.commit);
        fs::create_dir(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
        self.git.run(&["init", "--quiet", "--bare", "--shared=0644", format, &new.to_string_lossy()]).await?;
        self.fetch_into(&new, base).await?;
        if self.path.exists() {
            fs::rename(&self.path, &old)?;
        }
        fs::rename(&new, &self.path)?;
        self.clear(&old).await?;
        Ok(())
    }

    async fn clear(&self, path: &Path) -> io::Result<()> {
        if path.exists() { remove_tree(path, self.nursery).await } else { Ok(()) }
    }

    async fn fetch_into(&self, mirror: &Path, base: &Base) -> Result<(), GitError> {
        let quiet = ["fetch", "--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head"];
        let narrow =
            ["--no-auto-gc", "--no-recurse-submodules", "--", &self.url, "+refs/heads/*:refs/heads/*"];
        self.git.with(self.access).run_in(mirror, &[&quiet[..], &narrow[..]].concat()).await?;
        self.git.run_in(mirror, &["cat-file", "-e", &format!("{}^{{tree}}", base.commit)]).await?;
        Ok(())
    }
}

/// The option that makes a repository of the same kind as the one that this commit is from.
pub(crate) fn object_format(commit: &str) -> &'static str {
    if commit.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" }
}

/// Whether `text` is an object's name and nothing else.
pub(crate) fn is_object_name(text: &str) -> bool {
    is_digest(text, 40) || is_digest(text, 64)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Listing {
    head: Option<String>,
    branches: Branches,
}

fn parse_listing(text: &str) -> Listing {
    let mut listing = Listing::default();
    for (left, right) in text.lines().filter_map(|line| line.split_once('\t')) {
        match (left.strip_prefix("ref: refs/heads/"), right.strip_prefix("refs/heads/")) {
            (Some(branch), None) if right == "HEAD" => listing.head = Some(branch.to_owned()),
            (None, Some(branch)) if is_object_name(left) => {
                listing.branches.insert(branch.to_owned(), left.to_owned());
            }
            _ => {}
        }
    }
    listing
}

fn readable(url: &str) -> String {
    let path =
        url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/').trim_end_matches(".git");
    let plain: Vec<char> = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let tail: String = plain[plain.len().saturating_sub(READABLE_MAX)..].iter().collect();
    tail.trim_matches('-').to_owned()
}

fn digest(url: &str) -> String {
    hex::encode(&Sha256::digest(url.as_bytes())[..DIGEST_LEN / 2])
}

/// Whether a mirror has this name, without its ending.
pub(crate) fn is_name(stem: &str) -> bool {
    stem.rsplit_once('-').is_some_and(|(_, digest)| is_digest(digest, DIGEST_LEN))
}

/// Whether `text` is so many hexadecimal digits.
pub(crate) fn is_digest(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remotes_default_branch_and_branches_are_read() {
        let sha = "a".repeat(40);
        let text = format!("ref: refs/heads/main\tHEAD\n{sha}\tHEAD\n{sha}\trefs/heads/main\nodd line\n");
        let listing = parse_listing(&text);
        assert_eq!(listing.head.as_deref(), Some("main"));
        assert_eq!(listing.branches, Branches::from([("main".to_owned(), sha)]));
    }

    #[test]
    fn a_mirrors_name_can_be_read_and_is_unique() {
        assert_eq!(readable("git@example.org:octo/cat.git"), "git-example-org-octo-cat");
        assert_eq!(readable("/srv/git/Ünïcode/"), "srv-git--n-code");
        assert_ne!(digest("/a"), digest("/b"));
    }
}
