//! Any program as an agent: the prompt on its standard input, its exit code as the verdict.

use std::ffi::OsString;

use shared::config::AgentConfig;

use super::{Answer, Call, Cause, Event, Verdict};
use crate::output::{Line, Tail};

/// End of its output that is kept as its answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// The shell's codes for a program that cannot be run, and for one that does not exist.
const CANNOT_RUN: [i32; 2] = [126, 127];

pub(super) fn call(config: &AgentConfig, program: Vec<OsString>) -> Call {
    let mut argv = program;
    argv.extend(config.extra_args.iter().map(OsString::from));
    let preface = Some(config.system_prompt.clone()).filter(|text| !text.is_empty());
    Call { argv, env: Vec::new(), preface }
}

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
        let last = self.tail.last().unwrap_or("it printed nothing").to_owned();
        match code {
            0 => Verdict::Done(Answer { text: self.tail.text(), session: None }),
            code if CANNOT_RUN.contains(&code) => Verdict::failed(Cause::NotStarted, last),
            code => Verdict::failed(Cause::GaveUp(code), last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(code: i32) -> Verdict {
        let mut reading = Reading::new();
        reading.line(&Line { text: "last words".into(), cut: false });
        reading.verdict(code)
    }

    #[test]
    fn the_exit_code_alone_decides() {
        assert!(matches!(verdict(0), Verdict::Done(Answer { text, .. }) if text == "last words"));
        assert_eq!(verdict(1), Verdict::failed(Cause::GaveUp(1), "last words"));
        assert_eq!(verdict(127), Verdict::failed(Cause::NotStarted, "last words"));
    }
}
