//! What is measured.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use shared::{
    RepositoryName, TaskId, TaskSpec,
    config::{Config, Driver},
    lifecycle::Fence,
    state_dir::StateDir,
};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use worker::{
    executor::Executor,
    run::{Allowance, Charge, Phase, REPORTS_MAX, Report, RunControl, RunInput, StopReason},
};

use crate::repository;

/// A repository and an executor that works on it.
pub struct Bed {
    dir: TempDir,
    executor: Arc<Executor>,
}

/// One run of ours.
pub struct Times {
    /// From its beginning until the agent starts.
    pub ready: Duration,
    /// From its being stopped until nothing of it is left.
    pub removed: Duration,
}

impl Bed {
    pub async fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ccc-bench-").tempdir()?;
        repository::make(&dir.path().join("remote.git"))?;
        let mut config = Config::defaults()?;
        config.agent.driver = Driver::Command;
        config.agent.command = vec!["/bin/sleep".to_owned(), "600".to_owned()];
        config.workspace.free_bytes_min = 0;
        let state = StateDir::create(&dir.path().join("state"))?;
        // The supervisor is for the process sandbox, which is not measured.
        let supervisor = PathBuf::from("/bin/false");
        let executor = Executor::prepare(&config, &state, supervisor).await;
        let executor = executor.map_err(|failure| anyhow!(failure.message))?;
        ensure!(executor.sandbox() == "bubblewrap", "{}", executor.sandbox_reason());
        Ok(Self { dir, executor: Arc::new(executor) })
    }

    /// A run that has to make the mirror first.
    pub async fn cold(&self) -> Result<Duration> {
        Ok(self.run().await?.ready)
    }

    pub async fn warm(&self) -> Result<Times> {
        self.run().await
    }

    /// What a mirror costs by hand.
    pub fn clone_bare(&self) -> Result<Duration> {
        let target = self.dir.path().join("clone.git");
        // As from another machine: without links to the remote's files.
        let url = format!("file://{}", self.remote().display());
        timed(Command::new("git").args(["clone", "--quiet", "--bare", "--", &url]).arg(target))
    }

    /// What a working tree of the mirror costs by hand.
    pub fn worktree_add(&self) -> Result<Duration> {
        let (mirror, tree) = (self.mirror()?, self.dir.path().join("by-hand"));
        let git = || {
            let mut git = Command::new("git");
            git.arg("--git-dir").arg(&mirror).arg("worktree");
            git
        };
        let time = timed(git().args(["add", "--quiet", "--detach"]).arg(&tree).arg("refs/heads/main"))?;
        timed(git().args(["remove", "--force"]).arg(&tree))?;
        Ok(time)
    }

    fn remote(&self) -> PathBuf {
        self.dir.path().join("remote.git")
    }

    fn mirror(&self) -> Result<PathBuf> {
        let entries = fs::read_dir(self.dir.path().join("state/mirrors"))?;
        let is_mirror = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "git");
        entries.flatten().map(|entry| entry.path()).find(is_mirror).context("there is a mirror")
    }

    async fn run(&self) -> Result<Times> {
        settle()?;
        let repository = RepositoryName::Path(self.remote().display().to_string());
        let spec = TaskSpec::new(TaskId::generate(), repository, "measure");
        let node = "bench".to_owned();
        let input = RunInput { spec, run: 1, attempts: 0, fence: Fence(1), node, choices: Vec::new() };
        let (stop, stopped) = watch::channel(None);
        let (sender, mut reports) = mpsc::channel(REPORTS_MAX);
        let still_held = Arc::new(|| Box::pin(async { true }) as _);
        let charge: Charge = Arc::new(|_| Box::pin(async { Some(Allowance::default()) }));
        let may_tell = Arc::clone(&still_held);
        let control = RunControl { stop: stopped, reports: sender, still_held, may_tell, charge };
        let executor = Arc::clone(&self.executor);
        let began = Instant::now();
        let run = tokio::spawn(async move { executor.run(input, control).await });
        loop {
            match reports.recv().await {
                Some(Report::Phase(Phase::Agent { .. })) => break,
                Some(_) => {}
                None => bail!("the run ended before its agent: {:?}", run.await?),
            }
        }
        let ready = began.elapsed();
        let told = Instant::now();
        stop.send(Some(StopReason::Shutdown))?;
        while reports.recv().await.is_some() {}
        run.await?;
        Ok(Times { ready, removed: told.elapsed() })
    }
}

/// Runs a command without this machine's git settings.
fn timed(command: &mut Command) -> Result<Duration> {
    settle()?;
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let began = Instant::now();
    let output = command.output()?;
    let took = began.elapsed();
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

/// Nobody pays for what another has left to be written.
fn settle() -> Result<()> {
    ensure!(Command::new(Path::new("/bin/sync")).status()?.success(), "sync");
    Ok(())
}
