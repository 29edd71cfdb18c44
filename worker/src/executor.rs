//! Runs tasks: prepared once, then several at a time.

mod placing;

use std::{path::Path, sync::Arc};

use nix::sys::prctl;
use shared::{
    Failure, config::Config, crash_point::CrashPoint, github::GitHub, lifecycle::workspace_name,
    state_dir::StateDir,
};
use tokio::sync::watch;

use crate::{
    agent::{Ground, Roster},
    child::Nursery,
    disk::Disk,
    footprint::Watch,
    git::Git,
    host::Host,
    janitor::Janitor,
    redact::Redactor,
    run::{Attempt, IssueTalk, Problem, Reporter, RunControl, RunEnd, RunInput, Spending, StopReason},
    sandbox::Sandbox,
    work_dirs::WorkDirs,
    workspace::{Workspace, sweep},
};

/// Everything that runs share.
pub struct Executor {
    config: Config,
    host: Host,
    sandbox: Sandbox,
    agents: Roster,
    redactor: Arc<Redactor>,
    /// `None` without a token.
    github: Option<Arc<GitHub>>,
    dirs: WorkDirs,
    disk: Arc<Disk>,
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
        let dirs = WorkDirs::make(config, state_dir, sandbox.owner())?;
        let swept = sweep(&dirs.workspaces, &nursery).await;
        match swept {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "removed workspaces of runs that had died"),
            Err(error) => tracing::warn!(%error, "left-over workspaces cannot be removed"),
        }
        let ground = Ground {
            sandbox: &sandbox,
            config: &config.sandbox,
            host: &host,
            private: state_dir.path(),
            workspaces: &dirs.workspaces,
        };
        let agents = Roster::find(config, &ground).await?;
        let redactor = Arc::new(Redactor::of(config, &host));
        let learning = Arc::clone(&redactor);
        let github =
            GitHub::open_telling(&config.github, Box::new(move |token, until| learning.learn(token, until)))?;
        Ok(Self {
            config: config.clone(),
            host,
            sandbox,
            agents,
            redactor,
            github,
            disk: Arc::new(Disk::of(&dirs.root, config.workspace.free_bytes_min)),
            dirs,
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
        &self.dirs.workspaces
    }

    /// The client of GitHub; `None` without a token.
    pub(crate) fn github(&self) -> Option<&Arc<GitHub>> {
        self.github.as_ref()
    }

    /// Where runs need room.
    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// Who keeps the disk free of what nobody needs any more.
    pub fn janitor(&self) -> Janitor {
        let nursery = Nursery::default();
        let git = Git::new(&self.config, &self.host, nursery.clone());
        Janitor::new(&self.config.workspace, self.dirs.clone(), Arc::clone(&self.disk), git, nursery)
    }

    /// Runs one task to its end; begins none while the disk is nearly full. When this returns, no process of the run is alive and its workspace is gone
    /// (or kept, if so configured).
    ///
    /// Reports must be received until then: a run whose reports nobody takes waits. Call it on a runtime
    /// whose threads outlive it; dropping it kills its processes without waiting for them.
    pub async fn run(&self, input: RunInput, control: RunControl) -> RunEnd {
        if let Some(shortage) = self.disk.shortage() {
            self.disk.want_room();
            return RunEnd::NotBegun { why: shortage.to_string() };
        }
        let RunControl { mut stop, reports, still_held, charge, may_tell } = control;
        let reporter = Reporter::new(reports, Arc::clone(&self.redactor));
        let spending = Spending::new(&charge);
        let input = match self.place(input, &reporter, &spending, &mut stop).await {
            Ok(input) => input,
            Err(end) => return end,
        };
        let agent = match self.agents.agent(&input.spec.specialty) {
            Ok(agent) => agent,
            Err(failure) => return RunEnd::Failed(failure),
        };
        let nursery = Nursery::default();
        let name = workspace_name(&input.spec.id, input.fence);
        let workspace = match Workspace::create(&self.dirs.workspaces, &name, self.sandbox.owner()) {
            Ok(workspace) => workspace,
            Err(error) => {
                return RunEnd::Failed(Failure::transient(format!("cannot make a workspace: {error}")));
            }
        };
        CrashPoint::WorkspaceMade.reached();
        let git = Git::new(&self.config, &self.host, nursery.clone());
        let talk = IssueTalk::new(&self.config, &input, &reporter, &may_tell, &spending);
        let attempt = Attempt {
            config: &self.config,
            sandbox: agent.sandbox(),
            agent,
            mirrors: &self.dirs.mirrors,
            caches: &self.dirs.caches,
            git: &git,
            nursery: &nursery,
            workspace: &workspace,
            input: &input,
            reporter: &reporter,
            still_held: &still_held,
            spending: &spending,
            github: self.github.as_ref(),
            talk: &talk,
        };
        let watch = Watch {
            root: workspace.root(),
            disk: &self.disk,
            bytes_max: self.config.sandbox.disk_bytes_max,
            free_bytes_min: self.config.workspace.free_bytes_min,
        };
        // The one place that listens: whatever the attempt waits for is dropped, and thereby killed.
        let ended = tokio::select! {
            biased;
            () = stopped(&mut stop) => None,
            ended = Box::pin(attempt.run()) => Some(ended),
            failure = watch.exceeded() => Some(Err(Problem::Failed(failure))),
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
        // What was told by an agent that was stopped has been spent, too.
        spending.settle_rest().await;
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
