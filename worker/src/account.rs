//! Which agent account a worker spends from. Workers with the same one share its limits.

use sha2::{Digest, Sha256};
use shared::config::{AgentConfig, Driver, given};

/// The account's name in Redis: as configured, else a digest of the credential; `None` where no limits are
/// known of (another program than a metered CLI, or a login of the machine's own user).
pub fn account(agent: &AgentConfig) -> Option<String> {
    if !agent.account.is_empty() {
        return Some(agent.account.clone());
    }
    if agent.driver == Driver::Command {
        return None;
    }
    let credential = given(&agent.claude_code_oauth_token).or_else(|| given(&agent.anthropic_api_key))?;
    let digest = Sha256::digest(format!("claude-cluster account {credential}"));
    Some(hex::encode(&digest[..8]))
}

#[cfg(test)]
mod tests {
    use shared::config::Config;

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
}
