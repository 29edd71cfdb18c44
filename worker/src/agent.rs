//! Coding agents behind one small interface: a call, a stream of typed events, a verdict.

mod claude;
mod codex;
mod command;
mod gemini;
mod roster;
mod verdict;
mod version;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use shared::{
    Failure,
    config::{AgentConfig, Driver},
    queue::MicroUsd,
};

pub(crate) use self::{
    roster::{Ground, Roster},
    verdict::{Answer, Cause, Trouble, Verdict},
};
use crate::{
    child::{Ending, Limits, Pipe},
    output::Line,
    sandbox::{Program, Sandbox},
};

/// Longest line of an agent's output, in bytes: a tool's whole output is one line of JSON.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The configured agent and the program it stands for.
pub(crate) struct Agent {
    config: AgentConfig,
    /// With what its tasks are given besides.
    sandbox: Sandbox,
    program: Program,
    /// Files of the machine that the program's call names, lent read-only.
    files: Vec<PathBuf>,
    /// As the program told it.
    version: Option<String>,
}

/// How an agent begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    Fresh,
    /// Goes on with what it knows from an earlier run of the same task.
    Resume(&'a str),
    /// Answers one question, and has no tools.
    Judge,
}

/// One call of the program; the prompt goes to its standard input.
pub(crate) struct Call {
    pub argv: Vec<OsString>,
    pub env: Vec<(String, OsString)>,
    /// Stands before the prompt, where the program takes instructions in no other way.
    pub preface: Option<String>,
}

/// What an agent tells while it works. Texts are as long as the program made them, and may hold secrets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Started {
        agent: &'static str,
        session: String,
        model: String,
        version: String,
    },
    Text(String),
    Tool {
        name: String,
        detail: String,
    },
    ToolFailed(String),
    Denied {
        tool: String,
    },
    Retrying {
        attempt: u32,
        of: u32,
        error: String,
    },
    /// `resets_at_s`: seconds since the Unix epoch.
    Limit {
        kind: String,
        resets_at_s: Option<u64>,
    },
    Cost {
        usd: f64,
        turns: u32,
    },
    /// Where no price is told.
    Tokens {
        input: u64,
        output: u64,
    },
    /// Something that the program says beside its typed output.
    Notice(String),
}

/// Reads what one call prints.
pub(crate) enum Reading {
    Claude(Box<claude::Reading>),
    Codex(Box<codex::Reading>),
    Gemini(Box<gemini::Reading>),
    Command(command::Reading),
}

impl Agent {
    /// Finds the program. `Err` says what to install or to configure.
    fn find(config: &AgentConfig, sandbox: Sandbox) -> Result<Self, Failure> {
        let named = config.command.first().map(String::as_str).filter(|name| !name.is_empty());
        let (usual, install) = match config.driver {
            Driver::Claude => ("claude", "install Claude Code (npm install -g @anthropic-ai/claude-code)"),
            Driver::Codex => ("codex", "install Codex (npm install -g @openai/codex)"),
            Driver::Gemini => ("gemini", "install Gemini CLI (npm install -g @google/gemini-cli)"),
            Driver::Command => ("", "correct agent.command"),
        };
        let name = named.unwrap_or(usual);
        if name.is_empty() {
            return Err(Failure::configuration(
                "agent.driver is \"command\": set agent.command to the program",
            ));
        }
        let program = sandbox.find_program(name).ok_or_else(|| {
            Failure::configuration(format!(
                "the agent program {name} is not found where agents run; {install} or add its directory to \
                 sandbox.tool_paths"
            ))
        })?;
        let named_files = config.command.iter().skip(1).map(PathBuf::from);
        let mut files: Vec<PathBuf> =
            named_files.filter(|path| path.is_absolute() && path.is_file()).collect();
        files.extend(program.lent.clone());
        Ok(Self { config: config.clone(), sandbox, program, files, version: None })
    }

    /// Where its tasks run.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The name of the driver's CLI; `None` for a program of the user's own.
    pub(crate) fn cli(&self) -> Option<&'static str> {
        match self.config.driver {
            Driver::Claude => Some("claude"),
            Driver::Codex => Some("codex"),
            Driver::Gemini => Some("gemini"),
            Driver::Command => None,
        }
    }

    /// `claude`, or the name of the program that stands in for an agent.
    fn name(&self) -> String {
        self.cli().map_or_else(
            || {
                let name = self.program.path.file_name().unwrap_or_default();
                format!("command {}", name.to_string_lossy())
            },
            str::to_owned,
        )
    }

    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How long all calls of one run may take together.
    pub(crate) fn wall_clock(&self) -> Duration {
        Duration::from_millis(self.config.wall_clock_ms)
    }

    /// The limits of one call that may take so long.
    pub(crate) fn limits(&self, wall_clock: Duration) -> Limits {
        Limits {
            wall_clock,
            silence: Some(Duration::from_millis(self.config.inactivity_ms)),
            line_bytes_max: LINE_BYTES_MAX,
        }
    }

    /// The call that makes the program tell its version, where it has such a call.
    fn version_call(&self) -> Option<Vec<OsString>> {
        (self.config.driver != Driver::Command).then(|| {
            let mut argv = self.argv();
            argv.push("--version".into());
            argv
        })
    }

    /// `tmp` is the directory for temporary files, as the agent sees it; `budget` what the call may cost, where the
    /// program can be told.
    pub(crate) fn call(&self, start: Start<'_>, tmp: &Path, budget: Option<MicroUsd>) -> Call {
        match self.config.driver {
            Driver::Claude => claude::call(&self.config, self.argv(), start, tmp, budget),
            Driver::Codex => codex::call(&self.config, self.argv(), start),
            Driver::Gemini => gemini::call(&self.config, self.argv(), start),
            Driver::Command => command::call(&self.config, self.argv()),
        }
    }

    pub(crate) fn reading(&self, start: Start<'_>) -> Reading {
        let version = self.version.as_deref().unwrap_or_default();
        match self.config.driver {
            Driver::Claude => Reading::Claude(Box::new(claude::Reading::new(start))),
            Driver::Codex => {
                Reading::Codex(Box::new(codex::Reading::new(start, &self.config.model, version)))
            }
            Driver::Gemini => Reading::Gemini(Box::new(gemini::Reading::new(start, version))),
            Driver::Command => Reading::Command(command::Reading::new()),
        }
    }

    fn argv(&self) -> Vec<OsString> {
        let rest = self.config.command.iter().skip(1).map(OsString::from);
        std::iter::once(self.program.path.clone().into_os_string()).chain(rest).collect()
    }
}

impl Reading {
    pub(crate) fn line(&mut self, from: Pipe, line: &Line) -> Vec<Event> {
        match self {
            Self::Claude(reading) => reading.line(from, line),
            Self::Codex(reading) => reading.line(from, line),
            Self::Gemini(reading) => reading.line(from, line),
            Self::Command(reading) => reading.line(line),
        }
    }

    /// The verdict over a program that ended by itself or was ended by a limit.
    pub(crate) fn verdict(self, ending: Ending) -> Verdict {
        let code = match ending {
            Ending::Exited(code) => code,
            Ending::OverTime => return Verdict::failed(Cause::OverTime, ""),
            Ending::Silent => return Verdict::failed(Cause::Silent, ""),
        };
        match self {
            Self::Claude(reading) => reading.verdict(code),
            Self::Codex(reading) => reading.verdict(code),
            Self::Gemini(reading) => reading.verdict(code),
            Self::Command(reading) => reading.verdict(code),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { agent, session, model, version } => {
                let model = if model.is_empty() { "its own choice of model" } else { model };
                write!(f, "{agent} {version} started with {model}, session {session}")
            }
            Self::Text(text) | Self::ToolFailed(text) | Self::Notice(text) => f.write_str(text),
            Self::Tool { name, detail } => write!(f, "{name} {detail}"),
            Self::Denied { tool } => write!(f, "{tool} was denied"),
            Self::Retrying { attempt, of, error } => {
                write!(f, "the API failed ({error}); retry {attempt} of {of}")
            }
            Self::Limit { kind, .. } => write!(f, "the account met its {kind} limit"),
            Self::Cost { usd, turns } => write!(f, "{turns} turns, {usd:.4} USD so far in this session"),
            Self::Tokens { input, output } => write!(f, "{input} tokens read, {output} written"),
        }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Lines of an unknown kind: of a newer version, or cut because they were too long.
fn tell_unknown(agent: &str, lines: u32) {
    if lines > 0 {
        tracing::debug!(agent, lines, "the agent printed lines of an unknown kind");
    }
}
