//! The repository's own tests: which command they are, and what it says.

mod detect;

use std::{ffi::OsString, time::Duration};

use serde::Deserialize;
use shared::{Failure, config::TestConfig, task_log::LogStream};

use self::detect::{Candidate, detect};
use crate::{
    child::{self, Ending, Limits, Nursery, Pipe, Sink, capture},
    git::Git,
    mirror::Base,
    output::{Line, Tail},
    run::Reporter,
    sandbox::{Confined, Sandbox},
    workspace::Workspace,
};

/// The repository's own word on its tests, read from the base branch: a change cannot alter what judges it.
pub(crate) const SETTINGS_FILE: &str = ".claude-cluster.toml";

/// Largest settings file, in bytes.
const SETTINGS_BYTES_MAX: u64 = 64 * 1024;

/// End of a red run's output that goes back to the agent, in bytes.
const TAIL_BYTES_MAX: usize = 8 * 1024;

/// Longest line of the tests' output, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How long the question whether pytest is installed may take.
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
    /// Why this command.
    pub reason: String,
}

/// What a test run said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TestRun {
    Passed,
    /// The command that was red, which may be the setup, and the end of its output.
    Failed {
        command: String,
        tail: String,
    },
    /// The command found nothing to run: not a pass.
    NoneCollected,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    test: Option<TestSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestSettings {
    command: String,
    setup: Option<String>,
    timeout_ms: Option<u64>,
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
            // The machine's owner has the last word on how long.
            let timeout =
                settings.timeout_ms.map_or(timeout_max, |ms| Duration::from_millis(ms).min(timeout_max));
            let (command, setup) = (settings.command, settings.setup);
            return Ok(Some(TestPlan {
                setup,
                command,
                timeout,
                reason: format!("{SETTINGS_FILE} of {}", base.branch),
            }));
        }
        if !self.config.command.is_empty() {
            let reason = "test.command of this worker".to_owned();
            return Ok(Some(TestPlan {
                setup: None,
                command: self.config.command.clone(),
                timeout: timeout_max,
                reason,
            }));
        }
        self.detected().await
    }

    /// What the tree shows now; asked again after an agent that may have added the first tests.
    pub(crate) async fn detected(&self) -> Result<Option<TestPlan>, Failure> {
        let Some(candidate) = detect(&self.workspace.tree()) else { return Ok(None) };
        let candidate = match candidate {
            Candidate::Python(python) => {
                let pytest = self.has_pytest().await?;
                match python.choose(pytest) {
                    Some(found) => found,
                    None => return Err(missing("pytest", "the repository's tests need it")),
                }
            }
            Candidate::Command(found) => found,
        };
        if !self.sandbox.has(candidate.program) {
            return Err(missing(candidate.program, &candidate.reason));
        }
        Ok(Some(TestPlan {
            setup: candidate.setup,
            command: candidate.command,
            timeout: Duration::from_millis(self.config.timeout_ms),
            reason: candidate.reason,
        }))
    }

    /// Runs the tests without any credential.
    pub(crate) async fn run(&self, plan: &TestPlan, reporter: &Reporter) -> Result<TestRun, Failure> {
        for command in plan.setup.iter().chain([&plan.command]) {
            let mut sink = TestOutput { reporter, tail: Tail::new(TAIL_BYTES_MAX) };
            let limits = Limits { wall_clock: plan.timeout, silence: None, line_bytes_max: LINE_BYTES_MAX };
            let job = self.sandbox.job(&self.shell(command));
            let ending = child::drive(self.nursery, job, &[], limits, &mut sink).await;
            let ending = ending
                .map_err(|error| Failure::transient(format!("the tests cannot be started: {error}")))?;
            match ending {
                Ending::Exited(0) => {}
                Ending::Exited(code) if CANNOT_RUN.contains(&code) => {
                    let said = sink.tail.last().unwrap_or("it printed nothing").to_owned();
                    return Err(missing(command, &said));
                }
                Ending::Exited(NONE_COLLECTED) if is_python(command) => return Ok(TestRun::NoneCollected),
                Ending::Exited(code) => {
                    sink.tail.push(&format!("(exit code {code})"));
                    return Ok(TestRun::Failed { command: command.clone(), tail: sink.tail.text() });
                }
                Ending::OverTime | Ending::Silent => {
                    sink.tail.push(&format!("(ended after {} s without a result)", plan.timeout.as_secs()));
                    return Ok(TestRun::Failed { command: command.clone(), tail: sink.tail.text() });
                }
            }
        }
        Ok(TestRun::Passed)
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
        let settings: Settings = toml::from_str(&text).map_err(|error| refuse(error.message()))?;
        Ok(settings.test)
    }

    async fn has_pytest(&self) -> Result<bool, Failure> {
        if !self.sandbox.has("python3") {
            return Err(missing("python3", "the repository's tests need it"));
        }
        let job = self.sandbox.job(&self.shell("python3 -c 'import pytest'"));
        let asked = capture(self.nursery, job, &[], ASK_MAX).await;
        let asked =
            asked.map_err(|error| Failure::transient(format!("python3 cannot be started: {error}")))?;
        Ok(asked.ending == Ending::Exited(0))
    }

    fn shell(&self, command: &str) -> Confined<'_> {
        let argv: Vec<OsString> = ["/bin/sh", "-c", command].map(OsString::from).to_vec();
        // Several test runners watch for changes for ever unless they see this.
        let env = vec![("CI".to_owned(), "true".into())];
        Confined { workspace: self.workspace, mirror: Some(self.mirror), out: false, files: &[], env, argv }
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
}

impl Sink for TestOutput<'_> {
    async fn line(&mut self, _: Pipe, line: Line) {
        self.tail.push(&line.text);
        self.reporter.output(LogStream::Test, &line.text).await;
    }
}
