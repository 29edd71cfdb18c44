//! A bare git remote of a test's own, in a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// A bare repository with a branch `main`; gone when dropped.
pub struct GitRemote {
    dir: TempDir,
}

impl GitRemote {
    /// A remote whose branch `main` has one commit with these files: path and contents.
    pub fn with_files(files: &[(&str, &str)]) -> Result<Self> {
        let remote = Self::empty()?;
        remote.commit("main", files)?;
        Ok(remote)
    }

    /// A remote without any commit.
    pub fn empty() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ccc-git-").tempdir()?;
        let remote = Self { dir };
        git(remote.dir.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "remote.git"])?;
        Ok(remote)
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("remote.git")
    }

    /// Adds a commit with these files to `branch`, which is made from `main` if need be; returns its name.
    pub fn commit(&self, branch: &str, files: &[(&str, &str)]) -> Result<String> {
        let tree = tempfile::tempdir_in(self.dir.path())?;
        let tree = tree.path();
        git(tree, &["clone", "--quiet", &self.path().to_string_lossy(), "."])?;
        let known = git(tree, &["rev-parse", "--verify", "--quiet", &format!("origin/{branch}")]).is_ok();
        let start = format!("origin/{}", if known { branch } else { "main" });
        if git(tree, &["checkout", "--quiet", "-B", branch, &start]).is_err() {
            git(tree, &["checkout", "--quiet", "--orphan", branch])?;
        }
        for (path, contents) in files {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().context("a file lies in a directory")?)?;
            fs::write(path, contents)?;
        }
        git(tree, &["add", "--all", "--force"])?;
        git(tree, &["commit", "--quiet", "--allow-empty", "--message=files"])?;
        git(tree, &["push", "--quiet", "--force", "origin", branch])?;
        self.git(&["rev-parse", branch])
    }

    /// Adds a commit to `branch` that makes `path` a submodule, at this commit of what lies at `url`.
    pub fn add_submodule(&self, branch: &str, path: &str, url: &str, commit: &str) -> Result<String> {
        let tree = tempfile::tempdir_in(self.dir.path())?;
        let tree = tree.path();
        git(tree, &["clone", "--quiet", "--branch", branch, &self.path().to_string_lossy(), "."])?;
        for (key, value) in [("path", path), ("url", url)] {
            git(tree, &["config", "--file", ".gitmodules", &format!("submodule.{path}.{key}"), value])?;
        }
        git(tree, &["add", ".gitmodules"])?;
        git(tree, &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")])?;
        git(tree, &["commit", "--quiet", "--message=submodule"])?;
        git(tree, &["push", "--quiet", "origin", branch])?;
        self.git(&["rev-parse", branch])
    }

    /// Names of all branches, sorted.
    pub fn branches(&self) -> Result<Vec<String>> {
        let names = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"])?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// A file's contents as `branch` has it.
    pub fn read(&self, branch: &str, path: &str) -> Result<String> {
        git(&self.path(), &["cat-file", "blob", &format!("{branch}:{path}")])
    }

    /// Runs a git command in the remote and returns what it printed, without the last line's end.
    pub fn git(&self, args: &[&str]) -> Result<String> {
        Ok(git(&self.path(), args)?.trim_end().to_owned())
    }
}

fn git(dir: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("LC_ALL", "C")])
        .envs([("GIT_AUTHOR_NAME", "Test"), ("GIT_AUTHOR_EMAIL", "test@localhost")])
        .envs([("GIT_COMMITTER_NAME", "Test"), ("GIT_COMMITTER_EMAIL", "test@localhost")])
        .output()
        .context("git cannot be run; on Debian: apt-get install git")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {said}", args.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}
