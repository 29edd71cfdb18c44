//! `/claude ...`: what the first line of a comment asks for.

use shared::{Priority, Specialty};

use crate::{classify::Classifier, trigger::short};

/// What a command begins with.
const WORD: &str = "/claude";

/// Words of a command, the first one included.
const WORDS_MAX: usize = 8;

/// Longest line that is taken for one, in bytes.
const LINE_BYTES_MAX: usize = 200;

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A task, with what shall hold for it.
    Run(Wishes),
    /// A task again.
    Retry,
    Cancel,
}

/// What a command wants otherwise than it would be decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub specialty: Option<Specialty>,
    pub priority: Option<Priority>,
}

/// A comment that is a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'c> {
    pub command: Command,
    /// What stands below the command's line.
    pub text: &'c str,
}

/// Why a command cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    #[error(
        "'/claude {0}' is not understood; after /claude comes nothing, retry, cancel, a specialty, or priority high, \
         medium or low"
    )]
    Unknown(String),
    #[error("'/claude' was given {0} twice")]
    Twice(&'static str),
    #[error("'/claude {0}' stands alone")]
    NotAlone(&'static str),
    #[error("'/claude' was given too many words")]
    TooLong,
}

/// The command that `comment` begins with; `None`: it is none, but people talking.
pub fn read<'c>(comment: &'c str, classifier: &Classifier) -> Option<Result<Asked<'c>, Unclear>> {
    let (line, text) = comment.split_once('\n').unwrap_or((comment, ""));
    let (first, rest) = line.split_at_checked(WORD.len())?;
    if !first.eq_ignore_ascii_case(WORD) || rest.starts_with(|c: char| !c.is_whitespace()) {
        return None;
    }
    if line.len() > LINE_BYTES_MAX || line.split_whitespace().count() > WORDS_MAX {
        return Some(Err(Unclear::TooLong));
    }
    let words: Vec<String> = rest.split_whitespace().map(str::to_lowercase).collect();
    Some(command(&words, classifier).map(|command| Asked { command, text: text.trim() }))
}

fn command(words: &[String], classifier: &Classifier) -> Result<Command, Unclear> {
    for (word, command) in [("retry", Command::Retry), ("cancel", Command::Cancel)] {
        if words.iter().any(|given| given == word) {
            return if words.len() == 1 { Ok(command) } else { Err(Unclear::NotAlone(word)) };
        }
    }
    let mut wishes = Wishes::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "priority" {
            let given = words.next().map_or("", String::as_str);
            let priority =
                given.parse().map_err(|_| Unclear::Unknown(short(&format!("priority {given}"))))?;
            if wishes.priority.replace(priority).is_some() {
                return Err(Unclear::Twice("a priority"));
            }
        } else {
            let specialty = classifier.resolve_alias(word).ok_or_else(|| Unclear::Unknown(short(word)))?;
            if wishes.specialty.replace(specialty).is_some() {
                return Err(Unclear::Twice("a specialty"));
            }
        }
    }
    Ok(Command::Run(wishes))
}

#[cfg(test)]
mod tests {
    use shared::config::Config;

    use super::*;

    fn asked(comment: &str) -> Option<Result<(Command, String), Unclear>> {
        let classifier = Classifier::load(&Config::defaults().unwrap().classify).unwrap();
        read(comment, &classifier).map(|read| read.map(|asked| (asked.command, asked.text.to_owned())))
    }

    fn run(specialty: &str, priority: Option<Priority>) -> Command {
        Command::Run(Wishes { specialty: specialty.parse().ok(), priority })
    }

    #[test]
    fn each_form_of_a_command_is_read() {
        for (comment, command, text) in [
            ("/claude", run("", None), ""),
            ("/claude\nUse the new API.\n\nThanks", run("", None), "Use the new API.\n\nThanks"),
            ("/Claude  Backend \r\nx", run("backend", None), "x"),
            ("/claude docker", run("devops", None), ""),
            ("/claude priority high", run("", Some(Priority::High)), ""),
            ("/claude priority low frontend", run("frontend", Some(Priority::Low)), ""),
            ("/claude frontend priority medium", run("frontend", Some(Priority::Medium)), ""),
            ("/claude retry", Command::Retry, ""),
            ("/claude cancel\nwrong issue", Command::Cancel, "wrong issue"),
        ] {
            assert_eq!(asked(comment), Some(Ok((command, text.to_owned()))), "{comment}");
        }
    }

    #[test]
    fn people_who_talk_are_left_alone() {
        for comment in [
            "",
            "claude",
            "/claudette",
            "please /claude",
            " /claude",
            "> /claude",
            "hi\n/claude",
            "`/claude`",
            "/cl",
            "/claud\u{e9}",
        ] {
            assert_eq!(asked(comment), None, "{comment}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (comment, told) in [
            ("/claude please fix this", "'/claude please'"),
            ("/claude priority", "'/claude priority '"),
            ("/claude priority urgent", "'/claude priority urgent'"),
            ("/claude backend frontend", "a specialty twice"),
            ("/claude priority high priority low", "a priority twice"),
            ("/claude retry backend", "'/claude retry' stands alone"),
            ("/claude backend cancel", "'/claude cancel' stands alone"),
            ("/claude a b c d e f g h", "too many words"),
        ] {
            let unclear = asked(comment).unwrap().unwrap_err();
            assert!(unclear.to_string().contains(told), "{comment}: {unclear}");
        }
        assert_eq!(asked(&format!("/claude {}", "x".repeat(300))), Some(Err(Unclear::TooLong)));
    }
}
