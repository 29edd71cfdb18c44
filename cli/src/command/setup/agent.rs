//! The coding agent and what confines it: prepared as a worker prepares them, and asked.

use secrecy::SecretString;
use shared::config::{AgentConfig, Config, Driver, SandboxConfig, SandboxMode, given};
use worker::Executor;

use super::Check;
use crate::{environment::Environment, error::CommandError, session::Session};

const AGENT: &str = "agent";
const SANDBOX: &str = "sandbox";
const CREDENTIALS: &str = "credentials";

/// A program that every machine has: the question is then about the sandbox alone.
const ANY_PROGRAM: &str = "sh";

pub(super) async fn check(session: &Session) -> Result<Vec<Check>, CommandError> {
    let config = session.config();
    let prepare = async |config: &Config| {
        Ok::<_, CommandError>(Executor::prepare(config, &session.state_dir, session.host()?).await)
    };
    let mut checks = match prepare(config).await? {
        Ok(executor) => {
            let mut checks: Vec<Check> = executor.agents().into_iter().map(agent).collect();
            checks.push(sandbox(&config.sandbox, &executor));
            checks
        }
        Err(failure) => {
            let mut without_agent = config.clone();
            without_agent.agent.driver = Driver::Command;
            without_agent.agent.command = vec![ANY_PROGRAM.to_owned()];
            without_agent.agent.specialty.clear();
            match prepare(&without_agent).await? {
                Ok(executor) => vec![missing(AGENT, &failure.message), sandbox(&config.sandbox, &executor)],
                Err(failure) => vec![missing(SANDBOX, &failure.message)],
            }
        }
    };
    let agents = std::iter::once(config.agent.clone());
    let names = config.agent.specialty.keys().filter_map(|name| name.parse().ok());
    let mut drivers = Vec::new();
    for agent in agents.chain(names.map(|name| config.agent.for_specialty(&name))) {
        if !drivers.contains(&agent.driver) {
            drivers.push(agent.driver);
            checks.extend(credentials(&agent, &session.environment));
        }
    }
    Ok(checks)
}

fn agent((specialty, found): (Option<&str>, String)) -> Check {
    let found = specialty.map_or(found.clone(), |specialty| format!("{found} for {specialty}"));
    Check::ok(AGENT, found)
}

fn sandbox(config: &SandboxConfig, executor: &Executor) -> Check {
    let reason = executor.sandbox_reason();
    if executor.sandbox() == "bubblewrap" || config.mode == SandboxMode::Process {
        return Check::ok(SANDBOX, reason);
    }
    // Why not bubblewrap and how to get it, and behind that what there is instead.
    let (mend, instead) = reason.rsplit_once("; ").unwrap_or((reason, "process groups"));
    Check::warn(SANDBOX, format!("process groups only; {instead}"), mend)
}

fn missing(name: &'static str, message: &str) -> Check {
    let (found, mend) = split_advice(message);
    Check::missing(name, found, mend)
}

/// Messages for people have their advice behind the first semicolon.
fn split_advice(message: &str) -> (&str, &str) {
    message.split_once("; ").unwrap_or((message, "see docs/troubleshooting.md"))
}

/// Whether the agent's driver can sign in; `None` for a program of the user's own.
fn credentials(agent: &AgentConfig, environment: &Environment) -> Option<Check> {
    let keyed = |name: &str, key: &SecretString| match given(key) {
        Some(_) => Check::ok(CREDENTIALS, name),
        None => Check::missing(CREDENTIALS, format!("no {name}"), format!("set {name}")),
    };
    match agent.driver {
        Driver::Claude => Some(claude_credentials(agent, environment)),
        Driver::Codex => Some(keyed("OPENAI_API_KEY", &agent.openai_api_key)),
        Driver::Gemini => Some(keyed("GEMINI_API_KEY", &agent.gemini_api_key)),
        Driver::Command => None,
    }
}

fn claude_credentials(agent: &AgentConfig, environment: &Environment) -> Check {
    if given(&agent.anthropic_api_key).is_some() {
        return Check::ok(CREDENTIALS, "ANTHROPIC_API_KEY");
    }
    if given(&agent.claude_code_oauth_token).is_some() {
        return Check::ok(CREDENTIALS, "CLAUDE_CODE_OAUTH_TOKEN");
    }
    let login = environment.home().map(|home| home.join(".claude/.credentials.json"));
    let mend = "set ANTHROPIC_API_KEY, or CLAUDE_CODE_OAUTH_TOKEN (make one: claude setup-token)";
    match login.filter(|file| file.is_file()) {
        // The agent has a home of its own, so that nothing of the user's is within its reach.
        Some(_) => {
            let found = "only the login of your own Claude Code, which agents cannot reach";
            Check::missing(CREDENTIALS, found, mend)
        }
        None => Check::missing(CREDENTIALS, "none for Claude Code", mend),
    }
}
