//! `worker`: claims tasks of its specialties and runs them.

use std::net::SocketAddr;

use clap::Args;
use ingest::classify::Classifier;
use shared::config::{Config, Override};
use tokio::net::TcpListener;
use worker::{Stop, StopLevel};

use crate::{
    agent_args::AgentArgs,
    args::Global,
    embedded_redis::Need,
    error::CommandError,
    session::{Log, Session},
    signals::{Signals, Urgency},
};

/// The word for every specialty.
const ALL: &str = "all";

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  claude-cluster worker
  REDIS_URL=redis://:password@10.0.0.5:6379 claude-cluster worker --specialties backend,testing

First SIGTERM or Ctrl-C: takes nothing new, finishes what runs (at most worker.drain_ms), then gives it back. \
Second: gives it back at once. Third: leaves at once.")]
pub struct Worker {
    #[command(flatten)]
    pub options: WorkerOptions,
    /// This worker's name in the cluster; worker.node_id. Default: the host name.
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
    /// Address and port of this worker's own /health, /ready and /metrics; worker.health_listen. Default: none.
    #[arg(long, value_name = "ADDRESS")]
    health_listen: Option<String>,
}

/// What `worker` and `up` have in common.
#[derive(Clone, Debug, Args)]
pub struct WorkerOptions {
    /// Names or aliases with commas, or all; worker.specialties.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    specialties: Vec<String>,
    /// Tasks at a time; worker.max_tasks.
    #[arg(long, value_name = "N")]
    max_tasks: Option<u32>,
    #[command(flatten)]
    agent: AgentArgs,
}

impl WorkerOptions {
    pub fn overrides(&self) -> Result<Vec<Override>, CommandError> {
        let mut flags = self.agent.overrides()?;
        if !self.specialties.is_empty() {
            flags.push(Override::list("--specialties", "worker.specialties", self.specialties.clone()));
        }
        flags
            .extend(self.max_tasks.map(|n| Override::text("--max-tasks", "worker.max_tasks", n.to_string())));
        Ok(flags)
    }

    /// As arguments of another process of this program.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = self.agent.arguments();
        if !self.specialties.is_empty() {
            arguments.push(format!("--specialties={}", self.specialties.join(",")));
        }
        arguments.extend(self.max_tasks.map(|n| format!("--max-tasks={n}")));
        arguments
    }
}

impl Worker {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let mut flags = self.options.overrides()?;
        flags.extend(self.node_id.iter().map(|id| Override::text("--node-id", "worker.node_id", id)));
        let health = self.health_listen.iter();
        flags.extend(health.map(|at| Override::text("--health-listen", "worker.health_listen", at)));
        work(global, Session::start(global, flags, Log::Service)?).await
    }
}

/// Works as the session's configuration says until told to end.
pub async fn work(global: &Global, session: Session) -> Result<(), CommandError> {
    let mut signals = Signals::listen(global.part_of).map_err(CommandError::io("handle signals"))?;
    let mut config = session.config().clone();
    config.worker.specialties = resolve(&config)?;
    let health = bind_health(config.worker.health_listen).await?;
    let connection = session.connect(Need::Serve)?;
    let (told, stop) = Stop::channel();
    let watch = tokio::spawn({
        let mut signals = signals.clone();
        async move {
            signals.wait(Urgency::Drain).await;
            told.raise(StopLevel::Drain);
            signals.wait(Urgency::Now).await;
            told.raise(StopLevel::Release);
        }
    });
    let result = async {
        tokio::select! {
            usable = connection.wait_until_usable() => usable?,
            _ = signals.wait(Urgency::Drain) => return Ok(()),
        }
        let (queue, state_dir) = (connection.queue.clone(), session.state_dir.clone());
        let run = worker::run(config, queue, state_dir, session.host()?, health, stop);
        Ok(Box::pin(run).await?)
    };
    let result = result.await;
    watch.abort();
    connection.close();
    result
}

async fn bind_health(address: Option<SocketAddr>) -> Result<Option<TcpListener>, CommandError> {
    let Some(address) = address else { return Ok(None) };
    let (flag, key) = ("health-listen", "worker.health_listen");
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|source| CommandError::Listen { address, flag, key, source })
}

/// The specialties behind names and aliases.
fn resolve(config: &Config) -> Result<Vec<String>, CommandError> {
    let classifier = Classifier::load(&config.classify)?;
    let known = |name: &String| {
        if name == ALL {
            return Ok(ALL.to_owned());
        }
        let specialty = classifier.resolve_alias(name).ok_or_else(|| unknown(&classifier, name))?;
        Ok(specialty.to_string())
    };
    config.worker.specialties.iter().map(known).collect()
}

/// Says which there are.
pub fn unknown(classifier: &Classifier, name: &str) -> CommandError {
    let names: Vec<&str> = classifier.specialties().iter().map(shared::Specialty::as_str).collect();
    CommandError::Setting(format!(
        "there is no specialty '{name}'; there are {}, and those that classify.terms_file adds",
        names.join(", ")
    ))
}
