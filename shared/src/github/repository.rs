//! One repository on GitHub.

use std::sync::Arc;

use http::Method;
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    GitHub, PREPARE_PATIENCE,
    api::{Ask, GRAPH},
    authentication::Scope,
    endpoints::Query,
    error::ApiError,
    patience::Patience,
};
use crate::{Failure, RepositoryName, config::Config, task::cut};

/// Of an error's text that is shown, in bytes.
const MESSAGE_BYTES_MAX: usize = 600;

/// A repository, as our token sees it.
#[derive(Clone)]
pub struct Repository {
    pub(super) github: Arc<GitHub>,
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

impl GitHub {
    /// The repository of that name, of which nothing is asked yet. `None` for a name that is no `owner/name`.
    pub fn repository(self: &Arc<Self>, name: &RepositoryName) -> Option<Repository> {
        let (owner, _) = name.forge()?;
        Some(Repository { github: Arc::clone(self), owner: owner.to_owned(), name: name.clone() })
    }

    /// Looks the repository up: the token, the name and the right to push are proven before work begins. A
    /// renamed repository is taken by its present name, if that one is allowed here too.
    ///
    /// # Errors
    /// Configuration: what has to be set up first. Transient: GitHub does not answer within a minute.
    pub async fn find_repository(
        self: &Arc<Self>,
        owner: &str,
        name: &str,
        config: &Config,
    ) -> Result<Repository, Failure> {
        let facts = self.facts(owner, name).await?;
        let refuse = |problem: &str| Failure::configuration(format!("{}: {problem}", facts.full_name));
        let name: RepositoryName =
            facts.full_name.parse().map_err(|_| refuse("GitHub gave it an odd name"))?;
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
        self.repository(&name).ok_or_else(|| refuse("GitHub gave it an odd name"))
    }

    async fn facts(&self, owner: &str, name: &str) -> Result<Facts, Failure> {
        let failed = |error: ApiError| error.into_failure(&format!("cannot read {owner}/{name}"));
        let mut patience = Patience::new(PREPARE_PATIENCE);
        let asked: RepositoryName =
            format!("{owner}/{name}").parse().map_err(|error| Failure::configuration(format!("{error}")))?;
        let (path, scope) = (format!("/repos/{asked}"), Scope::Repository(&asked));
        let answer = self.get(Ask::get(&path), scope, &mut patience).await.map_err(failed)?;
        // A renamed one answers with its id's address, on the same server.
        let base = self.config.base_url.trim_end_matches('/');
        let target = answer.location.as_deref().filter(|_| answer.is_redirect());
        match target.and_then(|target| target.strip_prefix(base)).filter(|path| path.starts_with('/')) {
            Some(path) => self.read(path, scope, &mut patience).await.map_err(failed),
            None => answer.decode().map_err(failed),
        }
    }
}

impl Repository {
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub fn github(&self) -> &Arc<GitHub> {
        &self.github
    }

    pub fn clone_url(&self) -> String {
        format!("{}/{}.git", self.github.git_base_url, self.name)
    }

    /// What lets git in there: an app's is minted for it, so that a long push does not outlive it. Asked for in one
    /// try.
    pub async fn git_token(&self) -> Result<SecretString, ApiError> {
        self.github.credentials.fresh(&self.github.api, &self.name).await
    }

    /// Reads what is at `rest` below the repository, again and again for as long as patience lasts. A redirect is
    /// an error.
    pub async fn read<T: DeserializeOwned>(
        &self,
        rest: &str,
        patience: &mut Patience,
    ) -> Result<T, ApiError> {
        self.github.read(&self.path(rest), self.scope(), patience).await
    }

    /// Creates, in one try. After an error that passes, nobody knows whether it was done: look before the next.
    pub async fn create<T: DeserializeOwned>(&self, rest: &str, body: &Value) -> Result<T, ApiError> {
        self.write(&Method::POST, rest, body).await
    }

    /// Changes, in one try.
    pub async fn change<T: DeserializeOwned>(&self, rest: &str, body: &Value) -> Result<T, ApiError> {
        self.write(&Method::PATCH, rest, body).await
    }

    /// Removes, in one try.
    pub async fn remove(&self, rest: &str) -> Result<(), ApiError> {
        let path = self.path(rest);
        let answer =
            self.github.once(Ask { method: &Method::DELETE, ..Ask::get(&path) }, self.scope()).await?;
        answer.settled()
    }

    /// Has something done that takes no words and answers with none, in one try.
    pub async fn order(&self, rest: &str) -> Result<(), ApiError> {
        let path = self.path(rest);
        let ask = Ask { method: &Method::POST, ..Ask::get(&path) };
        self.github.once(ask, self.scope()).await?.settled()
    }

    /// Has GraphQL look or change something, in one try. `variables` are the query's.
    pub async fn graph(&self, query: Query, variables: &Value) -> Result<Value, ApiError> {
        let body = json!({ "query": query.text(), "variables": variables });
        let ask = Ask { method: &Method::POST, body: Some(&body), ..Ask::get(GRAPH) };
        let answer: Value = self.github.once(ask, self.scope()).await?.decode()?;
        match answer["errors"][0]["message"].as_str() {
            Some(message) => Err(ApiError::Refused {
                request: format!("POST {GRAPH}"),
                status: 200,
                message: cut(message, MESSAGE_BYTES_MAX).to_owned(),
            }),
            None => Ok(answer),
        }
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: &Method,
        rest: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        let path = self.path(rest);
        let ask = Ask { method, path: &path, body: Some(body), etag: None };
        self.github.once(ask, self.scope()).await?.decode()
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope::Repository(&self.name)
    }

    pub(super) fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{rest}", self.name)
    }
}
