//! What is polled: repositories by name, and patterns, whose repositories GitHub lists.

use super::Config;
use crate::RepositoryName;

impl Config {
    /// The repositories that are polled by their names. What cannot be a name on a forge is left out.
    pub fn polled(&self) -> Vec<RepositoryName> {
        let names = self.to_poll().filter(|name| !is_pattern(name));
        let names = names.filter_map(|name| name.parse::<RepositoryName>().ok());
        names.filter(|name| name.forge().is_some()).collect()
    }

    /// The owners whose repositories are listed, because a pattern such as `acme/*` names them. Patterns of all owners,
    /// such as `*`, name none.
    pub fn polled_owners(&self) -> Vec<String> {
        let mut owners: Vec<String> = self.to_poll().filter_map(listed_owner).collect();
        owners.sort();
        owners.dedup();
        owners
    }

    /// Whether a repository that an owner's list has is polled: a pattern means it, and it is allowed here.
    pub fn polls(&self, listed: &RepositoryName) -> bool {
        let meant = self.to_poll().any(|name| listed_owner(name).is_some() && listed.matches(name));
        meant && self.repository_entry(listed).is_ok()
    }

    fn to_poll(&self) -> impl Iterator<Item = &str> {
        let named = self.poll.repositories.iter();
        let allowed = self.repository.iter().map(|entry| &entry.pattern);
        let allowed = allowed.filter(|_| self.poll.repositories.is_empty());
        named.chain(allowed).map(String::as_str)
    }
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The one owner of a pattern's repositories, in lower case.
pub(super) fn listed_owner(pattern: &str) -> Option<String> {
    let (owner, name) = pattern.split_once('/')?;
    let plain =
        !owner.is_empty() && owner.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    (plain && is_pattern(name) && !name.contains('/')).then(|| owner.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(repositories: &[&str], entries: &[&str]) -> Config {
        let mut config = Config::defaults().unwrap();
        config.poll.repositories = repositories.iter().map(|name| (*name).to_owned()).collect();
        let entry = |pattern: &&str| toml::from_str(&format!("match = '{pattern}'")).unwrap();
        config.repository = entries.iter().map(entry).collect();
        config
    }

    #[test]
    fn names_are_polled_as_they_are_and_patterns_of_one_owner_are_listed() {
        let config =
            config(&[], &["acme/shop", "Acme/web-*", "acme/*", "*", "*/x", "https://h/a/*", "/srv/*"]);
        assert_eq!(config.polled(), ["acme/shop".parse().unwrap()]);
        assert_eq!(config.polled_owners(), ["acme"]);
    }

    #[test]
    fn of_a_list_only_what_a_pattern_means_and_an_entry_allows_is_polled() {
        let config = config(&["acme/web-*", "other/*"], &["acme/*"]);
        let polls = |name: &str| config.polls(&name.parse().unwrap());
        assert!(polls("acme/web-1") && polls("Acme/Web-2"));
        assert!(!polls("acme/shop"), "no pattern of poll.repositories means it");
        assert!(!polls("other/x"), "no [[repository]] entry allows it");
    }
}
