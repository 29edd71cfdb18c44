//! Any program as an agent: the prompt on its standard input, its exit code as the verdict.

use shared::Failure;

use super::{Answer, Event, Verdict};
use crate::output::{Line, Tail};

/// End of its output that is kept as its answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// The shell's codes for a program that cannot be run, and for one that does not exist.
const CANNOT_RUN: [i32; 2] = [126, 127];

/// Keeps the end of what the program prints.
pub(crate) struct Reading {
    tail: Tail,
}

impl Reading {
    pub(super) fn new() -> Self {
        Self { tail: Tail::new(ANSWER_BYTES_MAX) }
    }

    pub(super) fn line(&mut self, line: &Line) -> Vec<Event> {
        self.tail.push(&line.text);
        vec![Event::Text(line.text.clone())]
    }

    pub(super) fn verdict(self, code: i32) -> Verdict {
        let last = self.tail.last().unwrap_or("it printed nothing");
        match code {
            0 => Verdict::Done(Answer { text: self.tail.text(), session: None }),
            code if CANNOT_RUN.contains(&code) => Verdict::Failed(Failure::configuration(format!(
                "the agent program cannot be run where agents run ({last}); correct agent.command or \
                 sandbox.tool_paths"
            ))),
            code => Verdict::Failed(Failure::task(format!("the agent ended with code {code} ({last})"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::FailureClass;

    use super::*;

    fn verdict(code: i32) -> Verdict {
        let mut reading = Reading::new();
        reading.line(&Line { text: "last words".into(), cut: false });
        reading.verdict(code)
    }

    #[test]
    fn the_exit_code_alone_decides() {
        assert!(matches!(verdict(0), Verdict::Done(Answer { text, .. }) if text == "last words"));
        let class = |code| match verdict(code) {
            Verdict::Failed(failure) => Some(failure.class),
            _ => None,
        };
        assert_eq!(class(1), Some(FailureClass::Task));
        assert_eq!(class(127), Some(FailureClass::Configuration));
    }
}
