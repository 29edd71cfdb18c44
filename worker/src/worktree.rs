//! Git inside a workspace's tree: always in the sandbox, because an agent may have written what it likes
//! into `.git`, filters and programs included.

use std::{ffi::OsString, path::Path, time::Duration};

use shared::{Failure, config::GitConfig, task::cut};

use crate::{
    child::{self, Captured, Ending, Nursery},
    mirror::{Base, is_object_name, object_format},
    sandbox::{Confined, Sandbox},
    submodules::Submodule,
    workspace::Workspace,
};

/// Name of the bundle in the workspace's `out`.
pub(crate) const BUNDLE: &str = "result.bundle";

/// The reference that the bundle holds.
pub(crate) const RESULT_REF: &str = "refs/claude-cluster/result";

/// Git without the hooks and helpers that the tree's own configuration may name. Not a protection, which is
/// the sandbox's part, but a husky hook must not make a commit fail.
const PRELUDE: &str = r#"
set -eu
git() { command git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 -c maintenance.auto=false "$@"; }
restore_submodules() {
    for path; do
        if [ -d "$path/.git" ]; then
            git -C "$path" --git-dir=.git --work-tree=. reset --quiet --hard
            git -C "$path" --git-dir=.git --work-tree=. clean --quiet --force -d
        fi
    done
}
"#;

/// Arguments: object format option, branch, mirror, base branch, base commit. Files are written by as many processes as
/// there are cores. Prints how many files are LFS pointers
/// and how many submodules there are.
const CHECK_OUT: &str = r#"
git init --quiet --template= "$1" --initial-branch="$2" .
printf '%s\n' "$3/objects" > .git/objects/info/alternates
mkdir -p .git/info
printf '%s\n' __pycache__/ '*.pyc' .pytest_cache/ node_modules/ > .git/info/exclude
git update-ref "refs/remotes/origin/$4" "$5"
git -c checkout.workers=0 reset --quiet --hard "$5"
if [ -f Cargo.toml ]; then echo /target/ >> .git/info/exclude; fi
if git grep --quiet --cached -e filter=lfs -- .gitattributes '*/.gitattributes'; then
    pointer='^version https://git-lfs.github.com/spec/'
    git ls-files -z -- ':(attr:filter=lfs)' | xargs -0 grep --files-with-matches --no-messages -e "$pointer" -- |
        wc -l | sed 's/^/lfs /'
fi
if [ -f .gitmodules ]; then git ls-files --stage | grep -c '^160000' | sed 's/^/submodules /'; fi
"#;

/// Arguments: object format option, path, mirror, commit. A repository of that commit alone, which needs its mirror no
/// longer.
const CHECK_OUT_SUBMODULE: &str = r#"
mkdir -p -- "$2"
cd -- "$2"
git init --quiet --template= "$1" .
printf '%s\n' "$3/objects" > .git/objects/info/alternates
printf '%s\n' "$4" > .git/shallow
git update-ref --no-deref HEAD "$4"
git reset --quiet --hard
git repack -a -d --quiet
rm .git/objects/info/alternates
"#;

/// Arguments: base commit, submodules. What is ignored stays: it is what a setup has made.
const RESTORE: &str = r#"
git reset --quiet --hard "$1"
git clean --quiet --force -d
shift
restore_submodules "$@"
"#;

/// Arguments: submodules, in which nothing that was changed stays: it is not published, and no test must rely on it.
/// Prints the tree of all that is there now, and HEAD. A killed git leaves its locks behind.
const SNAPSHOT: &str = r#"
rm -f .git/index.lock .git/HEAD.lock
restore_submodules "$@"
git add --all
git write-tree
git rev-parse --verify 'HEAD^{commit}'
"#;

/// Arguments: tree, parent, base commit, bundle, reference. The message comes on standard input.
const COMMIT: &str = r#"
if [ "$(git rev-parse "$2^{tree}")" = "$1" ]; then commit=$2; else commit=$(git commit-tree "$1" -p "$2" -F -); fi
git update-ref "$5" "$commit"
git bundle create --quiet "$4" "$5" "^$3"
"#;

/// What the tree held at one moment. The names come out of the sandbox: good for comparing, to be verified
/// before they are relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub tree: String,
    pub head: String,
}

/// Git in one workspace.
pub(crate) struct Worktree<'a> {
    pub sandbox: &'a Sandbox,
    pub workspace: &'a Workspace,
    pub mirror: &'a Path,
    pub nursery: &'a Nursery,
    pub config: &'a GitConfig,
    /// Paths of submodules that are there.
    pub submodules: Vec<String>,
}

impl Worktree<'_> {
    /// A clone that shares the mirror's objects, on `branch`, at the base. `Err` holds what git said.
    pub(crate) async fn check_out(&self, branch: &str, base: &Base) -> Result<Absent, String> {
        let mirror = self.mirror.to_string_lossy();
        let args = [object_format(&base.commit), branch, &mirror, &base.branch, &base.commit];
        self.git(CHECK_OUT, &args, &[], false).await.map(|said| Absent::parse(&said))
    }

    /// Fills the directory of a submodule from the mirror that this is given instead of the repository's own.
    pub(crate) async fn check_out_submodule(
        &self,
        submodule: &Submodule,
        mirror: &Path,
    ) -> Result<(), String> {
        let Submodule { path, commit, .. } = submodule;
        let args = [object_format(commit), path, &mirror.to_string_lossy(), commit];
        let Self { sandbox, workspace, nursery, config, .. } = *self;
        let there = Worktree { sandbox, workspace, mirror, nursery, config, submodules: Vec::new() };
        there.git(CHECK_OUT_SUBMODULE, &args, &[], false).await.map(drop)
    }

    /// Undoes what tests and setup have done to the tree, before the agent works in it.
    pub(crate) async fn restore(&self, base: &Base) -> Result<(), Failure> {
        let submodules = self.submodules.iter().map(String::as_str);
        let args: Vec<&str> = [base.commit.as_str()].into_iter().chain(submodules).collect();
        let restored = self.git(RESTORE, &args, &[], false).await;
        restored.map(drop).map_err(|said| {
            Failure::transient(format!("cannot restore the tree after the setup: {}", said.trim()))
        })
    }

    /// Stages everything and names it.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Failure> {
        let submodules: Vec<&str> = self.submodules.iter().map(String::as_str).collect();
        let said = self.git(SNAPSHOT, &submodules, &[], false).await.map_err(|said| damaged(&said))?;
        let mut names = said.lines().map(str::to_owned).filter(|name| is_object_name(name));
        match (names.next(), names.next()) {
            (Some(tree), Some(head)) => Ok(Snapshot { tree, head }),
            _ => Err(damaged(&said)),
        }
    }

    /// Commits the snapshot's tree on top of what the agent has committed itself, and bundles all that is not
    /// in the base.
    pub(crate) async fn bundle(
        &self,
        snapshot: &Snapshot,
        base: &Base,
        message: &str,
    ) -> Result<(), Failure> {
        let bundle = self.workspace.out().join(BUNDLE);
        let bundle = bundle.to_string_lossy();
        let args = [snapshot.tree.as_str(), &snapshot.head, &base.commit, &bundle, RESULT_REF];
        self.git(COMMIT, &args, message.as_bytes(), true).await.map(drop).map_err(|said| damaged(&said))
    }

    async fn git(&self, script: &str, args: &[&str], input: &[u8], out: bool) -> Result<String, String> {
        let script = [PRELUDE, script].concat();
        let mut call: Vec<OsString> = vec!["/bin/sh".into(), "-c".into(), script.into(), "sh".into()];
        call.extend(args.iter().map(OsString::from));
        let job = self.sandbox.job(&Confined {
            workspace: self.workspace,
            mirror: Some(self.mirror),
            out,
            network: false,
            files: &[],
            env: environment(self.config, self.workspace),
            argv: call,
        });
        let wall_clock = Duration::from_millis(self.config.timeout_ms);
        let captured = child::capture(self.nursery, job, input, wall_clock).await;
        match captured.map_err(|error| error.to_string())? {
            Captured { ending: Ending::Exited(0), stdout, .. } => Ok(stdout),
            Captured { ending: Ending::OverTime, .. } => {
                Err("git took longer than git.timeout_ms".to_owned())
            }
            Captured { stderr, .. } => Err(cut(&stderr.text(), 600).to_owned()),
        }
    }
}

/// What of a checked-out tree is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Absent {
    /// Files that are LFS pointers.
    pub lfs: u32,
    /// Submodules, whose directories are empty.
    pub submodules: u32,
}

impl Absent {
    fn parse(said: &str) -> Self {
        let count = |of: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(of)?.strip_prefix(' '));
            line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
        };
        Self { lfs: count("lfs"), submodules: count("submodules") }
    }
}

fn damaged(said: &str) -> Failure {
    Failure::task(format!("the agent left a working tree that git cannot commit ({})", said.trim()))
}

/// Author and committer, for the engine's commits and the agent's own; nothing of the machine's settings, and
/// no other repository than the workspace's, even where that is broken.
pub(crate) fn environment(config: &GitConfig, workspace: &Workspace) -> Vec<(String, OsString)> {
    let (name, email) = (config.user_name.as_str(), config.user_email.as_str());
    let ceiling = workspace.root().to_string_lossy();
    [
        ("GIT_AUTHOR_NAME", name),
        ("GIT_AUTHOR_EMAIL", email),
        ("GIT_COMMITTER_NAME", name),
        ("GIT_COMMITTER_EMAIL", email),
        ("GIT_CEILING_DIRECTORIES", &ceiling),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.into()))
    .to_vec()
}
