//! What every command begins with: configuration, log, state directory, and the way to Redis.

use std::{
    env,
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};

use shared::{
    config::{self, BUILT_IN, Config, ConfigFile, Loaded, Override, Sources},
    crash_point,
    queue::Queue,
    retry::Backoff,
    state_dir::StateDir,
    telemetry,
};

use worker::host::Host;

use crate::{
    args::Global,
    coordinator_args,
    embedded_redis::{EmbeddedRedis, Need},
    environment::Environment,
    error::CommandError,
};

/// What goes to the log of a command that answers and ends, unless somebody configured a level.
const LEVEL_OF_ONE_SHOT: &str = "warn";

/// Waits between two looks at a server that is not there yet.
const REDIS_WAIT: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));

/// How much a command tells by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// As configured: for what runs on and on.
    Service,
    /// Warnings, unless configured otherwise: for what prints an answer.
    OneShot,
}

/// A command's surroundings.
pub struct Session {
    pub environment: Environment,
    pub loaded: Loaded,
    pub state_dir: StateDir,
}

impl Session {
    /// Loads the configuration and starts the log.
    pub fn start(global: &Global, flags: Vec<Override>, log: Log) -> Result<Self, CommandError> {
        let environment = Environment::capture();
        let mut loaded = config::load(&sources(global, &environment, flags))?;
        let asked = loaded.settings.iter().any(|s| s.key == "log.level" && s.origin != BUILT_IN);
        if log == Log::OneShot && !asked {
            LEVEL_OF_ONE_SHOT.clone_into(&mut loaded.config.log.level);
        }
        let colour = io::stderr().is_terminal() && !environment.variables().contains_key("NO_COLOR");
        telemetry::start(&loaded.config.log, colour)?;
        crash_point::arm(environment.variables());
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let path = environment.state_dir().ok_or(CommandError::NoHome)?;
        let state_dir = StateDir::create(&path).map_err(|source| CommandError::StateDir { path, source })?;
        Ok(Self { environment, loaded, state_dir })
    }

    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// What this machine lends to runs: this program as their supervisor, and what `sandbox.env_pass` lets through.
    pub fn host(&self) -> Result<Host, CommandError> {
        let program = env::current_exe().map_err(CommandError::io("find this program's own file"))?;
        Ok(Host::new(program, self.environment.all()))
    }

    /// The queue on the configured server, else on the private one. May block for seconds.
    pub fn connect(&self, need: Need) -> Result<Connection, CommandError> {
        let mut redis = self.config().redis.clone();
        let mut embedded = None;
        if !redis.names_a_server() {
            if self.environment.variables().contains_key(coordinator_args::HOST) {
                tracing::warn!(
                    "this command uses the private redis-server of this machine: {} counts for start-node, status --show-cluster and workflow --distributed; REDIS_URL counts for all",
                    coordinator_args::HOST
                );
            }
            let path = self.environment.path().map(str::to_owned);
            let share = EmbeddedRedis::open(&self.state_dir.redis(), need, path)?;
            redis.url = share.url().into();
            embedded = Some(share);
        }
        let queue = Queue::open(&redis, &self.config().queue)?;
        Ok(Connection { queue, embedded })
    }
}

/// A queue and, where it is private, this process' share in the server below it.
pub struct Connection {
    pub queue: Queue,
    embedded: Option<EmbeddedRedis>,
}

impl Connection {
    /// Refuses a server that cannot carry a queue or that is not there, and warns of one that may lose tasks.
    pub async fn require_usable(&self) -> Result<(), CommandError> {
        let facts = self.queue.check().await?;
        if facts.version.is_none() {
            tracing::warn!(
                "could not check whether redis keeps what it is given: its user lacks the right to INFO"
            );
        }
        if facts.aof == Some(false) {
            tracing::warn!(
                "redis keeps no append-only file and loses tasks when it crashes; set appendonly yes"
            );
        }
        if let Some(policy) = facts.eviction.filter(|policy| policy != "noeviction") {
            tracing::warn!(
                policy,
                "redis throws tasks away when its memory is full; set maxmemory-policy noeviction"
            );
        }
        Ok(())
    }

    /// As [`Self::require_usable`], but a server that is not there yet is waited for.
    pub async fn wait_until_usable(&self) -> Result<(), CommandError> {
        for attempt in 0.. {
            match self.require_usable().await {
                Err(CommandError::Queue(error)) if error.is_passing() => {
                    if attempt == 0 {
                        tracing::warn!(%error, "redis cannot be used yet; waiting for it");
                    }
                    tokio::time::sleep(REDIS_WAIT.delay(attempt)).await;
                }
                other => return other,
            }
        }
        Ok(())
    }

    /// The URL of the private server, where this is one.
    pub fn private_url(&self) -> Option<&str> {
        self.embedded.as_ref().map(EmbeddedRedis::url)
    }

    /// Gives up the queue, then the share in the server. May block for seconds while a server ends.
    pub fn close(self) {
        drop(self.queue);
        if let Some(embedded) = self.embedded {
            embedded.close();
        }
    }
}

/// The layers in their order; flags come last.
pub fn sources(global: &Global, environment: &Environment, mut flags: Vec<Override>) -> Sources {
    let mut files = vec![ConfigFile { path: "/etc/claude-cluster/config.toml".into(), required: false }];
    files.extend(
        environment.config_dir().map(|dir| ConfigFile { path: dir.join("config.toml"), required: false }),
    );
    files.extend(global.config.iter().map(|path| ConfigFile { path: path.clone(), required: true }));
    flags.extend(global.log_level.iter().map(|level| Override::text("--log-level", "log.level", level)));
    flags.extend(global.log_format.iter().map(|format| Override::text("--log-format", "log.format", format)));
    let dotenv = Some(PathBuf::from("./.env"));
    Sources { files, dotenv, environment: environment.variables().clone(), overrides: flags }
}
