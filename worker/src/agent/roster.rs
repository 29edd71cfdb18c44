//! The agents of a worker: one for all tasks, and others for the specialties that have a section of their own.

use std::{collections::BTreeMap, path::Path, time::Duration};

use shared::{
    Failure, Specialty,
    config::{AgentConfig, Config, SandboxConfig},
};

use super::{
    Agent,
    version::{self, Standing},
};
use crate::{
    child::{self, Ending, Nursery},
    host::Host,
    sandbox::{Confined, Sandbox},
    specialties::ALL,
    workspace::Workspace,
};

/// How long an agent program may take to tell its version.
const VERSION_MAX: Duration = Duration::from_secs(30);

/// Where agents are looked for.
pub(crate) struct Ground<'a> {
    /// As it is for all tasks.
    pub sandbox: &'a Sandbox,
    pub config: &'a SandboxConfig,
    pub host: &'a Host,
    /// The state directory.
    pub private: &'a Path,
    pub workspaces: &'a Path,
}

/// Every agent that tasks may need here, found and asked for its version.
pub(crate) struct Roster {
    default: Result<Agent, Failure>,
    by_specialty: BTreeMap<String, Result<Agent, Failure>>,
}

impl Roster {
    /// Finds the agents. `Err`: one that a served specialty needs is missing, or unsafe to use.
    pub(crate) async fn find(config: &Config, ground: &Ground<'_>) -> Result<Self, Failure> {
        let served = &config.worker.specialties;
        let all = served.iter().any(|name| name == ALL);
        let default = prepare(&config.agent, ground).await;
        let mut by_specialty = BTreeMap::new();
        for name in config.agent.specialty.keys() {
            let specialty: Specialty =
                name.parse().map_err(|error| Failure::configuration(format!("agent.specialty: {error}")))?;
            let agent = prepare(&config.agent.for_specialty(&specialty), ground).await;
            let agent = agent.map_err(|failure| Failure {
                message: format!("agent.specialty.{name}: {}", failure.message),
                ..failure
            });
            match agent {
                Err(failure) if all || served.contains(name) => return Err(failure),
                agent => by_specialty.insert(name.clone(), agent),
            };
        }
        match default {
            Err(failure) if all || served.iter().any(|name| !by_specialty.contains_key(name)) => Err(failure),
            default => Ok(Self { default, by_specialty }),
        }
    }

    /// The agent for tasks of `specialty`. `Err`: this machine does not have it.
    pub(crate) fn agent(&self, specialty: &Specialty) -> Result<&Agent, Failure> {
        self.by_specialty.get(specialty.as_str()).unwrap_or(&self.default).as_ref().map_err(Failure::clone)
    }

    /// Whether tasks of both have the same agent, and so the same account.
    pub(crate) fn is_one_for(&self, one: &Specialty, other: &Specialty) -> bool {
        [one, other].iter().all(|specialty| !self.by_specialty.contains_key(specialty.as_str()))
    }

    /// Name and version of each agent that is here: the general one first, then by specialty.
    pub(crate) fn described(&self) -> Vec<(Option<&str>, String)> {
        let default = self.default.as_ref().ok().map(|agent| (None, agent.described()));
        let others = self.by_specialty.iter();
        let others =
            others.filter_map(|(name, agent)| Some((Some(name.as_str()), agent.as_ref().ok()?.described())));
        default.into_iter().chain(others).collect()
    }
}

impl Agent {
    fn described(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.name()),
            None => self.name(),
        }
    }
}

async fn prepare(config: &AgentConfig, ground: &Ground<'_>) -> Result<Agent, Failure> {
    let sandbox = ground.sandbox.for_agent(ground.config, config, ground.host, ground.private)?;
    if let Some(socket) = sandbox.docker() {
        let socket = socket.display();
        tracing::warn!(%socket, "agents and tests of a specialty reach docker, and through it this machine");
    }
    let mut agent = Agent::find(config, sandbox)?;
    agent.version = ask_version(&agent, ground.workspaces).await?;
    match version::standing(config.driver, agent.version.as_deref()) {
        Standing::Unsafe(why) if !config.allow_unsafe_version => return Err(Failure::configuration(why)),
        Standing::Unsafe(why) | Standing::Unmeasured(why) => tracing::warn!("{why}"),
        Standing::Good => {}
    }
    Ok(agent)
}

/// Runs the agent program where agents run, which also proves that it can run there.
async fn ask_version(agent: &Agent, workspaces: &Path) -> Result<Option<String>, Failure> {
    let Some(argv) = agent.version_call() else { return Ok(None) };
    let sandbox = agent.sandbox();
    let failed = |what: String| Failure::configuration(format!("the agent program does not run: {what}"));
    let nursery = Nursery::default();
    let name = format!("version-{}", uuid::Uuid::new_v4().simple());
    let workspace =
        Workspace::create(workspaces, &name, sandbox.owner()).map_err(|error| failed(error.to_string()))?;
    let files = agent.files();
    let job = sandbox.job(&Confined {
        workspace: &workspace,
        mirror: None,
        out: false,
        network: true,
        files,
        env: Vec::new(),
        argv,
    });
    let asked = child::capture(&nursery, job, &[], VERSION_MAX).await;
    workspace.remove(&nursery).await.map_err(|error| failed(error.to_string()))?;
    let asked = asked.map_err(|error| failed(error.to_string()))?;
    match asked.ending {
        Ending::Exited(0) => Ok(version::in_output(&asked.stdout).map(str::to_owned)),
        Ending::Exited(code) => Err(failed(format!(
            "--version ended with code {code}: {}",
            asked.stderr.last().unwrap_or("no output")
        ))),
        Ending::OverTime | Ending::Silent => Err(failed("--version took too long".to_owned())),
    }
}
