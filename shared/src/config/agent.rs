//! `[agent]` and `[agent.specialty.<name>]`: which coding agent works, with what, and within which limits.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::Deserialize;

use crate::Specialty;

/// Which coding agent works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    Claude,
    Codex,
    Gemini,
    Command,
}

/// `[agent]`: the coding agent, its credentials and its budgets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    pub driver: Driver,
    pub command: Vec<String>,
    pub model: String,
    pub extra_args: Vec<String>,
    /// Empty: the driver's own choice.
    pub allowed_tools: Vec<String>,
    pub disallowed_tools: Vec<String>,
    /// Added to the agent's own instructions.
    pub system_prompt: String,
    /// Limit of all agent processes of one run together.
    pub wall_clock_ms: u64,
    /// Limit of its silence.
    pub inactivity_ms: u64,
    pub max_turns: u32,
    /// Money for one task, over all its rounds and runs; 0: no limit.
    pub max_budget_usd: f64,
    /// Money that the account may spend in a day of UTC; 0: no limit.
    pub budget_usd_per_day: f64,
    /// How often the CLI itself asks its API again before it gives up.
    pub retries_max: u32,
    /// Works with versions that are known to misbehave.
    pub allow_unsafe_version: bool,
    pub account: String,
    /// Directories that its agents and tests may read besides `sandbox.tool_paths`.
    pub tool_paths: Vec<String>,
    /// Variables that they get besides `sandbox.env_pass`.
    pub env_pass: Vec<String>,
    /// A socket of Docker that they reach, of one specialty alone; empty: none. Whoever reaches it has the machine.
    pub docker_socket: String,
    /// `ANTHROPIC_API_KEY`.
    pub anthropic_api_key: SecretString,
    /// `CLAUDE_CODE_OAUTH_TOKEN`.
    pub claude_code_oauth_token: SecretString,
    /// `ANTHROPIC_BASE_URL`.
    pub anthropic_base_url: String,
    /// `OPENAI_API_KEY`.
    pub openai_api_key: SecretString,
    /// `OPENAI_BASE_URL`.
    pub openai_base_url: String,
    /// `GEMINI_API_KEY`.
    pub gemini_api_key: SecretString,
    /// `GOOGLE_GEMINI_BASE_URL`.
    pub gemini_base_url: String,
    /// What differs for tasks of one specialty, by its name.
    #[serde(default)]
    pub specialty: BTreeMap<String, SpecialtyAgent>,
}

/// `[agent.specialty.<name>]`: what replaces the value of `[agent]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpecialtyAgent {
    pub driver: Option<Driver>,
    pub command: Option<Vec<String>>,
    pub model: Option<String>,
    pub extra_args: Option<Vec<String>>,
    pub allowed_tools: Option<Vec<String>>,
    pub disallowed_tools: Option<Vec<String>>,
    pub system_prompt: Option<String>,
    pub wall_clock_ms: Option<u64>,
    pub inactivity_ms: Option<u64>,
    pub max_turns: Option<u32>,
    pub max_budget_usd: Option<f64>,
    pub budget_usd_per_day: Option<f64>,
    pub retries_max: Option<u32>,
    pub account: Option<String>,
    pub tool_paths: Option<Vec<String>>,
    pub env_pass: Option<Vec<String>>,
    pub docker_socket: Option<String>,
}

/// Keys of [`SpecialtyAgent`].
pub(super) const SPECIALTY_KEYS: [&str; 17] = [
    "driver",
    "command",
    "model",
    "extra_args",
    "allowed_tools",
    "disallowed_tools",
    "system_prompt",
    "wall_clock_ms",
    "inactivity_ms",
    "max_turns",
    "max_budget_usd",
    "budget_usd_per_day",
    "retries_max",
    "account",
    "tool_paths",
    "env_pass",
    "docker_socket",
];

impl AgentConfig {
    /// The agent for tasks of `specialty`: `[agent]` with what its section replaces.
    #[must_use]
    pub fn for_specialty(&self, specialty: &Specialty) -> Self {
        let base = Self { specialty: BTreeMap::new(), ..self.clone() };
        match self.specialty.get(specialty.as_str()) {
            Some(section) => section.over(base),
            None => base,
        }
    }
}

impl SpecialtyAgent {
    /// Another driver starts from its own defaults: a program, a model or a tool's name means nothing to it.
    fn over(&self, mut base: AgentConfig) -> AgentConfig {
        if let Some(driver) = self.driver.filter(|driver| *driver != base.driver) {
            base.driver = driver;
            base.command.clear();
            base.model.clear();
            base.extra_args.clear();
            base.allowed_tools.clear();
            base.disallowed_tools.clear();
            base.account.clear();
        }
        replace(&mut base.command, self.command.as_ref());
        replace(&mut base.model, self.model.as_ref());
        replace(&mut base.extra_args, self.extra_args.as_ref());
        replace(&mut base.allowed_tools, self.allowed_tools.as_ref());
        replace(&mut base.disallowed_tools, self.disallowed_tools.as_ref());
        replace(&mut base.system_prompt, self.system_prompt.as_ref());
        replace(&mut base.wall_clock_ms, self.wall_clock_ms.as_ref());
        replace(&mut base.inactivity_ms, self.inactivity_ms.as_ref());
        replace(&mut base.max_turns, self.max_turns.as_ref());
        replace(&mut base.max_budget_usd, self.max_budget_usd.as_ref());
        replace(&mut base.budget_usd_per_day, self.budget_usd_per_day.as_ref());
        replace(&mut base.retries_max, self.retries_max.as_ref());
        replace(&mut base.account, self.account.as_ref());
        replace(&mut base.tool_paths, self.tool_paths.as_ref());
        replace(&mut base.env_pass, self.env_pass.as_ref());
        replace(&mut base.docker_socket, self.docker_socket.as_ref());
        base
    }
}

fn replace<T: Clone>(value: &mut T, with: Option<&T>) {
    if let Some(with) = with {
        value.clone_from(with);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_section_replaces_what_it_names_and_keeps_the_rest() {
        let mut agent = Config::defaults().unwrap().agent;
        agent.model = "opus".to_owned();
        let section = SpecialtyAgent { max_turns: Some(7), ..SpecialtyAgent::default() };
        agent.specialty.insert("backend".to_owned(), section);
        let backend = agent.for_specialty(&"backend".parse().unwrap());
        assert_eq!((backend.max_turns, backend.model.as_str()), (7, "opus"));
        assert_eq!(agent.for_specialty(&Specialty::general()).max_turns, agent.max_turns);
    }

    #[test]
    fn another_driver_does_not_inherit_what_only_the_first_understands() {
        let mut agent = Config::defaults().unwrap().agent;
        agent.model = "opus".to_owned();
        agent.command = vec!["/opt/claude".to_owned()];
        agent.account = "team".to_owned();
        agent.wall_clock_ms = 5;
        let section = SpecialtyAgent { driver: Some(Driver::Codex), ..SpecialtyAgent::default() };
        agent.specialty.insert("backend".to_owned(), section);
        let backend = agent.for_specialty(&"backend".parse().unwrap());
        assert!(backend.command.is_empty() && backend.model.is_empty() && backend.account.is_empty());
        assert_eq!(backend.wall_clock_ms, 5);
    }

    #[test]
    fn the_keys_of_a_section_are_keys_of_the_agent() {
        for key in SPECIALTY_KEYS {
            assert!(toml_keys().contains(&key.to_owned()), "{key}");
        }
    }

    fn toml_keys() -> Vec<String> {
        let tables: toml::Table = toml::from_str(crate::config::DEFAULT_TOML).unwrap();
        tables["agent"].as_table().unwrap().keys().cloned().collect()
    }
}
