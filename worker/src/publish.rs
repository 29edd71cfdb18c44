//! Where a result goes.

mod git;

use shared::{Failure, RepositoryName, config::Config};

pub(crate) use self::git::{Publication, publish};

/// A repository as this worker reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// What is cloned from and pushed to: a path or a git URL.
    pub url: String,
    /// Where work starts; `None`: the remote's default branch.
    pub base_branch: Option<String>,
    pub forge: Forge,
}

/// What makes more of a pushed branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forge {
    /// Nothing: the branch is the result.
    PlainGit,
}

impl Remote {
    /// Decides by this worker's configuration alone; what a webhook said is not asked.
    pub(crate) fn of(repository: &RepositoryName, config: &Config) -> Result<Self, Failure> {
        let entry =
            config.repository_entry(repository).map_err(|error| Failure::configuration(error.to_string()))?;
        let base_branch = entry.map(|entry| entry.base_branch.clone()).filter(|name| !name.is_empty());
        let mapped = entry.map(|entry| entry.url.as_str()).filter(|url| !url.is_empty());
        let located = match mapped {
            Some(url) => url.parse().map_err(|error| {
                Failure::configuration(format!("the [[repository]] entry for {repository}: url: {error}"))
            })?,
            None => repository.clone(),
        };
        match located {
            RepositoryName::Path(url) | RepositoryName::Url(url) => {
                Ok(Self { url, base_branch, forge: Forge::PlainGit })
            }
            RepositoryName::Forge { .. } => Err(Failure::configuration(format!(
                "{repository} has no url here: publishing to GitHub is not part of this version; give it a \
                 [[repository]] entry with match = \"{repository}\" and url = a git URL or a path"
            ))),
        }
    }
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
                base_branch: String::new(),
            });
        }
        config
    }

    #[test]
    fn a_mapping_gives_a_name_its_url() {
        let remote =
            Remote::of(&"octo/cat".parse().unwrap(), &config(&[("octo/*", "/srv/git/cat.git")])).unwrap();
        assert_eq!((remote.url.as_str(), remote.forge), ("/srv/git/cat.git", Forge::PlainGit));
    }

    #[test]
    fn what_has_no_mapping_or_a_dangerous_one_is_a_matter_of_configuration() {
        for entries in [
            &[][..],
            &[("other/*", "/x")],
            &[("octo/cat", "ext::sh -c id")],
            &[("octo/cat", "--upload-pack=x")],
        ] {
            let failure = Remote::of(&"octo/cat".parse().unwrap(), &config(entries)).unwrap_err();
            assert_eq!(failure.class, FailureClass::Configuration, "{entries:?}");
        }
    }
}
