//! GitHub: issues and their comments, pull requests, one status comment an issue.
//!
//! What is written there, and which permissions that takes: `docs/github.md`. Reads are repeated while they
//! may succeed. A write is tried once; before it is tried again, what is there is looked at.

mod address;
mod api;
mod comments;
mod error;
mod issue;
mod patience;
mod pull_request;
mod status_comment;

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use shared::{
    Failure, RepositoryName,
    config::{Config, GithubConfig, given},
};
use tokio::sync::OnceCell;

pub use self::issue::{IssueSnapshot, read_issue};
use self::{api::Api, patience::Patience};
pub(crate) use self::{
    comments::Comment,
    pull_request::Content,
    status_comment::{Below, StatusComment},
};
use crate::git::Access;

/// How long a run waits for GitHub before anybody has been paid.
const PREPARE_PATIENCE: Duration = Duration::from_secs(60);

/// How long a finished run waits to be published: the work is paid for.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(300);

/// How long a run waits to write its status, which is never worth more.
const COMMENT_PATIENCE: Duration = Duration::from_secs(20);

/// The server and the token. Lives as long as the runtime it was made on.
pub(crate) struct GitHub {
    api: Api,
    access: Access,
    config: GithubConfig,
    own: OnceCell<Own>,
}

/// Who our token is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Own {
    Login(String),
    /// An app's installation, which GitHub does not tell its name.
    SomeApp,
}

/// A repository that our token can push to.
#[derive(Clone)]
pub(crate) struct Repository {
    github: Arc<GitHub>,
    name: RepositoryName,
    owner: String,
}

/// What is read of a repository.
#[derive(Deserialize)]
struct Facts {
    full_name: String,
    #[serde(default)]
    archived: bool,
    permissions: Option<Permissions>,
}

#[derive(Deserialize)]
struct Permissions {
    push: Option<bool>,
}

/// Whoever opened, wrote or is.
#[derive(Clone, Debug, Deserialize)]
struct Account {
    login: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Account {
    fn is_bot(&self) -> bool {
        self.kind.as_deref() == Some("Bot") || self.login.ends_with("[bot]")
    }
}

impl GitHub {
    /// `Ok(None)` where no token is configured.
    pub(crate) fn connect(config: &GithubConfig) -> Result<Option<Arc<Self>>, Failure> {
        if given(&config.token).is_none() {
            return Ok(None);
        }
        let access = Access { base_url: address::git_base(config)?, token: config.token.clone() };
        let api = Api::new(config, &config.token)?;
        Ok(Some(Arc::new(Self { api, access, config: config.clone(), own: OnceCell::new() })))
    }

    /// What a task says that names a repository on GitHub where no token is configured.
    pub(crate) fn missing(repository: &RepositoryName) -> Failure {
        Failure::configuration(format!(
            "{repository} is on GitHub, and this worker has no token for it: set GITHUB_TOKEN (github.token; \
             docs/github.md lists its permissions), or give the repository a [[repository]] entry with a url"
        ))
    }

    /// Looks the repository up: the token, the name and the right to push are proven before work begins. A
    /// renamed repository is taken by its present name, if that one is allowed here too.
    pub(crate) async fn repository(
        self: &Arc<Self>,
        owner: &str,
        name: &str,
        config: &Config,
    ) -> Result<Repository, Failure> {
        let facts = self.facts(owner, name).await?;
        let refuse = |problem: &str| Failure::configuration(format!("{}: {problem}", facts.full_name));
        let name: RepositoryName =
            facts.full_name.parse().map_err(|_| refuse("GitHub gave it an odd name"))?;
        let Some((owner, _)) = name.forge() else { return Err(refuse("GitHub gave it an odd name")) };
        config.repository_entry(&name).map_err(|error| Failure::configuration(error.to_string()))?;
        if facts.archived {
            return Err(refuse("it is archived, and nothing can be pushed to it"));
        }
        if facts.permissions.and_then(|permissions| permissions.push) == Some(false) {
            return Err(refuse(
                "the token may not push to it: give its account write access, and the token Contents, Pull requests \
                 and Issues: read and write (docs/github.md)",
            ));
        }
        Ok(Repository { github: Arc::clone(self), owner: owner.to_owned(), name })
    }

    async fn facts(&self, owner: &str, name: &str) -> Result<Facts, Failure> {
        let failed = |error: error::ApiError| error.into_failure(&format!("cannot read {owner}/{name}"));
        let mut patience = Patience::new(PREPARE_PATIENCE);
        let path = format!("/repos/{owner}/{name}");
        let answer = self.api.get(&path, &mut patience).await.map_err(failed)?;
        // A renamed one answers with its id's address, on the same server.
        let base = self.config.base_url.trim_end_matches('/');
        let target = answer.location.as_deref().filter(|_| answer.is_redirect());
        match target.and_then(|target| target.strip_prefix(base)).filter(|path| path.starts_with('/')) {
            Some(path) => self.api.read(path, &mut patience).await.map_err(failed),
            None => answer.decode().map_err(failed),
        }
    }

    /// Whose comments are ours. Asked once; a failure is asked again next time.
    async fn own(&self, patience: &mut Patience) -> Result<&Own, error::ApiError> {
        let ask = async {
            if !self.config.own_login.is_empty() {
                return Ok(Own::Login(self.config.own_login.clone()));
            }
            match self.api.read::<Account>("/user", patience).await {
                Ok(account) => Ok(Own::Login(account.login)),
                Err(error) if error.status() == Some(403) => Ok(Own::SomeApp),
                Err(error) => Err(error),
            }
        };
        self.own.get_or_try_init(|| ask).await
    }
}

impl Own {
    fn wrote(&self, author: Option<&Account>) -> bool {
        author.is_some_and(|author| match self {
            Self::Login(login) => author.login.eq_ignore_ascii_case(login),
            Self::SomeApp => author.is_bot(),
        })
    }
}

impl Repository {
    pub(crate) fn clone_url(&self) -> String {
        format!("{}/{}.git", self.github.access.base_url, self.name)
    }

    /// What lets git in there.
    pub(crate) fn access(&self) -> &Access {
        &self.github.access
    }

    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{rest}", self.name)
    }
}
