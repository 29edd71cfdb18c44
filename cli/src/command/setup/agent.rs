//! The coding agent and what confines it: prepared as a worker prepares them, and asked.

use shared::config::{AgentConfig, Config, Driver, SandboxConfig, SandboxMode, given};
use worker::Executor;

use super::Check;
use crate::{environment::Environment, error::CommandError, session::Session};

const AGENT: &str = "agent";
const SANDBOX: &str = "sandbox";
const CREDENTIALS: &str = "credentials";

/// Earlier ones leave the processes of their tools behind when they are ended, or cut their last line.
const CLAUDE_VERSION_MIN: [u32; 3] = [2, 1, 212];

/// A program that every machine has: the question is then about the sandbox alone.
const ANY_PROGRAM: &str = "sh";

pub(super) async fn check(session: &Session) -> Result<Vec<Check>, CommandError> {
    let config = session.config();
    let prepare = async |config: &Config| {
        Ok::<_, CommandError>(Executor::prepare(config, &session.state_dir, session.host()?).await)
    };
    let mut checks = match prepare(config).await? {
        Ok(executor) => vec![agent(&config.agent, &executor), sandbox(&config.sandbox, &executor)],
        Err(failure) => {
            let mut without_agent = config.clone();
            without_agent.agent.driver = Driver::Command;
            without_agent.agent.command = vec![ANY_PROGRAM.to_owned()];
            match prepare(&without_agent).await? {
                Ok(executor) => vec![missing(AGENT, &failure.message), sandbox(&config.sandbox, &executor)],
                Err(failure) => vec![missing(SANDBOX, &failure.message)],
            }
        }
    };
    if config.agent.driver == Driver::Claude {
        checks.push(credentials(&config.agent, &session.environment));
    }
    Ok(checks)
}

fn agent(config: &AgentConfig, executor: &Executor) -> Check {
    let found = executor.agent();
    if config.driver == Driver::Command || version_of(&found).is_some_and(|v| v >= CLAUDE_VERSION_MIN) {
        return Check::ok(AGENT, found);
    }
    let needed = CLAUDE_VERSION_MIN.map(|part| part.to_string()).join(".");
    Check::missing(AGENT, found, format!("version {needed} or later is needed: claude update"))
}

/// The version behind the name, as in `claude 2.1.328`.
fn version_of(agent: &str) -> Option<[u32; 3]> {
    let mut parts = agent.split(' ').next_back()?.split('.').map(str::parse);
    Some([parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?])
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

fn credentials(agent: &AgentConfig, environment: &Environment) -> Check {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version_of("claude 2.1.328"), Some([2, 1, 328]));
        assert!(version_of("claude 2.1.197").unwrap() < CLAUDE_VERSION_MIN);
        assert_eq!(version_of("claude"), None);
    }
}
