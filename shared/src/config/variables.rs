//! The environment variables that set something: the customary names, and one for each key.

/// Prefix of the variable that sets a key: `CLAUDE_CLUSTER__WORKER__MAX_TASKS` sets `worker.max_tasks`.
pub(super) const PREFIX: &str = "CLAUDE_CLUSTER__";

/// A name that other programs know too.
pub(super) struct Customary {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    /// Whether a `.env` in the working directory may set it. Such a file often belongs to another program, so it
    /// must neither redirect the queue nor send an agent's credentials to another server.
    pub(super) in_dotenv: bool,
}

const fn everywhere(name: &'static str, key: &'static str) -> Customary {
    Customary { name, key, in_dotenv: true }
}

const fn environment_only(name: &'static str, key: &'static str) -> Customary {
    Customary { name, key, in_dotenv: false }
}

pub(super) const CUSTOMARY: [Customary; 19] = [
    everywhere("GITHUB_TOKEN", "github.token"),
    everywhere("GITHUB_WEBHOOK_SECRET", "github.webhook_secret"),
    everywhere("ANTHROPIC_API_KEY", "agent.anthropic_api_key"),
    everywhere("CLAUDE_CODE_OAUTH_TOKEN", "agent.claude_code_oauth_token"),
    everywhere("OPENAI_API_KEY", "agent.openai_api_key"),
    everywhere("GEMINI_API_KEY", "agent.gemini_api_key"),
    everywhere("GIT_USER_NAME", "git.user_name"),
    everywhere("GIT_USER_EMAIL", "git.user_email"),
    everywhere("LOG_LEVEL", "log.level"),
    environment_only("ANTHROPIC_BASE_URL", "agent.anthropic_base_url"),
    environment_only("OPENAI_BASE_URL", "agent.openai_base_url"),
    environment_only("GOOGLE_GEMINI_BASE_URL", "agent.gemini_base_url"),
    environment_only("REDIS_URL", "redis.url"),
    environment_only("REDIS_PASSWORD", "redis.password"),
    environment_only("CLAUDE_CLUSTER_API_TOKEN", "api.token"),
    // As others do it: of both spellings the one in small letters wins.
    environment_only("HTTPS_PROXY", "github.proxy"),
    environment_only("https_proxy", "github.proxy"),
    environment_only("NO_PROXY", "github.no_proxy"),
    environment_only("no_proxy", "github.no_proxy"),
];

/// The key that `variable` stands for, `None` where it is not one of ours.
pub(super) fn key_of(variable: &str) -> Option<String> {
    variable.strip_prefix(PREFIX).map(|rest| rest.to_ascii_lowercase().replace("__", "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_env_example_names_exactly_what_a_dotenv_may_set() {
        let shipped: Vec<&str> = include_str!("../../../.env.example")
            .lines()
            .filter_map(|line| line.trim_start_matches('#').trim_start().split_once('='))
            .map(|(name, _)| name)
            .filter(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
            .collect();
        let allowed: Vec<&str> = CUSTOMARY.iter().filter(|c| c.in_dotenv).map(|c| c.name).collect();
        assert_eq!(shipped, allowed);
    }
}
