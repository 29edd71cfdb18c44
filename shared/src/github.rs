//! GitHub's REST API as ingesters and workers use it: repositories, issues and their comments, permissions, and one
//! status comment an issue.
//!
//! Reads are repeated while they may succeed ([`Patience`]). A write is tried once; before it is tried again, what
//! is there is looked at.

mod address;
mod api;
mod app_key;
mod authentication;
mod changes;
mod comments;
mod connect;
mod endpoints;
mod error;
mod issue;
mod issue_events;
mod listing;
mod pace;
mod patience;
mod permission;
mod rate;
mod repository;
mod status_comment;

use std::{sync::Arc, time::Duration};

use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::OnceCell;

use self::{
    api::{Answer, Api, Ask},
    authentication::{Credentials, Purpose, Scope},
    pace::Pace,
};
pub use self::{
    authentication::Minting,
    changes::Changes,
    comments::{CommentEntry, CommentListing},
    endpoints::{ENDPOINTS, Endpoint, Query},
    error::ApiError,
    issue::{IssueSnapshot, read_issue},
    issue_events::{EventLabel, IssueEventEntry},
    listing::{LISTED_MAX, Listed},
    patience::Patience,
    permission::Permission,
    rate::{METRICS_TYPE, Rate},
    repository::Repository,
    status_comment::{MARKER, StatusComment, Unsaid},
};
use crate::{
    Failure, RepositoryName,
    config::{Config, GithubConfig},
};

/// How long whoever prepares something waits for GitHub.
pub const PREPARE_PATIENCE: Duration = Duration::from_secs(60);

/// How long a check of the token waits for GitHub.
const CHECK_PATIENCE: Duration = Duration::from_secs(5);

/// Entries of one page, the most that GitHub gives.
pub const PAGE_ENTRIES: usize = 100;

/// The server and what lets us in. Lives as long as the runtime it was made on.
pub struct GitHub {
    api: Api,
    credentials: Credentials,
    pace: Pace,
    git_base_url: String,
    config: GithubConfig,
    own: OnceCell<Own>,
}

/// Who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    Login(String),
    /// An app's installation, which GitHub does not tell its name.
    SomeApp,
}

/// Whoever opened, wrote or is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Account {
    pub login: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

#[derive(Deserialize)]
struct AppFacts {
    slug: String,
}

impl Account {
    pub fn is_bot(&self) -> bool {
        self.kind.as_deref() == Some("Bot") || self.login.ends_with("[bot]")
    }
}

/// Whose the configured credentials are: a login, `name[bot]` for an app, or `an app` for an installation's token. `Ok(None)` where none is configured.
///
/// # Errors
/// Configuration: it is not accepted, or `github.base_url` is wrong. Transient: GitHub does not answer.
pub async fn check_token(config: &Config) -> Result<Option<String>, Failure> {
    let Some(github) = GitHub::open(&config.github)? else { return Ok(None) };
    let own = github.ask_own(&mut Patience::new(CHECK_PATIENCE)).await;
    match own.map_err(|error| error.into_failure("cannot ask GitHub whose the token is"))? {
        Own::Login(login) => Ok(Some(login)),
        Own::SomeApp => Ok(Some("an app".to_owned())),
    }
}

impl GitHub {
    /// `Ok(None)` where no credentials are configured. Nothing is asked yet. Call it on the runtime that requests
    /// will run on.
    ///
    /// # Errors
    /// Configuration: `github.base_url`, `github.git_base_url` or `github.app_key` cannot be used.
    pub fn open(config: &GithubConfig) -> Result<Option<Arc<Self>>, Failure> {
        Self::open_for(config, Purpose::Work, None)
    }

    /// As [`GitHub::open`]; `minting` hears of each token that an app's key mints.
    pub fn open_telling(config: &GithubConfig, minting: Minting) -> Result<Option<Arc<Self>>, Failure> {
        Self::open_for(config, Purpose::Work, Some(minting))
    }

    /// As [`GitHub::open`], to look at webhooks and set them up: an app's tokens may do that too then.
    pub fn open_to_set_up(config: &GithubConfig) -> Result<Option<Arc<Self>>, Failure> {
        Self::open_for(config, Purpose::SetUp, None)
    }

    fn open_for(
        config: &GithubConfig,
        purpose: Purpose,
        minting: Option<Minting>,
    ) -> Result<Option<Arc<Self>>, Failure> {
        let Some(credentials) = Credentials::of(config, purpose, minting)? else { return Ok(None) };
        Ok(Some(Arc::new(Self {
            api: Api::new(config)?,
            credentials,
            pace: Pace::new(Duration::from_millis(config.write_pause_ms)),
            git_base_url: address::git_base(config)?,
            config: config.clone(),
            own: OnceCell::new(),
        })))
    }

    /// What a task says that names a repository on GitHub where no token is configured.
    pub fn missing(repository: &RepositoryName) -> Failure {
        Failure::configuration(format!(
            "{repository} is on GitHub, and there is no token for it: set GITHUB_TOKEN (github.token), or an app's \
             github.app_id and github.app_key_file (docs/github.md lists the permissions), or give the repository a \
             [[repository]] entry with a url"
        ))
    }

    /// What the last answer said is left of the rate limit.
    pub fn rate(&self) -> Option<Rate> {
        self.api.rate()
    }

    /// Where git clones from and pushes to, without a slash at its end.
    pub fn git_base_url(&self) -> &str {
        &self.git_base_url
    }

    /// Whose comments are ours. Asked once; a failure is asked again next time.
    pub async fn own(&self, patience: &mut Patience) -> Result<&Own, ApiError> {
        let named = &self.config.own_login;
        if named.is_empty() {
            return self.own.get_or_try_init(|| self.ask_own(patience)).await;
        }
        Ok(self.own.get_or_init(|| async { Own::Login(named.clone()) }).await)
    }

    async fn ask_own(&self, patience: &mut Patience) -> Result<Own, ApiError> {
        if let Credentials::App(_) = self.credentials {
            let app: AppFacts = self.read("/app", Scope::Ourselves, patience).await?;
            return Ok(Own::Login(format!("{}[bot]", app.slug)));
        }
        match self.read::<Account>("/user", Scope::Ourselves, patience).await {
            Ok(account) => Ok(Own::Login(account.login)),
            Err(error) if error.status() == Some(403) => Ok(Own::SomeApp),
            Err(error) => Err(error),
        }
    }

    async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        scope: Scope<'_>,
        patience: &mut Patience,
    ) -> Result<T, ApiError> {
        self.get(Ask::get(path), scope, patience).await?.decode()
    }

    /// Asks again and again for as long as patience lasts, and hands redirects out.
    async fn get(&self, ask: Ask<'_>, scope: Scope<'_>, patience: &mut Patience) -> Result<Answer, ApiError> {
        loop {
            match self.once(ask, scope).await {
                Ok(answer) => return Ok(answer),
                Err(error) => patience.wait_after(error).await?,
            }
        }
    }

    /// Asks in one try. A write waits for its turn.
    async fn once(&self, ask: Ask<'_>, scope: Scope<'_>) -> Result<Answer, ApiError> {
        if ask.method == Method::GET {
            return self.as_somebody(ask, scope).await;
        }
        self.pace.take(self.as_somebody(ask, scope)).await
    }

    /// A minted token that is refused has been revoked: nothing was done, and another is tried once.
    async fn as_somebody(&self, ask: Ask<'_>, scope: Scope<'_>) -> Result<Answer, ApiError> {
        let bearer = self.credentials.bearer(&self.api, scope).await?;
        match self.api.ask(ask, &bearer).await {
            Err(error) if error.status() == Some(401) && self.credentials.refused(scope) => {
                let bearer = self.credentials.bearer(&self.api, scope).await?;
                self.api.ask(ask, &bearer).await
            }
            answered => answered,
        }
    }
}

impl Own {
    pub fn wrote(&self, author: Option<&Account>) -> bool {
        author.is_some_and(|author| match self {
            Self::Login(login) => author.login.eq_ignore_ascii_case(login),
            Self::SomeApp => author.is_bot(),
        })
    }
}
