//! Runs tasks: prepared once, then several at a time.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::sys::prctl;
use sha2::{Digest, Sha256};
use shared::{
    Failure, config::Config, crash_point::CrashPoint, github::GitHub, lifecycle::workspace_name,
    state_dir::StateDir,
};
use tokio::sync::watch;

use crate::{
    agent::Roster,
    child::Nursery,
    git::Git,
    host::Host,
    redact::Redactor,
    run::{Attempt, IssueTalk, Problem, Reporter, RunControl, RunEnd, RunInput, StopReason},
    sandbox::Sandbox,
    workspace::{Owner, Workspace, sweep},
};

/// Where work is done when the agent's user cannot reach the state directory.
const SYSTEM_STATE: &str = "/var/lib/claude-cluster";

/// Everything that runs share.
pub struct Executor {
    config: Config,
    host: Host,
    sandbox: Sandbox,
    agents: Roster,
    redactor: Arc<Redactor>,
    /// `None` without a token.
    github: Option<Arc<GitHub>>,
    workspaces: PathBuf,
    mirrors: PathBuf,
    /// What the setups of repositories have fetched.
    caches: PathBuf,
}

impl Executor {
    /// Finds out what this machine can do and removes what crashed runs have left.
    ///
    /// `host` is the supervisor program's path, or a [`Host`] that also lends an environment. `Err` says what
    /// has to be mended before any task can run here.
    pub async fn prepare(
        config: &Config,
        state_dir: &StateDir,
        host: impl Into<Host>,
    ) -> Result<Self, Failure> {
        let host = host.into();
        let nursery = Nursery::default();
        let git = Git::new(config, &host, nursery.clone());
        git.run(&["--version"]).await.map_err(|error| {
            Failure::configuration(format!("{error}; on Debian and Ubuntu: apt-get install git"))
        })?;
        let sandbox = Sandbox::choose(config, &host, state_dir.path(), &nursery).await?;
        if sandbox.name() == "process" {
            // Nobody but root reads this process' memory and environment any more.
            prctl::set_dumpable(false).map_err(|errno| {
                Failure::configuration(format!("the worker cannot protect its memory: {errno}"))
            })?;
        }
        let [workspaces, mirrors, caches] = work_dirs(config, state_dir, sandbox.owner())?;
        let swept = sweep(&workspaces, &nursery).await;
        match swept {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "removed workspaces of runs that had died"),
            Err(error) => tracing::warn!(%error, "left-over workspaces cannot be removed"),
        }
        let agents = Roster::find(config, &sandbox, &workspaces).await?;
        let github = GitHub::open(&config.github)?;
        Ok(Self {
            config: config.clone(),
            host,
            sandbox,
            agents,
            redactor: Arc::new(Redactor::of(config)),
            github,
            workspaces,
            mirrors,
            caches,
        })
    }

    /// `bubblewrap` or `process`.
    pub fn sandbox(&self) -> &'static str {
        self.sandbox.name()
    }

    /// Why this sandbox, and where it is the lesser one, how to get the better.
    pub fn sandbox_reason(&self) -> &str {
        self.sandbox.reason()
    }

    /// Each agent and, where it tells, its version: `claude 2.1.328`. The one without a specialty is for tasks of
    /// all that have none of their own.
    pub fn agents(&self) -> Vec<(Option<&str>, String)> {
        self.agents.described()
    }

    /// Below it lie the workspaces.
    pub fn workspace_root(&self) -> &Path {
        &self.workspaces
    }

    /// Runs one task to its end. When this returns, no process of the run is alive and its workspace is gone
    /// (or kept, if so configured).
    ///
    /// Reports must be received until then: a run whose reports nobody takes waits. Call it on a runtime
    /// whose threads outlive it; dropping it kills its processes without waiting for them.
    pub async fn run(&self, input: RunInput, control: RunControl) -> RunEnd {
        let RunControl { mut stop, reports, still_held } = control;
        let agent = match self.agents.agent(&input.spec.specialty) {
            Ok(agent) => agent,
            Err(failure) => return RunEnd::Failed(failure),
        };
        let nursery = Nursery::default();
        let name = workspace_name(&input.spec.id, input.fence);
        let workspace = match Workspace::create(&self.workspaces, &name, self.sandbox.owner()) {
            Ok(workspace) => workspace,
            Err(error) => {
                return RunEnd::Failed(Failure::transient(format!("cannot make a workspace: {error}")));
            }
        };
        CrashPoint::WorkspaceMade.reached();
        let reporter = Reporter::new(reports, Arc::clone(&self.redactor));
        let git = Git::new(&self.config, &self.host, nursery.clone());
        let talk = IssueTalk::new(&self.config, &input, &reporter, &still_held);
        let attempt = Attempt {
            config: &self.config,
            sandbox: &self.sandbox,
            agent,
            mirrors: &self.mirrors,
            caches: &self.caches,
            git: &git,
            nursery: &nursery,
            workspace: &workspace,
            input: &input,
            reporter: &reporter,
            still_held: &still_held,
            github: self.github.as_ref(),
            talk: &talk,
        };
        // The one place that listens: whatever the attempt waits for is dropped, and thereby killed.
        let ended = tokio::select! {
            biased;
            () = stopped(&mut stop) => None,
            ended = Box::pin(attempt.run()) => Some(ended),
            never = Box::pin(talk.follow()) => match never {},
        };
        let died = nursery.empty().await;
        let end = match (ended, died) {
            (_, Err(error)) => {
                RunEnd::Failed(Failure::transient(format!("the run could not be ended: {error}")))
            }
            (None, Ok(())) => RunEnd::Stopped(latest(&stop)),
            (Some(Ok(outcome)), Ok(())) => RunEnd::Finished(self.redactor.outcome(outcome)),
            (Some(Err(Problem::LeaseLost)), Ok(())) => RunEnd::Stopped(StopReason::LeaseLost),
            (Some(Err(Problem::Failed(failure))), Ok(())) => RunEnd::Failed(self.redactor.failure(failure)),
        };
        self.leave(workspace, &end, &nursery).await;
        CrashPoint::WorkspaceRemoved.reached();
        // Before the task is settled: a worker that dies in between lets another run say it again.
        talk.close(&end).await;
        CrashPoint::EndSaid.reached();
        end
    }

    async fn leave(&self, workspace: Workspace, end: &RunEnd, nursery: &Nursery) {
        let root = workspace.root().to_owned();
        if self.config.workspace.keep_failed && matches!(end, RunEnd::Failed(_)) {
            match workspace.keep() {
                Ok(kept) => tracing::info!(workspace = %kept.display(), "kept the workspace of a failed run"),
                Err(error) => {
                    tracing::warn!(workspace = %root.display(), %error, "cannot keep the workspace");
                }
            }
        } else if let Err(error) = workspace.remove(nursery).await {
            // The next start sweeps it: its lock is free.
            tracing::warn!(workspace = %root.display(), %error, "cannot remove the workspace");
        }
    }
}

/// Resolves when the run is told to stop; never, when whoever could say so is gone.
async fn stopped(stop: &mut watch::Receiver<Option<StopReason>>) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// While the run was being ended, a weightier reason may have come.
fn latest(stop: &watch::Receiver<Option<StopReason>>) -> StopReason {
    stop.borrow().clone().unwrap_or(StopReason::Shutdown)
}

/// Workspaces, mirrors and caches. Another user must be able to walk down to the first two, and to list neither.
fn work_dirs(config: &Config, state_dir: &StateDir, owner: Option<Owner>) -> Result<[PathBuf; 3], Failure> {
    let root = &config.workspace.root;
    let configured = !root.as_os_str().is_empty();
    let root = match owner {
        _ if configured => root.clone(),
        None => state_dir.path().to_owned(),
        // The state directory is closed to everybody else.
        Some(_) => {
            let digest = Sha256::digest(state_dir.path().as_os_str().as_encoded_bytes());
            Path::new(SYSTEM_STATE).join(hex::encode(&digest[..8]))
        }
    };
    let dirs = ["workspaces", "mirrors", "caches"].map(|name| root.join(name));
    for dir in &dirs {
        let mode = if owner.is_some() && !dir.ends_with("caches") { 0o711 } else { 0o700 };
        make_dirs(dir, mode).map_err(|error| {
            Failure::configuration(format!(
                "cannot make {}: {error}; set workspace.root to a directory that can be written",
                dir.display()
            ))
        })?;
    }
    match owner {
        Some(owner) if !owner.reaches(&dirs[0].join("any")) => Err(Failure::configuration(format!(
            "the user that agents run as (uid {}) cannot reach {}; let others walk through the directories \
             above it (chmod o+x) or set workspace.root to another",
            owner.uid,
            dirs[0].display()
        ))),
        _ => Ok(dirs),
    }
}

fn make_dirs(dir: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
}
