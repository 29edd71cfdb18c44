//! The repositories of an owner, for whoever polls by a pattern.

use serde::Deserialize;

use super::{
    Account, GitHub, Own, PAGE_ENTRIES, Patience,
    api::Ask,
    authentication::{Credentials, Scope},
    error::ApiError,
};
use crate::RepositoryName;

/// Repositories of one owner that are listed.
pub const LISTED_MAX: usize = 1_000;

/// What an owner has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub names: Vec<RepositoryName>,
    /// Whether these are all that there are.
    pub complete: bool,
}

#[derive(Deserialize)]
struct Entry {
    full_name: String,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    disabled: bool,
    has_issues: Option<bool>,
}

/// The list of an app's installation.
#[derive(Deserialize)]
struct Installed {
    repositories: Vec<Entry>,
}

impl GitHub {
    /// The first [`LISTED_MAX`] repositories of `owner`, an organisation or a user, that the token sees or the app is
    /// installed in; without those that are archived, disabled or have no issues.
    pub async fn repositories_of(&self, owner: &str, patience: &mut Patience) -> Result<Listed, ApiError> {
        let of_app = matches!(self.credentials, Credentials::App(_));
        let (list, scope) = if of_app {
            ("/installation/repositories?".to_owned(), Scope::Owner(owner))
        } else {
            (self.list_of(owner, patience).await?, Scope::Ourselves)
        };
        let mut listed = Listed::default();
        for page in 1..=LISTED_MAX / PAGE_ENTRIES {
            let path = format!("{list}per_page={PAGE_ENTRIES}&page={page}");
            let answer = self.get(Ask::get(&path), scope, patience).await?;
            let entries: Vec<Entry> =
                if of_app { answer.decode::<Installed>()?.repositories } else { answer.decode()? };
            listed.complete = entries.len() < PAGE_ENTRIES;
            let living = entries.into_iter().filter(Entry::lives);
            listed.names.extend(living.filter_map(|entry| entry.full_name.parse().ok()));
            if listed.complete {
                break;
            }
        }
        Ok(listed)
    }

    /// Which list has all that a token sees of `owner`: only one's own account's has its private ones.
    async fn list_of(&self, owner: &str, patience: &mut Patience) -> Result<String, ApiError> {
        let account: Account = self.read(&format!("/users/{owner}"), Scope::Ourselves, patience).await?;
        if account.kind.as_deref() == Some("Organization") {
            return Ok(format!("/orgs/{owner}/repos?type=all&sort=full_name&"));
        }
        let ours = matches!(self.own(patience).await?, Own::Login(own) if own.eq_ignore_ascii_case(owner));
        Ok(if ours {
            "/user/repos?affiliation=owner&sort=full_name&".to_owned()
        } else {
            format!("/users/{owner}/repos?type=owner&sort=full_name&")
        })
    }
}

impl Entry {
    fn lives(&self) -> bool {
        !self.archived && !self.disabled && self.has_issues != Some(false)
    }
}
