//! From a bundle that came out of a sandbox to a pushed branch.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use nix::{
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
};
use shared::{Failure, crash_point::CrashPoint};

use super::inspection::{Inspection, Rules};
use crate::{
    git::{Access, Git},
    mirror::{Base, object_format},
    run::{FenceCheck, Problem},
    workspace::Workspace,
    worktree::{BUNDLE, RESULT_REF, Snapshot},
};

/// Largest result of one run, in bytes.
const BUNDLE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A result that waits to be published. No process that could change it is alive.
pub(crate) struct Publication<'a> {
    pub git: &'a Git,
    pub workspace: &'a Workspace,
    pub mirror: &'a Path,
    pub url: &'a str,
    pub access: Option<&'a Access>,
    pub branch: &'a str,
    pub base: &'a Base,
    /// What was tested: nothing else is published.
    pub tested: &'a Snapshot,
    /// What may not be published.
    pub rules: Rules<'a>,
    pub still_held: &'a FenceCheck,
}

/// What was pushed.
pub(crate) struct Pushed {
    pub commit: String,
    pub changes: Changes,
}

/// How much differs from the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub files: u64,
    /// Lines; those of binary files are not counted.
    pub added: u64,
    pub removed: u64,
}

/// Pushes the result to its branch.
///
/// A branch that an earlier run has left, of which nobody knows whether it was told, is replaced: the push
/// names the commit that it read here, so that nothing that came later is overwritten.
pub(crate) async fn publish(result: &Publication<'_>) -> Result<Pushed, Problem> {
    let repository = result.workspace.root().join("publish.git");
    let commit = receive(result, &repository).await?;
    CrashPoint::Received.reached();
    let inspection = Inspection {
        git: result.git,
        repository: &repository,
        base: &result.base.commit,
        commit: &commit,
        rules: &result.rules,
    };
    inspection.pass(&result.workspace.root().join("changes.patch")).await?;
    held(result).await?;
    let reference = format!("refs/heads/{}", result.branch);
    let doing = format!("cannot push {} to {}", result.branch, result.url);
    let remote = result.git.with(result.access);
    let listed = remote.run(&["ls-remote", "--", result.url, &reference]).await;
    let listed = listed.map_err(|error| error.into_failure(&doing))?;
    let found = listed.lines().filter_map(|line| line.split_once('\t')).find(|(_, name)| *name == reference);
    let lease = format!("--force-with-lease={reference}:{}", found.map_or("", |(commit, _)| commit));
    let refspec = format!("{commit}:{reference}");
    // The last moment: after this only the remote's own compare-and-set stands in the way.
    held(result).await?;
    CrashPoint::FenceAsked.reached();
    let push = [
        "push",
        "--quiet",
        "--porcelain",
        "--no-verify",
        "--recurse-submodules=no",
        &lease,
        "--",
        result.url,
        &refspec,
    ];
    remote.run_in(&repository, &push).await.map_err(|error| error.into_failure(&doing))?;
    CrashPoint::Pushed.reached();
    let changes = count_changes(result, &repository, &commit).await;
    Ok(Pushed { commit, changes })
}

/// Counts what the commit changes. Nothing hangs on it: where git cannot tell, nothing is told.
async fn count_changes(result: &Publication<'_>, repository: &Path, commit: &str) -> Changes {
    let args =
        ["diff", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv", &result.base.commit, commit];
    let told = result.git.run_in(repository, &args).await.unwrap_or_default();
    told.lines().fold(Changes::default(), |sum, line| {
        let mut numbers = line.split('\t').map(|number| number.parse().unwrap_or(0));
        let (added, removed) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Changes { files: sum.files + 1, added: sum.added + added, removed: sum.removed + removed }
    })
}

async fn held(result: &Publication<'_>) -> Result<(), Problem> {
    if (result.still_held)().await { Ok(()) } else { Err(Problem::LeaseLost) }
}

/// Brings the bundle's commit into a fresh repository of the worker's own and checks what it is.
async fn receive(result: &Publication<'_>, repository: &Path) -> Result<String, Failure> {
    let (git, base) = (result.git, result.base);
    let refused = |what: &str| Failure::task(format!("the agent's commits cannot be published: {what}"));
    let local = |error: io::Error| Failure::transient(format!("cannot prepare the publication: {error}"));
    let bundle = result.workspace.root().join(BUNDLE);
    copy_bundle(&result.workspace.out(), &bundle).map_err(|error| refused(&error.to_string()))?;
    fs::create_dir(repository).map_err(local)?;
    let transient =
        |error: crate::git::GitError| Failure::transient(format!("cannot prepare the publication: {error}"));
    git.run(&["init", "--quiet", "--bare", object_format(&base.commit), &repository.to_string_lossy()])
        .await
        .map_err(transient)?;
    let objects = format!("{}\n", result.mirror.join("objects").display());
    fs::write(repository.join("objects/info/alternates"), objects).map_err(local)?;
    // The bundle builds on the base, which has to be a reference for git to accept that.
    git.run_in(repository, &["update-ref", "refs/base", &base.commit]).await.map_err(transient)?;

    let refspec = format!("{RESULT_REF}:refs/result");
    let bundle = bundle.to_string_lossy();
    let fetch = [
        "-c",
        "transfer.fsckObjects=true",
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--",
        &bundle,
        &refspec,
    ];
    git.run_in(repository, &fetch).await.map_err(|error| refused(&error.to_string()))?;
    let names = git.run_in(repository, &["rev-parse", "refs/result^{commit}", "refs/result^{tree}"]).await;
    let names = names.map_err(|error| refused(&error.to_string()))?;
    let (commit, tree) = names.trim().split_once('\n').ok_or_else(|| refused("they have no tree"))?;
    if tree != result.tested.tree {
        return Err(refused("they are not what was tested"));
    }
    let descends = git.run_in(repository, &["merge-base", "--is-ancestor", &base.commit, commit]).await;
    descends.map_err(|_| refused("they do not descend from the commit that the work began with"))?;
    Ok(commit.to_owned())
}

/// Copies the bundle out of a directory that an agent may have written to: a regular file in it, no link, and
/// not more than the limit.
fn copy_bundle(out: &Path, target: &Path) -> io::Result<()> {
    let dir = open(out, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    // Without O_NONBLOCK a named pipe would be waited for.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file: OwnedFd = openat(&dir, BUNDLE, flags, Mode::empty())
        .map_err(|errno| io::Error::other(format!("the bundle is not a file ({errno})")))?;
    let file = File::from(file);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("the bundle is not a file"));
    }
    let copied = io::copy(&mut (&file).take(BUNDLE_BYTES_MAX + 1), &mut File::create_new(target)?)?;
    if copied > BUNDLE_BYTES_MAX {
        return Err(io::Error::other(format!("they are larger than {} MiB", BUNDLE_BYTES_MAX / 1024 / 1024)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_bundle_that_is_a_link_or_a_pipe_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (out, secret) = (dir.path().join("out"), dir.path().join("secret"));
        fs::create_dir(&out).unwrap();
        fs::write(&secret, "x").unwrap();
        let bundle = out.join(BUNDLE);

        symlink(&secret, &bundle).unwrap();
        assert!(copy_bundle(&out, &dir.path().join("a")).is_err());
        fs::remove_file(&bundle).unwrap();
        mkfifo(&bundle, Mode::S_IRWXU).unwrap();
        assert!(copy_bundle(&out, &dir.path().join("b")).is_err());
        fs::remove_file(&bundle).unwrap();
        fs::write(&bundle, "bundle").unwrap();
        copy_bundle(&out, &dir.path().join("c")).unwrap();

        let moved = dir.path().join("moved");
        fs::rename(&out, &moved).unwrap();
        symlink(&moved, &out).unwrap();
        assert!(copy_bundle(&out, &dir.path().join("d")).is_err());
    }
}
