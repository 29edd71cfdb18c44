//! Which agent account a worker spends from. Workers with the same one share its limits.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};
use shared::{
    Specialty,
    config::{AgentConfig, Driver, given},
    lifecycle::UnixMs,
    queue::{Queue, QueueError},
};

/// The accounts of a worker's agents.
pub struct Accounts {
    default: Option<String>,
    by_specialty: BTreeMap<String, Option<String>>,
}

impl Accounts {
    pub fn new(config: &AgentConfig) -> Self {
        let names = config.specialty.keys().filter_map(|name| name.parse::<Specialty>().ok());
        let by_specialty =
            names.map(|name| (name.to_string(), account(&config.for_specialty(&name)))).collect();
        Self { default: account(config), by_specialty }
    }

    /// The account that tasks of `specialty` spend from, where it has limits.
    pub fn of(&self, specialty: &Specialty) -> Option<&str> {
        self.by_specialty.get(specialty.as_str()).unwrap_or(&self.default).as_deref()
    }

    /// Those of `specialties` whose account met a limit, and until when, by Redis' clock.
    pub async fn resting(
        &self,
        queue: &Queue,
        specialties: &[Specialty],
    ) -> Result<BTreeMap<Specialty, UnixMs>, QueueError> {
        let mut asked: HashMap<&str, Option<UnixMs>> = HashMap::new();
        let mut resting = BTreeMap::new();
        for specialty in specialties {
            let Some(account) = self.of(specialty) else { continue };
            let until = match asked.get(account) {
                Some(until) => *until,
                None => queue.account_suspended_until(account).await?,
            };
            asked.insert(account, until);
            resting.extend(until.map(|until| (specialty.clone(), until)));
        }
        Ok(resting)
    }
}

/// The account's name in Redis: as configured, else a digest of the credential; `None` where no limits are
/// known of (another program than a metered CLI, or a login of the machine's own user).
fn account(agent: &AgentConfig) -> Option<String> {
    if !agent.account.is_empty() {
        return Some(agent.account.clone());
    }
    let credential = match agent.driver {
        Driver::Claude => given(&agent.claude_code_oauth_token).or_else(|| given(&agent.anthropic_api_key)),
        Driver::Codex => given(&agent.openai_api_key),
        Driver::Gemini => given(&agent.gemini_api_key),
        Driver::Command => None,
    }?;
    let digest = Sha256::digest(format!("claude-cluster account {credential}"));
    Some(hex::encode(&digest[..8]))
}

#[cfg(test)]
mod tests {
    use shared::config::{Config, SpecialtyAgent};

    use super::*;

    #[test]
    fn the_same_credential_is_the_same_account_and_its_text_is_not_in_the_name() {
        let mut agent = Config::defaults().unwrap().agent;
        assert_eq!(account(&agent), None);
        agent.anthropic_api_key = "sk-dummy".to_owned().into();
        let name = account(&agent).unwrap();
        assert_eq!(account(&agent.clone()).as_deref(), Some(name.as_str()));
        assert!(!name.contains("dummy") && name.len() == 16);
        agent.account = "team".to_owned();
        assert_eq!(account(&agent).as_deref(), Some("team"));
    }

    #[test]
    fn specialties_with_another_agent_have_another_account() {
        let mut agent = Config::defaults().unwrap().agent;
        agent.account = "team".to_owned();
        agent.openai_api_key = "sk-dummy".to_owned().into();
        let codex = SpecialtyAgent { driver: Some(Driver::Codex), ..SpecialtyAgent::default() };
        let model = SpecialtyAgent { model: Some("haiku".to_owned()), ..SpecialtyAgent::default() };
        agent.specialty.insert("frontend".to_owned(), codex);
        agent.specialty.insert("testing".to_owned(), model);
        let accounts = Accounts::new(&agent);
        let of = |name: &str| accounts.of(&name.parse().unwrap());
        assert_eq!((of("backend"), of("testing")), (Some("team"), Some("team")));
        assert_eq!(of("frontend").unwrap().len(), 16);
    }
}
