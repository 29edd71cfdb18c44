//! Coding agents behind one small interface: a call, a stream of typed events, a verdict.

mod claude;
mod command;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use shared::{
    Failure,
    config::{AgentConfig, Driver},
};

use crate::{
    child::{Ending, Pipe},
    output::Line,
    sandbox::{Program, Sandbox},
};

/// The `claude` program unless `agent.command` names another.
const CLAUDE: &str = "claude";

/// Earlier ones leave processes behind and can end before their result is written.
const CLAUDE_VERSION_MIN: [u32; 3] = [2, 1, 212];

/// The configured agent and the program it stands for.
pub(crate) struct Agent {
    config: AgentConfig,
    program: Program,
    /// Files of the machine that the program's call names, lent read-only.
    files: Vec<PathBuf>,
}

/// How an agent begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    Fresh,
    /// Goes on with what it knows from an earlier run of the same task.
    Resume(&'a str),
}

/// One call of the program; the prompt goes to its standard input.
pub(crate) struct Call {
    pub argv: Vec<OsString>,
    pub env: Vec<(String, OsString)>,
}

/// What an agent tells while it works.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Started { model: String, version: String },
    Text(String),
    Tool { name: String, detail: String },
    ToolFailed(String),
    Denied { tool: String },
    Retrying { attempt: u32, of: u32, error: String },
    Limit { kind: String },
    Cost { usd: f64, turns: u32 },
}

/// What an agent left behind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub text: String,
    /// To be resumed in a later round.
    pub session: Option<String>,
}

/// How an agent's run is to be judged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Done(Answer),
    /// The session to be resumed is not known; a fresh start may still succeed.
    SessionUnknown,
    Failed(Failure),
}

/// Reads what one call prints.
pub(crate) enum Reading {
    Claude(Box<claude::Reading>),
    Command(command::Reading),
}

impl Agent {
    /// Finds the program. `Err` says what to install or to configure.
    pub(crate) fn find(config: &AgentConfig, sandbox: &Sandbox) -> Result<Self, Failure> {
        let named = config.command.first().map(String::as_str).filter(|name| !name.is_empty());
        let name = match (config.driver, named) {
            (_, Some(name)) => name,
            (Driver::Claude, None) => CLAUDE,
            (Driver::Command, None) => {
                return Err(Failure::configuration(
                    "agent.driver is \"command\": set agent.command to the program",
                ));
            }
        };
        let program = sandbox.find_program(name).ok_or_else(|| {
            let remedy = match config.driver {
                Driver::Claude => "install Claude Code (npm install -g @anthropic-ai/claude-code)",
                Driver::Command => "correct agent.command",
            };
            Failure::configuration(format!(
                "the agent program {name} is not found where agents run; {remedy} or add its directory to \
                 sandbox.tool_paths"
            ))
        })?;
        let named_files = config.command.iter().skip(1).map(PathBuf::from);
        let mut files: Vec<PathBuf> =
            named_files.filter(|path| path.is_absolute() && path.is_file()).collect();
        files.extend(program.lent.clone());
        Ok(Self { config: config.clone(), program, files })
    }

    /// `claude`, or the name of the program that stands in for an agent.
    pub(crate) fn name(&self) -> String {
        match self.config.driver {
            Driver::Claude => CLAUDE.to_owned(),
            Driver::Command => {
                let name = self.program.path.file_name().unwrap_or_default();
                format!("command {}", name.to_string_lossy())
            }
        }
    }

    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The call that makes the program tell its version, where it has such a call.
    pub(crate) fn version_call(&self) -> Option<Vec<OsString>> {
        (self.config.driver == Driver::Claude).then(|| {
            let mut argv = self.argv();
            argv.push("--version".into());
            argv
        })
    }

    /// `tmp` is the directory for temporary files, as the agent sees it.
    pub(crate) fn call(&self, start: Start<'_>, tmp: &Path) -> Call {
        match self.config.driver {
            Driver::Claude => claude::call(&self.config, self.argv(), start, tmp),
            Driver::Command => {
                let mut argv = self.argv();
                argv.extend(self.config.extra_args.iter().map(OsString::from));
                Call { argv, env: Vec::new() }
            }
        }
    }

    pub(crate) fn reading(&self, start: Start<'_>) -> Reading {
        match self.config.driver {
            Driver::Claude => Reading::Claude(Box::new(claude::Reading::new(start))),
            Driver::Command => Reading::Command(command::Reading::new()),
        }
    }

    fn argv(&self) -> Vec<OsString> {
        let rest = self.config.command.iter().skip(1).map(OsString::from);
        std::iter::once(self.program.path.clone().into_os_string()).chain(rest).collect()
    }
}

/// What to say of a version that is known to misbehave; `None` for any other.
pub(crate) fn complaint_about(version: &str) -> Option<String> {
    let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    (numbers.len() == 3 && numbers[..] < CLAUDE_VERSION_MIN[..]).then(|| {
        let [major, minor, patch] = CLAUDE_VERSION_MIN;
        format!("claude {version} may cut off its result; update it to {major}.{minor}.{patch} or newer")
    })
}

impl Reading {
    pub(crate) fn line(&mut self, from: Pipe, line: &Line) -> Vec<Event> {
        match self {
            Self::Claude(reading) => reading.line(from, line),
            Self::Command(reading) => reading.line(line),
        }
    }

    /// The verdict over a program that ended by itself or was ended by a limit.
    pub(crate) fn verdict(self, ending: Ending) -> Verdict {
        let code = match ending {
            Ending::Exited(code) => code,
            Ending::OverTime => {
                return Verdict::Failed(Failure::task(
                    "the agent ran longer than agent.wall_clock_ms and was ended; split the issue or raise the limit",
                ));
            }
            Ending::Silent => {
                return Verdict::Failed(Failure::task(
                    "the agent printed nothing for agent.inactivity_ms and was ended; retry, or raise the limit",
                ));
            }
        };
        match self {
            Self::Claude(reading) => reading.verdict(code),
            Self::Command(reading) => reading.verdict(code),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { model, version } => write!(f, "claude {version} started with {model}"),
            Self::Text(text) | Self::ToolFailed(text) => f.write_str(text),
            Self::Tool { name, detail } => write!(f, "{name} {detail}"),
            Self::Denied { tool } => write!(f, "{tool} was denied"),
            Self::Retrying { attempt, of, error } => {
                write!(f, "the API failed ({error}); retry {attempt} of {of}")
            }
            Self::Limit { kind } => write!(f, "the account met its {kind} limit"),
            Self::Cost { usd, turns } => write!(f, "{turns} turns, {usd:.4} USD so far in this session"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(complaint_about("2.1.197").is_some() && complaint_about("2.1.99").is_some());
        assert!(complaint_about("2.1.212").is_none() && complaint_about("2.2.0").is_none());
        assert!(complaint_about("nightly").is_none());
    }
}
