//! Which agent works, for people without any configuration.

use clap::Args;
use shared::config::Override;

use crate::error::CommandError;

/// Options of every command that runs agents.
#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    /// claude (Claude Code), codex, gemini or command.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// A program to run as the agent, with its arguments as a shell would split them: it reads the prompt on standard
    /// input and works in the directory that it is started in. Implies --agent command.
    #[arg(long, value_name = "COMMAND")]
    agent_command: Option<String>,
}

impl AgentArgs {
    /// As settings.
    pub fn overrides(&self) -> Result<Vec<Override>, CommandError> {
        let mut flags = Vec::new();
        if let Some(command) = &self.agent_command {
            let words = split_words(command).filter(|words| !words.is_empty()).ok_or_else(|| {
                CommandError::Usage("--agent-command: a quote is not closed, or it is empty".to_owned())
            })?;
            flags.push(Override::list("--agent-command", "agent.command", words));
            flags.push(Override::text("--agent-command", "agent.driver", "command"));
        }
        flags.extend(self.agent.iter().map(|agent| Override::text("--agent", "agent.driver", agent)));
        Ok(flags)
    }

    /// As arguments of another process of this program.
    pub fn arguments(&self) -> Vec<String> {
        let agent = self.agent.iter().map(|agent| format!("--agent={agent}"));
        agent.chain(self.agent_command.iter().map(|command| format!("--agent-command={command}"))).collect()
    }
}

/// The words of `text` by a shell's rules for quotes and backslashes; `None` where a quote is never closed. Nothing is
/// expanded.
fn split_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => loop {
                let word = word.get_or_insert_default();
                match chars.next()? {
                    '\'' => break,
                    literal => word.push(literal),
                }
            },
            '"' => loop {
                let word = word.get_or_insert_default();
                match chars.next()? {
                    '"' => break,
                    '\\' => match chars.next()? {
                        escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                        other => word.extend(['\\', other]),
                    },
                    literal => word.push(literal),
                }
            },
            '\\' => word.get_or_insert_default().push(chars.next()?),
            space if space.is_whitespace() => words.extend(word.take()),
            literal => word.get_or_insert_default().push(literal),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_splits_it() {
        let words = |text| split_words(text).unwrap();
        assert_eq!(
            words("prog  a 'b c' \"d \\\"e\\\" $f\" g\\ h '' i'j'k"),
            ["prog", "a", "b c", "d \"e\" $f", "g h", "", "ijk"]
        );
        assert!(words("  ").is_empty());
        assert_eq!(split_words("prog 'open"), None);
        assert_eq!(split_words("prog \"open"), None);
        assert_eq!(split_words("prog \\"), None);
    }
}
