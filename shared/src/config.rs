//! Configuration: one struct a section, read in layers, refused before anything starts.
//!
//! Field by field, with defaults and variables: `docs/configuration.md` and `config/default.toml`.

mod agent;
mod check;
mod dotenv;
mod error;
mod load;
mod polled;
mod rules;
mod schema;
mod server_address;
mod setting;
mod value_file;
mod variables;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de::Error as _};

pub use agent::{AgentConfig, Driver, SpecialtyAgent};
pub use error::ConfigError;
pub use load::{BUILT_IN, ConfigFile, Loaded, Override, Sources, load};
pub use rules::Rules;
pub use server_address::ServerAddress;
pub use setting::Setting;

use crate::{Priority, RepositoryName, Specialty, retry::Backoff};

/// The shipped defaults; also the list of keys that exist.
pub const DEFAULT_TOML: &str = include_str!("config/default.toml");

/// Everything that can be configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub redis: RedisConfig,
    pub queue: QueueConfig,
    pub ingest: IngestConfig,
    pub api: ApiConfig,
    pub github: GithubConfig,
    pub poll: PollConfig,
    pub publish: PublishConfig,
    pub classify: ClassifyConfig,
    pub worker: WorkerConfig,
    pub workspace: WorkspaceConfig,
    pub agent: AgentConfig,
    pub sandbox: SandboxConfig,
    pub test: TestConfig,
    pub git: GitConfig,
    pub log: LogConfig,
    /// Empty: every repository whose webhook is signed with our secret.
    #[serde(default)]
    pub repository: Vec<RepositoryConfig>,
}

/// `[redis]`: which server, and how long to wait for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// Empty, without `sentinels` and `cluster`: the private redis-server of this user. May carry a password, so it
    /// is a secret. `REDIS_URL`.
    pub url: SecretString,
    /// Replaces the URL's user where set.
    pub user: String,
    /// Replaces the URL's password where set, so that the URL may be shown. `REDIS_PASSWORD`.
    pub password: SecretString,
    /// Replaces the URL's number where not 0.
    pub database: u32,
    /// Instead of `url`: the sentinels' addresses.
    pub sentinels: Vec<String>,
    /// The name by which the sentinels know the server.
    pub service: String,
    pub sentinel_user: String,
    pub sentinel_password: SecretString,
    pub sentinel_tls: bool,
    /// Instead of `url`: addresses of some nodes of a Redis Cluster.
    pub cluster: Vec<String>,
    /// Whether servers found through sentinels and nodes of a cluster speak TLS.
    pub tls: bool,
    /// Certificates (PEM) of the authority that servers with TLS are signed by. Empty: those of the system.
    pub ca: String,
    /// Certificate (PEM) by which this program proves itself to servers that ask for it.
    pub client_cert: String,
    /// The key (PEM) of `client_cert`.
    pub client_key: SecretString,
    /// How other machines reach this server, for `join-command`. Empty: as `url` says.
    pub join_url: SecretString,
    /// First part of every key.
    pub prefix: String,
    pub connect_timeout_ms: u64,
    pub response_timeout_ms: u64,
    pub pool_size: usize,
}

impl RedisConfig {
    /// Whether a server is named; else the private one of this user is meant.
    pub fn names_a_server(&self) -> bool {
        given(&self.url).is_some() || !self.sentinels.is_empty() || !self.cluster.is_empty()
    }
}

/// `[queue]`: leases, retries and what is kept for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    /// A worker silent for so long has lost its tasks.
    pub lease_ms: u64,
    /// How often a worker renews all its leases.
    pub beat_ms: u64,
    /// Shortest time between two sweeps of one specialty.
    pub sweep_ms: u64,
    /// How long agents run on while Redis cannot be reached.
    pub outage_grace_ms: u64,
    /// Lost so often, a task is poison and fails.
    pub lost_workers_max: u32,
    /// Transient failures before a task fails.
    pub attempts_max: u32,
    pub retry_base_ms: u64,
    pub retry_cap_ms: u64,
    pub finished_count_max: u64,
    pub finished_age_hours: u64,
    pub events_count_max: u64,
    pub log_lines_max: u64,
    pub log_ttl_hours: u64,
    pub delivery_ttl_hours: u64,
}

impl QueueConfig {
    pub fn retry(&self) -> Backoff {
        Backoff::new(Duration::from_millis(self.retry_base_ms), Duration::from_millis(self.retry_cap_ms))
    }

    /// After so many lost workers a task is one loss away from poison: it then runs alone.
    pub fn suspect_lost(&self) -> u32 {
        self.lost_workers_max.saturating_sub(1).max(1)
    }

    /// How long the locator of a settled task lives: an hour longer than its record, so that it never ends first.
    pub fn locator_life_ms(&self) -> u64 {
        (self.finished_age_hours + 1) * 3_600_000
    }
}

/// `[ingest]`: the webhook listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    pub listen: SocketAddr,
    pub body_bytes_max: u64,
    /// Accept webhooks without a signature. For trying things out on loopback, nothing else.
    pub insecure_webhooks: bool,
}

/// `[api]`: the HTTP API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    /// `None`, written as the empty text: no API.
    #[serde(deserialize_with = "optional_address")]
    pub listen: Option<SocketAddr>,
    /// `CLAUDE_CLUSTER_API_TOKEN`. Empty: made at first start and kept in the state directory.
    pub token: SecretString,
    pub open_reads: bool,
    /// Names besides `localhost` and IP addresses that requests may come for.
    pub hosts: Vec<String>,
    /// Empty: a task posted without a repository is refused.
    pub default_repository: String,
}

fn optional_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

/// `[github]`: which one, what triggers, and whom to trust.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GithubConfig {
    /// `GITHUB_TOKEN`.
    pub token: SecretString,
    /// Id or client id of an app, which is asked instead of the token. Empty: none.
    pub app_id: String,
    /// Its private key (PEM).
    pub app_key: SecretString,
    /// Of the REST API: `https://api.github.com`, or `https://HOST/api/v3` of an Enterprise Server.
    pub base_url: String,
    /// `HTTPS_PROXY`: which the API is reached through, by CONNECT. Empty: directly.
    pub proxy: SecretString,
    /// `NO_PROXY`: hosts that are reached directly, with commas.
    pub no_proxy: String,
    /// `owner/name.git` below it is cloned from and pushed to. Empty: the server that `base_url` belongs to.
    pub git_base_url: String,
    /// Limit of one request.
    pub timeout_ms: u64,
    /// Between the end of one write and the next, in this process.
    pub write_pause_ms: u64,
    /// Keep work whose tests stay red as a draft pull request.
    pub draft_on_red: bool,
    /// Ingesters say on an issue that its task waits.
    pub comment_when_queued: bool,
    /// `GITHUB_WEBHOOK_SECRET`. Empty: made at first start and kept in the state directory.
    pub webhook_secret: SecretString,
    pub trigger_label: String,
    pub trigger_on_open: bool,
    /// Values of `author_association` that are trusted.
    pub trusted_associations: Vec<String>,
    /// Roles in a repository that are trusted where the association says too little.
    pub trusted_permissions: Vec<String>,
    /// People who are trusted whatever they are to a repository.
    pub trusted_logins: Vec<String>,
    /// People who never start or change anything.
    pub denied_logins: Vec<String>,
    /// Tasks that one issue may start in 24 hours.
    pub runs_per_issue_per_day: u32,
    pub own_login: String,
}

/// `[poll]`: asking GitHub what has changed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollConfig {
    pub enabled: bool,
    /// Names and patterns of one owner. Empty: the `[[repository]]` entries that are. See [`Config::polled`].
    pub repositories: Vec<String>,
    /// Between two looks at a repository, by whichever ingester.
    pub interval_ms: u64,
    /// At random on top of it.
    pub jitter_ms: u64,
    /// Pages of 100 changes that one look handles.
    pub pages_max: u32,
    /// Between two lists of an owner's repositories, which patterns stand for.
    pub listing_interval_ms: u64,
}

/// `[publish]`: what is made of a pull request besides its text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishConfig {
    /// Set on each pull request, where it does not have them.
    pub labels: Vec<String>,
    /// Work for which no tests were found is a draft.
    pub draft_untested: bool,
    /// Logins.
    pub assignees: Vec<String>,
    /// Logins, and `organisation/team`.
    pub reviewers: Vec<String>,
    /// Paths that no change may touch; `*` stands for any run of characters.
    pub protected_paths: Vec<String>,
    /// What all new content of one change together may come to.
    pub change_bytes_max: u64,
}

/// `[classify]`: terms of one's own, and whether an agent is asked where they say little.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifyConfig {
    pub terms_file: PathBuf,
    /// Workers ask their agent for the specialty of a task that terms alone have decided, by little.
    pub second_opinion: bool,
    /// By less than so many points.
    pub second_opinion_margin: f32,
}

/// `[worker]`: who this worker is and what it takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    pub node_id: String,
    /// Names or aliases of specialties; `all` takes every stream.
    pub specialties: Vec<String>,
    /// Tasks at a time.
    pub max_tasks: u32,
    /// How long a stopping worker lets its tasks go on before it gives them back.
    pub drain_ms: u64,
    /// Where `/health` and `/ready` are served; `None`, written as the empty text: nowhere.
    #[serde(deserialize_with = "optional_address")]
    pub health_listen: Option<SocketAddr>,
}

/// `[workspace]`: where work is done.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceConfig {
    pub root: PathBuf,
    /// Keep the workspace of a failed run for a look.
    pub keep_failed: bool,
    /// For how long.
    pub keep_failed_hours: u64,
    /// Mirrors that nobody has used for so long are removed.
    pub mirror_unused_hours: u64,
    /// The same for what setups have fetched.
    pub cache_unused_hours: u64,
    /// What all of it may come to; 0: no limit.
    pub bytes_max: u64,
    /// With less free room no run begins.
    pub free_bytes_min: u64,
    /// Between two looks for what can be removed.
    pub janitor_ms: u64,
}

/// How agents and tests are confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxMode {
    /// Bubblewrap where it runs, else process.
    Auto,
    Bubblewrap,
    Process,
}

/// `[sandbox]`: what agents and tests can reach.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxConfig {
    pub mode: SandboxMode,
    pub tool_paths: Vec<String>,
    pub env_pass: Vec<String>,
    pub network: bool,
    pub user: String,
    pub allow_same_user: bool,
    /// What the workspace of one run may come to on the disk; 0: no limit.
    pub disk_bytes_max: u64,
}

/// `[test]`: how a change is proven.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestConfig {
    pub command: String,
    pub timeout_ms: u64,
    /// Run the tests before the agent, too, so that what was red before is told apart.
    pub baseline: bool,
    /// Whether the tests reach the network; their setup always does.
    pub network: bool,
    /// What a repository's setup has fetched is kept for its next task up to this size; 0 keeps nothing.
    pub cache_bytes_max: u64,
    /// Agent runs per attempt: the first, then one for each red test run.
    pub rounds_max: u32,
}

/// `[git]`: the author of commits, and the limit of one git command.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitConfig {
    /// `GIT_USER_NAME`.
    pub user_name: String,
    /// `GIT_USER_EMAIL`.
    pub user_email: String,
    pub timeout_ms: u64,
}

/// Form of the log on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// `[log]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// A level or a filter such as `info,worker=debug`. `LOG_LEVEL`.
    pub level: String,
    pub format: LogFormat,
}

/// `[[repository]]`: what is allowed, where it lives, and what differs there from `[github]`. The first entry
/// that matches counts. [`Config::rules`] has the two laid together.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RepositoryConfig {
    /// `owner/name`, a path or a URL; `*` stands for any run of characters.
    #[serde(rename = "match")]
    pub pattern: String,
    /// A git URL or a path to clone from and push to instead of the forge.
    pub url: String,
    pub base_branch: String,
    pub trigger_label: Option<String>,
    pub trigger_on_open: Option<bool>,
    pub trusted_associations: Option<Vec<String>>,
    pub trusted_permissions: Option<Vec<String>>,
    pub trusted_logins: Option<Vec<String>>,
    /// In addition to `github.denied_logins`.
    pub denied_logins: Vec<String>,
    pub runs_per_issue_per_day: Option<u32>,
    pub draft_on_red: Option<bool>,
    pub comment_when_queued: Option<bool>,
    /// Of tasks that neither labels nor text give one.
    pub specialty: Option<Specialty>,
    /// Of tasks that neither labels nor text make urgent or minor.
    pub priority: Option<Priority>,
}

impl Config {
    /// The entry for `repository`; `Ok(None)` where no entries exist, `Err` where they exist and none matches.
    pub fn repository_entry(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<&RepositoryConfig>, NotAllowed> {
        if self.repository.is_empty() {
            return Ok(None);
        }
        let entry = self.repository.iter().find(|entry| repository.matches(&entry.pattern));
        entry.map(Some).ok_or_else(|| NotAllowed { repository: repository.clone() })
    }
}

/// `[[repository]]` entries exist and none matches.
#[derive(Debug, thiserror::Error)]
#[error("repository {repository} is not allowed here; add a [[repository]] entry whose match fits it")]
pub struct NotAllowed {
    pub repository: RepositoryName,
}

/// `None` for an empty secret: an unset one.
pub fn given(secret: &SecretString) -> Option<&str> {
    Some(secret.expose_secret()).filter(|text| !text.is_empty())
}
