//! Lines of a task's log: what the engine did, what the agent said, what the tests printed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest line that is kept, in bytes; what is longer is cut and marked.
pub const LINE_BYTES_MAX: usize = 4_096;

/// Who is speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// The worker itself: phases, times, decisions.
    Engine,
    /// Text of the agent.
    Agent,
    /// What the agent's tools do.
    Tool,
    /// Output of the tests.
    Test,
}

impl LogStream {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for LogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LogStream {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Engine, Self::Agent, Self::Tool, Self::Test].into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

/// One line, without its line end and without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub stream: LogStream,
    pub text: String,
}

impl LogLine {
    /// A line fit for a terminal: control characters (escape sequences among them) are dropped, tabs become
    /// spaces, and what exceeds [`LINE_BYTES_MAX`] is cut.
    pub fn new(stream: LogStream, text: &str) -> Self {
        let mut clean: String = text
            .chars()
            .map(|c| if c == '\t' { ' ' } else { c })
            .filter(|c| !c.is_control() && !is_directional(*c))
            .collect();
        if clean.len() > LINE_BYTES_MAX {
            clean.truncate(crate::task::cut(&clean, LINE_BYTES_MAX - 4).len());
            clean.push_str(" ...");
        }
        Self { stream, text: clean }
    }
}

/// Characters that reorder what a terminal shows.
pub fn is_directional(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_cannot_reach_a_terminal() {
        let line = LogLine::new(LogStream::Test, "a\u{1b}[2Jb\tc\r\u{202e}d");
        assert_eq!(line.text, "a[2Jb cd");
    }

    #[test]
    fn long_lines_are_cut_and_marked() {
        let line = LogLine::new(LogStream::Agent, &"é".repeat(5_000));
        assert!(line.text.len() <= LINE_BYTES_MAX);
        assert!(line.text.ends_with(" ..."));
    }
}
