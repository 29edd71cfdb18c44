//! The coding agent: its program, its version, its credentials.

use std::path::Path;

use shared::config::{AgentConfig, Driver, given};

use super::{Check, version_of};
use crate::{environment::Environment, program, session::Session};

const NAME: &str = "agent";

/// Earlier ones leave the processes of their tools behind when they are ended, or cut their last line.
const CLAUDE_VERSION_MIN: [u32; 3] = [2, 1, 212];

const INSTALL_CLAUDE: &str = "install Claude Code (npm install -g @anthropic-ai/claude-code), \
     or use another program: --agent-command, or agent.driver = \"command\"";

pub(super) async fn check(session: &Session) -> Vec<Check> {
    let agent = &session.config().agent;
    match agent.driver {
        Driver::Claude => claude(agent, &session.environment).await,
        Driver::Command => vec![command(agent, &session.environment)],
    }
}

fn command(agent: &AgentConfig, environment: &Environment) -> Check {
    let name = agent.command.first().map_or("", String::as_str);
    match program::find(name, environment.path()) {
        Some(program) => Check::ok(NAME, format!("command {}", program.display())),
        None => Check::missing(NAME, format!("'{name}' is not on PATH"), "correct agent.command"),
    }
}

async fn claude(agent: &AgentConfig, environment: &Environment) -> Vec<Check> {
    let name = agent.command.first().map_or("claude", String::as_str);
    let Some(program) = program::find(name, environment.path()) else {
        return vec![Check::missing(NAME, format!("'{name}' is not on PATH"), INSTALL_CLAUDE)];
    };
    vec![version(&program, environment).await, credentials(agent, environment)]
}

async fn version(program: &Path, environment: &Environment) -> Check {
    // The npm package of some versions is a script for the Node on PATH.
    let path = environment.path().unwrap_or("/usr/bin:/bin");
    let home = environment.home().and_then(Path::to_str).unwrap_or("/");
    let found = match version_of(program, &[("PATH", path), ("HOME", home)]).await {
        Ok(found) => found,
        Err(problem) => {
            return Check::missing(NAME, format!("{}: {problem}", program.display()), INSTALL_CLAUDE);
        }
    };
    let shown = format!("{} at {}", found, program.display());
    match parse_version(&found) {
        Some(version) if version >= CLAUDE_VERSION_MIN => Check::ok(NAME, shown),
        _ => {
            let needed = CLAUDE_VERSION_MIN.map(|part| part.to_string()).join(".");
            Check::missing(NAME, shown, format!("version {needed} or later is needed: claude update"))
        }
    }
}

fn parse_version(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split_whitespace().next()?.split('.').map(str::parse);
    Some([parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?])
}

fn credentials(agent: &AgentConfig, environment: &Environment) -> Check {
    const NAME: &str = "credentials";
    if given(&agent.anthropic_api_key).is_some() {
        return Check::ok(NAME, "ANTHROPIC_API_KEY");
    }
    if given(&agent.claude_code_oauth_token).is_some() {
        return Check::ok(NAME, "CLAUDE_CODE_OAUTH_TOKEN");
    }
    let login = environment.home().map(|home| home.join(".claude/.credentials.json"));
    let mend = "set ANTHROPIC_API_KEY, or CLAUDE_CODE_OAUTH_TOKEN (make one: claude setup-token)";
    match login.filter(|file| file.is_file()) {
        // The agent has a home of its own, so that nothing of the user's is within its reach.
        Some(_) => {
            Check::missing(NAME, "only the login of your own Claude Code, which agents cannot reach", mend)
        }
        None => Check::missing(NAME, "none for Claude Code", mend),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(parse_version("2.1.328 (Claude Code)"), Some([2, 1, 328]));
        assert!(parse_version("2.1.197 (Claude Code)").unwrap() < CLAUDE_VERSION_MIN);
        assert_eq!(parse_version("unknown"), None);
    }
}
