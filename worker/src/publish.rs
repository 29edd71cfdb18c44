//! Where a result goes.

mod git;
mod inspection;
mod words;

use std::sync::Arc;

use shared::{
    Failure, RepositoryName,
    config::Config,
    github::{GitHub, Repository},
};

pub(crate) use self::{
    git::{Changes, Publication, Pushed, publish},
    inspection::Rules,
    words::{Facts, Moment, Work, pull_request, status},
};
use crate::git::Access;

/// A repository as this worker reaches it.
pub(crate) struct Remote {
    /// What is cloned from and pushed to: a path or a git URL.
    pub url: String,
    /// Where work starts; `None`: the remote's default branch.
    pub base_branch: Option<String>,
    pub forge: Forge,
}

/// What makes more of a pushed branch.
pub(crate) enum Forge {
    /// Nothing: the branch is the result.
    PlainGit,
    GitHub(Repository),
}

/// Where a repository is, by this worker's configuration alone; what a webhook said is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place<'r> {
    Git(String),
    GitHub { owner: &'r str, name: &'r str },
}

impl Remote {
    /// Finds out how to reach `repository`. One on GitHub is looked up there; `github` is `None` without a token.
    pub(crate) async fn find(
        repository: &RepositoryName,
        config: &Config,
        github: Option<&Arc<GitHub>>,
    ) -> Result<Self, Failure> {
        let place = place(repository, config)?;
        let (url, forge) = match place {
            Place::Git(url) => (url, Forge::PlainGit),
            Place::GitHub { owner, name } => {
                let github = github.ok_or_else(|| GitHub::missing(repository))?;
                let found = github.find_repository(owner, name, config).await?;
                (found.clone_url(), Forge::GitHub(found))
            }
        };
        let entry =
            config.repository_entry(repository).map_err(|error| Failure::configuration(error.to_string()))?;
        let base_branch = entry.map(|entry| entry.base_branch.clone()).filter(|name| !name.is_empty());
        Ok(Self { url, base_branch, forge })
    }

    /// What git needs to be let in now.
    pub(crate) async fn access(&self) -> Result<Option<Access>, Failure> {
        let Forge::GitHub(repository) = &self.forge else { return Ok(None) };
        let token = repository.git_token().await;
        let token =
            token.map_err(|error| error.into_failure(&format!("no token for {}", repository.name())))?;
        Ok(Some(Access { base_url: repository.github().git_base_url().to_owned(), token }))
    }
}

fn place<'r>(repository: &'r RepositoryName, config: &Config) -> Result<Place<'r>, Failure> {
    let entry =
        config.repository_entry(repository).map_err(|error| Failure::configuration(error.to_string()))?;
    let mapped = entry.map(|entry| entry.url.as_str()).filter(|url| !url.is_empty());
    if let Some(url) = mapped {
        let refuse = |problem: String| {
            Failure::configuration(format!("the [[repository]] entry for {repository}: url: {problem}"))
        };
        return match url.parse() {
            Ok(RepositoryName::Path(url) | RepositoryName::Url(url)) => Ok(Place::Git(url)),
            Ok(RepositoryName::Forge { .. }) => {
                Err(refuse("must be an absolute path or a git URL".to_owned()))
            }
            Err(error) => Err(refuse(error.to_string())),
        };
    }
    Ok(match repository {
        RepositoryName::Path(url) | RepositoryName::Url(url) => Place::Git(url.clone()),
        RepositoryName::Forge { owner, name } => Place::GitHub { owner, name },
    })
}

#[cfg(test)]
mod tests {
    use shared::{FailureClass, config::RepositoryConfig};

    use super::*;

    fn config(entries: &[(&str, &str)]) -> Config {
        let mut config = Config::defaults().unwrap();
        for (pattern, url) in entries {
            config.repository.push(RepositoryConfig {
                pattern: (*pattern).to_owned(),
                url: (*url).to_owned(),
                ..RepositoryConfig::default()
            });
        }
        config
    }

    #[test]
    fn a_mapping_gives_a_name_its_url_and_without_one_it_is_on_github() {
        let name = "octo/cat".parse().unwrap();
        let mapped = place(&name, &config(&[("octo/*", "/srv/git/cat.git")])).unwrap();
        assert_eq!(mapped, Place::Git("/srv/git/cat.git".to_owned()));
        for entries in [&[][..], &[("octo/*", "")]] {
            let place = place(&name, &config(entries)).unwrap();
            assert_eq!(place, Place::GitHub { owner: "octo", name: "cat" });
        }
    }

    #[test]
    fn what_is_not_allowed_or_mapped_to_something_dangerous_is_a_matter_of_configuration() {
        for entries in [
            &[("other/*", "/x")],
            &[("octo/cat", "ext::sh -c id")],
            &[("octo/cat", "--upload-pack=x")],
            &[("*", "a/b")],
        ] {
            let failure = place(&"octo/cat".parse().unwrap(), &config(entries)).unwrap_err();
            assert_eq!(failure.class, FailureClass::Configuration, "{entries:?}");
        }
    }

    #[tokio::test]
    async fn without_a_token_a_repository_on_github_says_what_to_set() {
        let found = Remote::find(&"octo/cat".parse().unwrap(), &config(&[]), None).await;
        let failure = found.err().unwrap();
        assert!(failure.message.contains("GITHUB_TOKEN") && failure.class == FailureClass::Configuration);
    }
}
