//! Where agents and tests run: bubblewrap where it can, else a supervised process.
//!
//! What each protects, and from whom: `docs/agents.md`.

mod bubblewrap;
mod process;
mod toolbox;

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
};

use shared::{
    Failure,
    config::{AgentConfig, Config, SandboxConfig, SandboxMode},
};

use self::{
    bubblewrap::Bubblewrap,
    process::ProcessSandbox,
    toolbox::{Toolbox, View},
};
use crate::{
    child::{Job, Nursery},
    host::Host,
    workspace::{Owner, Workspace},
};

/// Programs that run confined to one workspace.
pub(crate) struct Sandbox {
    kind: Kind,
    toolbox: Toolbox,
    reason: String,
    /// Docker's, where it is given away.
    docker: Option<PathBuf>,
}

#[derive(Clone)]
enum Kind {
    Bubblewrap(Bubblewrap),
    Process(ProcessSandbox),
}

/// One program to be run in a workspace's `tree`.
pub(crate) struct Confined<'a> {
    pub workspace: &'a Workspace,
    /// The mirror whose objects the tree shares; read-only.
    pub mirror: Option<&'a Path>,
    /// Whether `out` can be written.
    pub out: bool,
    /// Whether it reaches the network, where the sandbox as a whole does.
    pub network: bool,
    /// Further files of the machine, read-only: the agent's own program.
    pub files: &'a [PathBuf],
    /// Added to the environment that is built from nothing.
    pub env: Vec<(String, OsString)>,
    pub argv: Vec<OsString>,
}

impl Sandbox {
    /// Decides by trying. `Err` where the configuration demands what cannot be had, or would expose what it
    /// must not.
    pub(crate) async fn choose(
        config: &Config,
        host: &Host,
        private: &Path,
        nursery: &Nursery,
    ) -> Result<Self, Failure> {
        let wanted = config.sandbox.mode;
        if wanted == SandboxMode::Process {
            return Self::process(config, host, private, "sandbox.mode is \"process\"");
        }
        let toolbox = Toolbox::new(&config.sandbox, host, private, View::ToolsOnly)?;
        let missing = match Bubblewrap::probe(&toolbox, config.sandbox.network, nursery).await {
            Ok(bubblewrap) => {
                let reason = format!("{} runs here", bubblewrap.version());
                return Ok(Self { kind: Kind::Bubblewrap(bubblewrap), toolbox, reason, docker: None });
            }
            Err(missing) => missing,
        };
        if wanted == SandboxMode::Bubblewrap {
            return Err(Failure::configuration(format!("sandbox.mode is \"bubblewrap\", and {missing}")));
        }
        Self::process(config, host, private, &missing)
    }

    fn process(config: &Config, host: &Host, private: &Path, why: &str) -> Result<Self, Failure> {
        let refuse = |problem: &str| Failure::configuration(format!("{why}; {problem}"));
        if !config.sandbox.network || !config.test.network {
            return Err(refuse("sandbox.network = false and test.network = false need bubblewrap"));
        }
        let process =
            ProcessSandbox::new(&config.sandbox, host).map_err(|failure| refuse(&failure.message))?;
        let toolbox = Toolbox::new(&config.sandbox, host, private, View::Machine(process.owner()))?;
        let reason = format!("{why}; agents run as {}", process.user());
        Ok(Self { kind: Kind::Process(process), toolbox, reason, docker: None })
    }

    /// The same for the tasks of one agent, with what it is given besides. `Err` where that cannot be had.
    pub(crate) fn for_agent(
        &self,
        config: &SandboxConfig,
        agent: &AgentConfig,
        host: &Host,
        private: &Path,
    ) -> Result<Self, Failure> {
        let mut config = config.clone();
        config.tool_paths.extend(agent.tool_paths.iter().cloned());
        config.env_pass.extend(agent.env_pass.iter().cloned());
        let view = match &self.kind {
            Kind::Bubblewrap(_) => View::ToolsOnly,
            Kind::Process(process) => View::Machine(process.owner()),
        };
        let toolbox = Toolbox::new(&config, host, private, view)?;
        let docker = docker_socket(&agent.docker_socket)?;
        Ok(Self { kind: self.kind.clone(), toolbox, reason: self.reason.clone(), docker })
    }

    /// The socket of Docker that programs reach.
    pub(crate) fn docker(&self) -> Option<&Path> {
        self.docker.as_deref()
    }

    /// `bubblewrap` or `process`.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Bubblewrap(_) => "bubblewrap",
            Kind::Process(_) => "process",
        }
    }

    /// Why this one, and where it is the lesser one, how to get the better.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// The user that a workspace must belong to, where it is not the worker's own.
    pub(crate) fn owner(&self) -> Option<Owner> {
        match &self.kind {
            Kind::Bubblewrap(_) => None,
            Kind::Process(process) => process.owner(),
        }
    }

    /// `program` as agents find it: an absolute path, and the file to be lent where it lies outside of what
    /// they see. `None` where there is no such program.
    pub(crate) fn find_program(&self, program: &str) -> Option<Program> {
        let path = if program.contains('/') {
            toolbox::executable(Path::new(program))?
        } else {
            // The caller's own installation may lie where agents see nothing; the file alone is lent then.
            self.toolbox.find(program).or_else(|| self.toolbox.find_for_caller(program))?
        };
        let path = std::path::absolute(path).ok()?;
        let target = path.canonicalize().ok()?;
        let seen = self.toolbox.shows(&path) && self.toolbox.shows(&target);
        match self.kind {
            // The file that a link means, because what lies beside the link stays hidden.
            Kind::Bubblewrap(_) if !seen => Some(Program { path: target.clone(), lent: Some(target) }),
            Kind::Bubblewrap(_) | Kind::Process(_) => Some(Program { path, lent: None }),
        }
    }

    /// Whether agents and tests find a program of this name.
    pub(crate) fn has(&self, program: &str) -> bool {
        self.toolbox.find(program).is_some()
    }

    /// The directory for temporary files, as programs in `workspace` see it.
    pub(crate) fn tmp(&self, workspace: &Workspace) -> PathBuf {
        match self.kind {
            Kind::Bubblewrap(_) => PathBuf::from(bubblewrap::TMP),
            Kind::Process(_) => workspace.tmp(),
        }
    }

    /// The program, confined and ready to start.
    pub(crate) fn job(&self, confined: &Confined<'_>) -> Job {
        let mut env = self.toolbox.environment(confined.workspace);
        env.insert("TMPDIR".to_owned(), self.tmp(confined.workspace).into_os_string());
        if let Some(socket) = &self.docker {
            let mut address = OsString::from("unix://");
            address.push(socket);
            env.insert("DOCKER_HOST".to_owned(), address);
        }
        env.extend(confined.env.iter().cloned());
        let mut job = match &self.kind {
            Kind::Bubblewrap(bubblewrap) => bubblewrap.job(&self.toolbox, self.docker(), confined),
            Kind::Process(process) => process.job(confined),
        };
        job.command.env_clear().envs(env);
        job
    }
}

/// A program as agents find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub path: PathBuf,
    pub lent: Option<PathBuf>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// `Ok(None)` where none is given away.
fn docker_socket(text: &str) -> Result<Option<PathBuf>, Failure> {
    use std::os::unix::fs::FileTypeExt;

    if text.is_empty() {
        return Ok(None);
    }
    // What is behind a link, such as /var/run, is shown where it really is.
    let refuse = |why: &str| Failure::configuration(format!("docker_socket: {text} {why}"));
    let path = Path::new(text).canonicalize().map_err(|error| refuse(&format!("cannot be used: {error}")))?;
    let metadata = path.metadata().map_err(|error| refuse(&format!("cannot be used: {error}")))?;
    if !metadata.file_type().is_socket() {
        return Err(refuse("is no socket"));
    }
    Ok(Some(path))
}

/// `sh -c 'exec "$@"' sh ARGV...`: the shell turns a program that cannot be run into 126 or 127.
fn through_shell(argv: &[OsString]) -> impl Iterator<Item = &OsStr> {
    let shell = ["/bin/sh", "-c", "exec \"$@\"", "sh"];
    shell.into_iter().map(OsStr::new).chain(argv.iter().map(OsString::as_os_str))
}
