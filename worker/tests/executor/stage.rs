//! A remote, an executor and one scripted agent.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use shared::{
    Failure, Outcome, Specialty, TaskSpec,
    config::{Config, Driver, SandboxMode},
    lifecycle::Fence,
    state_dir::StateDir,
    task_log::LogStream,
};
use tempfile::TempDir;
use testkit::GitRemote;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use worker::{
    executor::Executor,
    run::{
        Allowance, Charge, FenceCheck, Phase, REPORTS_MAX, Report, RunControl, RunEnd, RunInput, StopReason,
    },
};

/// Nothing that a test waits for takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A repository whose tests are green when the file `answer` says 42.
pub const MAKEFILE: &str = "test:\n\t@echo checking; grep -qx 42 answer\n";

pub struct Stage {
    dir: TempDir,
    pub remote: GitRemote,
    pub config: Config,
}

impl Stage {
    /// A remote with [`MAKEFILE`] and a wrong answer.
    pub fn new() -> Self {
        Self::with_files(&[("Makefile", MAKEFILE), ("answer", "41\n")])
    }

    pub fn with_files(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("ccc-run-").tempdir().unwrap();
        // An agent that runs as another user has to reach its workspace.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let mut config = Config::defaults().unwrap();
        config.agent.driver = Driver::Command;
        config.sandbox.mode = SandboxMode::Bubblewrap;
        config.sandbox.tool_paths.clear();
        config.agent.wall_clock_ms = 60_000;
        config.test.timeout_ms = 60_000;
        Self { dir, remote: GitRemote::with_files(files).unwrap(), config }
    }

    /// Runs go without namespaces: as another user where the test may switch, else as its own.
    pub fn in_process_mode(mut self) -> Self {
        self.config.sandbox.mode = SandboxMode::Process;
        self.config.sandbox.allow_same_user = true;
        self.config.workspace.root = self.dir.path().join("work");
        self
    }

    /// The agent is this script; its prompt is on standard input.
    pub fn agent(mut self, script: &str) -> Self {
        let path = self.program("agent.sh", script);
        self.config.agent.command = vec![path.display().to_string()];
        self
    }

    /// Writes an executable script that any user may run.
    pub fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub async fn try_executor(&self) -> Result<Arc<Executor>, Failure> {
        let state = StateDir::create(&self.state()).unwrap();
        Executor::prepare(&self.config, &state, supervisor()).await.map(Arc::new)
    }

    pub async fn executor(&self) -> Arc<Executor> {
        self.try_executor().await.unwrap()
    }

    pub fn task(&self, title: &str) -> TaskSpec {
        let repository = self.remote.path().display().to_string().parse().unwrap();
        TaskSpec::new(shared::TaskId::generate(), repository, title)
    }

    /// One run from beginning to end.
    pub async fn run(&self, spec: TaskSpec) -> Run {
        Started::new(&self.executor().await, spec).end().await
    }

    /// What is left of runs: names of directories and locks.
    pub fn workspaces(&self) -> Vec<String> {
        let configured = Some(&self.config.workspace.root).filter(|root| !root.as_os_str().is_empty());
        let root = configured.cloned().unwrap_or_else(|| self.state()).join("workspaces");
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    pub fn mirror(&self) -> PathBuf {
        let entries = fs::read_dir(self.state().join("mirrors")).unwrap();
        entries.map(|entry| entry.unwrap().path()).find(|path| path.extension().unwrap() == "git").unwrap()
    }
}

pub fn supervisor() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("examples/supervise");
    assert!(path.exists(), "cargo test builds it; alone: cargo build -p worker --example supervise");
    path
}

/// A number that is in no other process' arguments: `sleep 300.<number>` can be found again.
pub fn marker() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("300.{}{:04}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Processes whose arguments contain `marker`, zombies left out.
pub fn processes_with(marker: &str) -> Vec<String> {
    let pids = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let lines = pids.filter_map(|dir| fs::read(dir.join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(marker))
        .collect()
}

/// Script lines that start children in every way in which children escape, and one that waits for ever.
pub fn escapees(marker: &str) -> String {
    format!(
        "sleep {marker} &\n(setsid sleep {marker} >/dev/null 2>&1 &)\nnohup sleep {marker} >/dev/null 2>&1 &\n\
         setsid sh -c 'trap \"\" TERM HUP INT; (sleep {marker} &) ; sleep {marker}' &"
    )
}

/// A run that goes on.
pub struct Started {
    pub stop: watch::Sender<Option<StopReason>>,
    pub held: Arc<AtomicBool>,
    reports: mpsc::Receiver<Report>,
    seen: Vec<Report>,
    task: JoinHandle<RunEnd>,
}

impl Started {
    pub fn new(executor: &Arc<Executor>, spec: TaskSpec) -> Self {
        Self::with_choices(executor, spec, 1, Vec::new())
    }

    /// Whose agent's costs are counted by `charge`.
    pub fn with(executor: &Arc<Executor>, spec: TaskSpec, charge: Charge) -> Self {
        Self::begin(executor, spec, 1, Vec::new(), charge)
    }

    /// The run of that number, whose agent may be asked which of `choices` the task belongs to.
    pub fn with_choices(executor: &Arc<Executor>, spec: TaskSpec, run: u32, choices: Vec<Specialty>) -> Self {
        let charge: Charge = Arc::new(|_| Box::pin(async { Some(Allowance::default()) }));
        Self::begin(executor, spec, run, choices, charge)
    }

    fn begin(
        executor: &Arc<Executor>,
        spec: TaskSpec,
        run: u32,
        choices: Vec<Specialty>,
        charge: Charge,
    ) -> Self {
        static FENCE: AtomicU64 = AtomicU64::new(1);
        let (stop, stopped) = watch::channel(None);
        let (sender, reports) = mpsc::channel(REPORTS_MAX);
        let held = Arc::new(AtomicBool::new(true));
        let fence = Fence(FENCE.fetch_add(1, Ordering::Relaxed));
        let input = RunInput { spec, run, attempts: 0, fence, node: "pc-1".to_owned(), choices };
        let check = Arc::clone(&held);
        let still_held: FenceCheck = Arc::new(move || {
            let held = check.load(Ordering::SeqCst);
            Box::pin(async move { held })
        });
        let may_tell = Arc::clone(&still_held);
        let control = RunControl { stop: stopped, reports: sender, still_held, may_tell, charge };
        let executor = Arc::clone(executor);
        let task = tokio::spawn(async move { executor.run(input, control).await });
        Self { stop, held, reports, seen: Vec::new(), task }
    }

    /// Waits for a log line that contains `text`.
    pub async fn line(&mut self, text: &str) {
        self.until(text, |report| matches!(report, Report::Line(line) if line.text.contains(text))).await;
    }

    pub async fn phase(&mut self, phase: Phase) {
        self.until(&phase.to_string(), |report| *report == Report::Phase(phase)).await;
    }

    async fn until(&mut self, what: &str, wanted: impl Fn(&Report) -> bool) {
        loop {
            let report = timeout(PATIENCE, self.reports.recv()).await.expect("the run hangs");
            let report =
                report.unwrap_or_else(|| panic!("the run ended before: {what}; it told {:#?}", self.seen));
            let found = wanted(&report);
            self.seen.push(report);
            if found {
                return;
            }
        }
    }

    /// Waits until the run has ended, without taking any report.
    pub async fn ended(&self) {
        while !self.task.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn abort(self) {
        self.task.abort();
    }

    pub async fn end(mut self) -> Run {
        let all = async {
            while let Some(report) = self.reports.recv().await {
                self.seen.push(report);
            }
            self.task.await.unwrap()
        };
        let end = timeout(PATIENCE, all).await.expect("the run hangs");
        Run { end, reports: self.seen }
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    pub end: RunEnd,
    pub reports: Vec<Report>,
}

impl Run {
    /// The log's lines of one stream.
    pub fn lines(&self, of: LogStream) -> Vec<&str> {
        let lines = self.reports.iter().filter_map(|report| match report {
            Report::Line(line) if line.stream == of => Some(line.text.as_str()),
            _ => None,
        });
        lines.collect()
    }

    pub fn phases(&self) -> Vec<Phase> {
        let phases = self.reports.iter().filter_map(|report| match report {
            Report::Phase(phase) => Some(*phase),
            Report::Line(_) => None,
        });
        phases.collect()
    }

    /// The published branch.
    pub fn branch(&self) -> &str {
        match &self.end {
            RunEnd::Finished(Outcome::Branch { branch, .. }) => branch,
            _ => panic!("no branch: {self:#?}"),
        }
    }

    pub fn failure(&self) -> &Failure {
        match &self.end {
            RunEnd::Failed(failure) => failure,
            _ => panic!("no failure: {self:#?}"),
        }
    }
}
