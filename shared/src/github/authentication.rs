//! As whom GitHub is asked: a token, or an app that mints short-lived ones.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::{Api, Ask},
    app_key::AppKey,
    error::ApiError,
};
use crate::{
    Failure, RepositoryName,
    config::{GithubConfig, given},
};

/// A token with less left to live is not used any more: a push with it may take minutes.
const LIFE_MIN: Duration = Duration::from_secs(5 * 60);

/// What a worker's tokens may, and nothing else.
const TO_WORK: [(&str, &str); 3] = [("contents", "write"), ("issues", "write"), ("pull_requests", "write")];

/// What they may too where the installation was given it: changes below `.github/workflows`.
const WHERE_GIVEN: [(&str, &str); 1] = [("workflows", "write")];

/// What setting up needs besides, where it is given.
const TO_SET_UP: [(&str, &str); 1] = [("repository_hooks", "write")];

/// What proves who we are.
pub(super) enum Credentials {
    /// A personal token, or one that somebody else has minted.
    Token(SecretString),
    App(Box<App>),
}

/// What a request is about, which decides the token that it needs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'a> {
    /// We ourselves.
    Ourselves,
    Repository(&'a RepositoryName),
    /// What an owner has, to be listed and nothing else.
    Owner(&'a str),
}

/// What tokens are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Work,
    SetUp,
}

/// Told of each token that is minted and when it ends, before it is used.
pub type Minting = Box<dyn Fn(&SecretString, SystemTime) + Send + Sync>;

/// An app and its installations' tokens, each good for one repository, or to list an owner's.
pub(super) struct App {
    key: AppKey,
    purpose: Purpose,
    minting: Option<Minting>,
    tokens: Mutex<HashMap<String, Minted>>,
}

#[derive(Clone)]
struct Minted {
    token: SecretString,
    until: SystemTime,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
    #[serde(default)]
    permissions: HashMap<String, String>,
    suspended_at: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    token: SecretString,
    expires_at: DateTime<Utc>,
}

impl Credentials {
    /// `Ok(None)` where none are configured.
    pub(super) fn of(
        config: &GithubConfig,
        purpose: Purpose,
        minting: Option<Minting>,
    ) -> Result<Option<Self>, Failure> {
        let id = config.app_id.trim();
        if !id.is_empty() {
            let pem = given(&config.app_key).unwrap_or_default();
            let key = AppKey::read(id, pem).map_err(|problem| {
                Failure::configuration(format!("github.app_key: {problem}; see docs/github.md"))
            })?;
            return Ok(Some(Self::App(Box::new(App { key, purpose, minting, tokens: Mutex::default() }))));
        }
        let token = given(&config.token).map(str::trim).filter(|token| !token.is_empty());
        Ok(token.map(|token| Self::Token(SecretString::from(token))))
    }

    /// The bearer token of the next request.
    pub(super) async fn bearer(&self, api: &Api, scope: Scope<'_>) -> Result<SecretString, ApiError> {
        match (self, scope) {
            (Self::Token(token), _) => Ok(token.clone()),
            (Self::App(app), Scope::Ourselves) => Ok(app.key.sign(SystemTime::now())),
            (Self::App(app), Scope::Repository(repository)) => match app.cached(&key_of(repository)) {
                Some(token) => Ok(token),
                None => app.mint(api, repository).await,
            },
            (Self::App(app), Scope::Owner(owner)) => match app.cached(&key_of_owner(owner)) {
                Some(token) => Ok(token),
                None => app.mint_to_list(api, owner).await,
            },
        }
    }

    /// As [`Credentials::bearer`] for a repository, with its whole life before it where it can be had.
    pub(super) async fn fresh(
        &self,
        api: &Api,
        repository: &RepositoryName,
    ) -> Result<SecretString, ApiError> {
        match self {
            Self::Token(token) => Ok(token.clone()),
            Self::App(app) => app.mint(api, repository).await,
        }
    }

    /// Forgets a token that was refused. Whether another one can be had.
    pub(super) fn refused(&self, scope: Scope<'_>) -> bool {
        match (self, scope) {
            (Self::App(app), Scope::Repository(repository)) => app.forget(&key_of(repository)),
            (Self::App(app), Scope::Owner(owner)) => app.forget(&key_of_owner(owner)),
            _ => false,
        }
    }
}

impl App {
    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<String, Minted>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self, key: &str) -> Option<SecretString> {
        let minted = self.tokens().get(key).cloned()?;
        (minted.until > SystemTime::now() + LIFE_MIN).then_some(minted.token)
    }

    fn forget(&self, key: &str) -> bool {
        self.tokens().remove(key).is_some()
    }

    /// A new token for this repository and what we do there, nothing else.
    async fn mint(&self, api: &Api, repository: &RepositoryName) -> Result<SecretString, ApiError> {
        let Some((owner, name)) = repository.forge() else {
            return Err(ApiError::Unusable(format!("{repository} is not on GitHub")));
        };
        let jwt = self.key.sign(SystemTime::now());
        let path = format!("/repos/{owner}/{name}/installation");
        let installation: Installation = api.ask(Ask::get(&path), &jwt).await?.decode()?;
        installation.check(owner)?;
        let permissions = self.permissions(&installation.permissions)?;
        let body = json!({ "repositories": [name], "permissions": permissions });
        self.exchange(api, &installation, &body, &jwt, key_of(repository)).await
    }

    /// A new token that may look at what the installation at `owner` has, and touch nothing.
    async fn mint_to_list(&self, api: &Api, owner: &str) -> Result<SecretString, ApiError> {
        let jwt = self.key.sign(SystemTime::now());
        let path = format!("/users/{owner}/installation");
        let found = match api.ask(Ask::get(&path), &jwt).await {
            Err(error) if error.status() == Some(404) => {
                api.ask(Ask::get(&format!("/orgs/{owner}/installation")), &jwt).await?
            }
            found => found?,
        };
        let installation: Installation = found.decode()?;
        installation.check(owner)?;
        let body = json!({ "permissions": { "metadata": "read" } });
        self.exchange(api, &installation, &body, &jwt, key_of_owner(owner)).await
    }

    async fn exchange(
        &self,
        api: &Api,
        installation: &Installation,
        body: &Value,
        jwt: &SecretString,
        key: String,
    ) -> Result<SecretString, ApiError> {
        let path = format!("/app/installations/{}/access_tokens", installation.id);
        let ask = Ask { method: &Method::POST, body: Some(body), ..Ask::get(&path) };
        let minted: Token = api.ask(ask, jwt).await?.decode()?;
        let (token, until) = (minted.token.clone(), minted.expires_at.into());
        if let Some(minting) = &self.minting {
            minting(&token, until);
        }
        self.tokens().insert(key, Minted { token, until });
        Ok(minted.token)
    }

    fn permissions(
        &self,
        given: &HashMap<String, String>,
    ) -> Result<HashMap<&'static str, &'static str>, ApiError> {
        let has = |(name, level): &&(&str, &str)| given.get(*name).is_some_and(|had| had == level);
        let lacking: Vec<&str> = TO_WORK.iter().filter(|need| !has(need)).map(|(name, _)| *name).collect();
        if self.purpose == Purpose::Work && !lacking.is_empty() {
            return Err(ApiError::Unusable(format!(
                "the app lacks permissions: give it read and write of {}, and have the installation accept them",
                lacking.join(", ")
            )));
        }
        let set_up = TO_SET_UP.iter().filter(|_| self.purpose == Purpose::SetUp);
        let wanted = TO_WORK.iter().chain(&WHERE_GIVEN).chain(set_up);
        Ok(wanted.filter(has).copied().collect())
    }
}

impl Installation {
    fn check(&self, owner: &str) -> Result<(), ApiError> {
        if self.suspended_at.is_some() {
            return Err(ApiError::Unusable(format!("the app's installation at {owner} is suspended")));
        }
        Ok(())
    }
}

/// No repository is called so.
fn key_of_owner(owner: &str) -> String {
    format!("{}/*", owner.to_ascii_lowercase())
}

/// GitHub's names do not differ by case.
fn key_of(repository: &RepositoryName) -> String {
    repository.to_string().to_ascii_lowercase()
}
