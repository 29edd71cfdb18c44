//! What holds for one repository: `[github]`, and what its `[[repository]]` entry says otherwise.

use super::{Config, GithubConfig, NotAllowed, RepositoryConfig};
use crate::{Priority, RepositoryName, Specialty};

/// What an issue of this repository may start, and who may start it.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'c> {
    github: &'c GithubConfig,
    entry: Option<&'c RepositoryConfig>,
}

impl Config {
    /// The rules for `repository`, or that no entry allows it.
    pub fn rules(&self, repository: &RepositoryName) -> Result<Rules<'_>, NotAllowed> {
        Ok(Rules { github: &self.github, entry: self.repository_entry(repository)? })
    }
}

impl<'c> Rules<'c> {
    pub fn trigger_label(&self) -> &'c str {
        self.own(|entry| entry.trigger_label.as_deref()).unwrap_or(&self.github.trigger_label)
    }

    pub fn trigger_on_open(&self) -> bool {
        self.own(|entry| entry.trigger_on_open).unwrap_or(self.github.trigger_on_open)
    }

    pub fn trusted_associations(&self) -> &'c [String] {
        self.own(|entry| entry.trusted_associations.as_deref()).unwrap_or(&self.github.trusted_associations)
    }

    pub fn trusted_permissions(&self) -> &'c [String] {
        self.own(|entry| entry.trusted_permissions.as_deref()).unwrap_or(&self.github.trusted_permissions)
    }

    /// Tasks that one issue may start in 24 hours.
    pub fn runs_per_issue_per_day(&self) -> u32 {
        self.own(|entry| entry.runs_per_issue_per_day).unwrap_or(self.github.runs_per_issue_per_day)
    }

    pub fn draft_on_red(&self) -> bool {
        self.own(|entry| entry.draft_on_red).unwrap_or(self.github.draft_on_red)
    }

    pub fn comment_when_queued(&self) -> bool {
        self.own(|entry| entry.comment_when_queued).unwrap_or(self.github.comment_when_queued)
    }

    /// The specialty of tasks that nothing else gives one.
    pub fn specialty(&self) -> Option<&'c Specialty> {
        self.own(|entry| entry.specialty.as_ref())
    }

    /// The priority of tasks that nothing else gives one.
    pub fn priority(&self) -> Option<Priority> {
        self.own(|entry| entry.priority)
    }

    pub fn trusts_association(&self, association: &str) -> bool {
        holds(self.trusted_associations(), association)
    }

    pub fn trusts_permission(&self, permission: &str) -> bool {
        holds(self.trusted_permissions(), permission)
    }

    pub fn trusts_login(&self, login: &str) -> bool {
        holds(self.own(|entry| entry.trusted_logins.as_deref()).unwrap_or(&self.github.trusted_logins), login)
    }

    /// Whoever `[github]` denies is denied everywhere.
    pub fn denies_login(&self, login: &str) -> bool {
        holds(&self.github.denied_logins, login)
            || self.entry.is_some_and(|entry| holds(&entry.denied_logins, login))
    }

    /// Whether `login` is the account that we act as ourselves.
    pub fn is_own_login(&self, login: &str) -> bool {
        let own = &self.github.own_login;
        !own.is_empty() && own.eq_ignore_ascii_case(login)
    }

    fn own<T>(&self, read: impl FnOnce(&'c RepositoryConfig) -> Option<T>) -> Option<T> {
        self.entry.and_then(read)
    }
}

/// GitHub's words and logins do not differ by case.
fn holds(words: &[String], wanted: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Config {
        let mut config = Config::defaults().unwrap();
        config.github.denied_logins = vec!["mallory".to_owned()];
        config.repository.push(toml::from_str(toml).unwrap());
        config
    }

    #[test]
    fn an_entry_replaces_what_it_names_and_nothing_else() {
        let config = config(
            "match = 'acme/*'\ntrigger_label = 'go'\ntrusted_associations = ['OWNER']\npriority = 'low'",
        );
        let rules = config.rules(&"Acme/shop".parse().unwrap()).unwrap();
        assert_eq!((rules.trigger_label(), rules.trigger_on_open()), ("go", true));
        assert!(rules.trusts_association("owner") && !rules.trusts_association("MEMBER"));
        assert!(rules.trusts_permission("write") && !rules.trusts_permission("triage"));
        assert_eq!((rules.priority(), rules.specialty()), (Some(Priority::Low), None));
    }

    #[test]
    fn who_is_denied_everywhere_is_denied_whatever_an_entry_says() {
        let config = config("match = '*'\ntrusted_logins = ['mallory', 'ann']\ndenied_logins = ['eve']");
        let rules = config.rules(&"a/b".parse().unwrap()).unwrap();
        assert!(rules.denies_login("Mallory") && rules.denies_login("EVE") && !rules.denies_login("ann"));
        assert!(rules.trusts_login("Ann"));
    }

    #[test]
    fn a_repository_that_no_entry_matches_has_no_rules() {
        assert!(config("match = 'acme/*'").rules(&"other/x".parse().unwrap()).is_err());
    }
}
