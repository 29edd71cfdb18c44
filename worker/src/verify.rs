//! The repository's own tests: which command they are, and what it says.

mod detect;
mod failures;
mod settings;
mod tally;

use std::{ffi::OsString, time::Duration};

use shared::{Failure, config::TestConfig, task_log::LogStream};

use self::{
    detect::{Candidate, Tools, detect},
    settings::TestSettings,
    tally::Tally,
};
pub(crate) use self::{failures::Failures, settings::SETTINGS_FILE};
use crate::{
    child::{self, Ending, Job, Limits, Nursery, Pipe, Sink, capture},
    git::Git,
    mirror::Base,
    output::{Line, Tail},
    run::Reporter,
    sandbox::{Confined, Sandbox},
    workspace::Workspace,
};

/// Largest settings file, in bytes.
const SETTINGS_BYTES_MAX: u64 = 64 * 1024;

/// End of a red run's output that goes back to the agent, in bytes.
const TAIL_BYTES_MAX: usize = 8 * 1024;

/// Longest line of the tests' output, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How long the question which of Python's tools are installed may take.
const ASK_MAX: Duration = Duration::from_secs(30);

/// The shell's codes for a program that cannot be run, and for one that does not exist.
const CANNOT_RUN: [i32; 2] = [126, 127];

/// pytest's and unittest's code for "no tests were found".
const NONE_COLLECTED: i32 = 5;

/// How a change is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestPlan {
    /// Run before the tests, such as the installation of dependencies.
    pub setup: Option<String>,
    pub command: String,
    pub timeout: Duration,
    /// Run before the agent, too.
    pub baseline: bool,
    /// Nobody has named this command: it is trusted to have run tests only where its output says so.
    detected: bool,
    /// Why this command.
    pub reason: String,
}

/// What a test run said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TestRun {
    Passed {
        /// How many, where the runner says so.
        count: Option<u32>,
    },
    /// The command that was red, which may be the setup, and the end of its output.
    Failed { command: String, tail: String },
    /// The command found nothing to run: not a pass.
    NoneCollected,
}

/// Tests of one workspace.
pub(crate) struct Verifier<'a> {
    pub sandbox: &'a Sandbox,
    pub workspace: &'a Workspace,
    pub mirror: &'a std::path::Path,
    pub nursery: &'a Nursery,
    pub config: &'a TestConfig,
}

impl Verifier<'_> {
    /// Settings file, then configuration, then what the tree shows. `Ok(None)` where there are no tests; `Err`
    /// where there are some that cannot run on this machine, before anybody has paid for an agent.
    pub(crate) async fn plan(&self, git: &Git, base: &Base) -> Result<Option<TestPlan>, Failure> {
        let timeout_max = Duration::from_millis(self.config.timeout_ms);
        if let Some(settings) = self.settings(git, base).await? {
            let wanted = settings.timeout().ok().flatten();
            return Ok(Some(TestPlan {
                setup: settings.setup,
                command: settings.command,
                // The machine's owner has the last word on how long.
                timeout: wanted.map_or(timeout_max, |wanted| wanted.min(timeout_max)),
                baseline: settings.baseline.unwrap_or(self.config.baseline),
                detected: false,
                reason: format!("{SETTINGS_FILE} of {}", base.branch),
            }));
        }
        if !self.config.command.is_empty() {
            return Ok(Some(TestPlan {
                setup: None,
                command: self.config.command.clone(),
                timeout: timeout_max,
                baseline: self.config.baseline,
                detected: false,
                reason: "test.command of this worker".to_owned(),
            }));
        }
        self.detected().await
    }

    /// What the tree shows now; asked again after an agent that may have added the first tests.
    pub(crate) async fn detected(&self) -> Result<Option<TestPlan>, Failure> {
        let Some(candidate) = detect(&self.workspace.tree()) else { return Ok(None) };
        let candidate = match candidate {
            Candidate::Python(python) => match python.choose(self.python_tools().await?) {
                Some(found) => found,
                None => return Err(missing("pytest", "the repository's tests need it")),
            },
            Candidate::Command(found) => found,
        };
        if !self.sandbox.has(candidate.program) {
            return Err(missing(candidate.program, &candidate.reason));
        }
        Ok(Some(TestPlan {
            setup: candidate.setup,
            command: candidate.command,
            timeout: Duration::from_millis(self.config.timeout_ms),
            baseline: self.config.baseline,
            detected: true,
            reason: candidate.reason,
        }))
    }

    /// Runs the tests without any credential.
    pub(crate) async fn run(&self, plan: &TestPlan, reporter: &Reporter) -> Result<TestRun, Failure> {
        if let Some(red) = self.set_up(plan, reporter).await? {
            return Ok(red);
        }
        let mut sink = TestOutput::new(reporter);
        let job = self.sandbox.job(&self.shell(&plan.command, self.config.network));
        let ended = self.drive(&plan.command, job, plan.timeout, &mut sink).await?;
        Ok(match ended {
            Ending::Exited(0) if plan.detected && sink.tally.is_none() => TestRun::NoneCollected,
            Ending::Exited(0) => TestRun::Passed { count: sink.tally.passed() },
            Ending::Exited(NONE_COLLECTED) if is_python(&plan.command) => TestRun::NoneCollected,
            // Jest, Vitest and Mocha fail where there is nothing to run.
            Ending::Exited(_) if plan.detected && sink.tally.is_none() => TestRun::NoneCollected,
            other => sink.red(&plan.command, other, plan.timeout),
        })
    }

    /// Gets what the tests need. `Some` where that fails.
    pub(crate) async fn set_up(
        &self,
        plan: &TestPlan,
        reporter: &Reporter,
    ) -> Result<Option<TestRun>, Failure> {
        let Some(setup) = &plan.setup else { return Ok(None) };
        let mut sink = TestOutput::new(reporter);
        let job = self.sandbox.job(&self.shell(setup, true));
        let ended = self.drive(setup, job, plan.timeout, &mut sink).await?;
        Ok((ended != Ending::Exited(0)).then(|| sink.red(setup, ended, plan.timeout)))
    }

    /// `Err` where the command cannot run on this machine.
    async fn drive(
        &self,
        command: &str,
        job: Job,
        timeout: Duration,
        sink: &mut TestOutput<'_>,
    ) -> Result<Ending, Failure> {
        let limits = Limits { wall_clock: timeout, silence: None, line_bytes_max: LINE_BYTES_MAX };
        let ended = child::drive(self.nursery, job, &[], limits, sink).await;
        match ended.map_err(|error| Failure::transient(format!("the tests cannot be started: {error}")))? {
            Ending::Exited(code) if CANNOT_RUN.contains(&code) => {
                let said = sink.tail.last().unwrap_or("it printed nothing").to_owned();
                Err(missing(command, &said))
            }
            ended => Ok(ended),
        }
    }

    async fn settings(&self, git: &Git, base: &Base) -> Result<Option<TestSettings>, Failure> {
        let object = format!("{}:{SETTINGS_FILE}", base.commit);
        // Absent is the usual case, and no error.
        let Ok(size) = git.run_in(self.mirror, &["cat-file", "-s", &object]).await else { return Ok(None) };
        let refuse = |what: &str| {
            Failure::configuration(format!(
                "{SETTINGS_FILE} on branch {} cannot be used: {what}",
                base.branch
            ))
        };
        if size.trim().parse().unwrap_or(u64::MAX) > SETTINGS_BYTES_MAX {
            return Err(refuse("it is larger than 64 KiB"));
        }
        let text = git.run_in(self.mirror, &["cat-file", "blob", &object]).await;
        let text = text.map_err(|error| error.into_failure("cannot read the mirror"))?;
        TestSettings::parse(&text).map_err(|what| refuse(&what))
    }

    async fn python_tools(&self) -> Result<Tools, Failure> {
        if !self.sandbox.has("python3") {
            return Err(missing("python3", "the repository's tests need it"));
        }
        Ok(Tools {
            pytest: self.imports("pytest").await?,
            tox: self.sandbox.has("tox"),
            venv: self.imports("venv, ensurepip").await?,
        })
    }

    async fn imports(&self, modules: &str) -> Result<bool, Failure> {
        let job = self.sandbox.job(&self.shell(&format!("python3 -c 'import {modules}'"), false));
        let asked = capture(self.nursery, job, &[], ASK_MAX).await;
        let asked =
            asked.map_err(|error| Failure::transient(format!("python3 cannot be started: {error}")))?;
        Ok(asked.ending == Ending::Exited(0))
    }

    fn shell(&self, command: &str, network: bool) -> Confined<'_> {
        let argv: Vec<OsString> = ["/bin/sh", "-c", command].map(OsString::from).to_vec();
        let gems = self.workspace.home().join(".bundle");
        let env = vec![
            // Several test runners watch for changes for ever unless they see this.
            ("CI".to_owned(), "true".into()),
            // Beside the tree, where nobody publishes them.
            ("BUNDLE_PATH".to_owned(), gems.into_os_string()),
        ];
        let (workspace, mirror) = (self.workspace, Some(self.mirror));
        Confined { workspace, mirror, out: false, network, files: &[], env, argv }
    }
}

fn missing(what: &str, why: &str) -> Failure {
    Failure::configuration(format!(
        "the tests cannot run on this worker: {what} is missing or cannot be run ({why}); install it, add its \
         directory to sandbox.tool_paths, or name another command in {SETTINGS_FILE} or test.command"
    ))
}

fn is_python(command: &str) -> bool {
    command.contains("pytest") || command.contains("unittest")
}

struct TestOutput<'a> {
    reporter: &'a Reporter,
    tail: Tail,
    tally: Tally,
}

impl<'a> TestOutput<'a> {
    fn new(reporter: &'a Reporter) -> Self {
        Self { reporter, tail: Tail::new(TAIL_BYTES_MAX), tally: Tally::default() }
    }

    fn red(&mut self, command: &str, ended: Ending, timeout: Duration) -> TestRun {
        let how = match ended {
            Ending::Exited(code) => format!("(exit code {code})"),
            Ending::OverTime | Ending::Silent => {
                format!("(ended after {} s without a result)", timeout.as_secs())
            }
        };
        self.tail.push(&how);
        TestRun::Failed { command: command.to_owned(), tail: self.tail.text() }
    }
}

impl Sink for TestOutput<'_> {
    async fn line(&mut self, _: Pipe, line: Line) {
        // Before the tail cuts it: half of a secret would not be found any more.
        let line = self.reporter.redact_line(&line);
        self.tail.push(&line.text);
        self.tally.line(&line.text);
        self.reporter.output(LogStream::Test, &line.text).await;
    }
}
