//! Whether two red runs fail in the same way.

use std::collections::BTreeSet;

use super::tally::plain;

/// Words by which runners mark the line of a test that failed.
const MARKS: [&str; 12] =
    ["fail", "error", "not ok", "panicked", "✗", "✕", "✖", "×", "●", "assert", "exception", "undefined"];

/// How the programs that call the runner begin their own complaint: it is the same whatever fails.
const CALLERS: [&str; 6] =
    ["make", "gmake", "npm", "error command failed", "error: test failed", "(exit code"];

/// What a red run printed at its end, without what differs from run to run: numbers, times, addresses.
/// Equal where two runs fail in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failures {
    lines: Vec<String>,
}

impl Failures {
    /// `tail` is the end of the run's output.
    pub(crate) fn of(tail: &str) -> Self {
        Self { lines: tail.lines().map(without_numbers).filter(|line| !line.is_empty()).collect() }
    }

    /// Nothing fails here that does not fail there. Runners that mark no line are compared by all that they print.
    pub(crate) fn are_among(&self, others: &Self) -> bool {
        let ours = self.marked();
        if ours.is_empty() { self == others } else { ours.is_subset(&others.marked()) }
    }

    fn marked(&self) -> BTreeSet<&str> {
        let marked = |line: &&String| {
            let folded = line.to_lowercase();
            !CALLERS.iter().any(|caller| folded.starts_with(caller))
                && MARKS.iter().any(|mark| folded.contains(mark))
        };
        self.lines.iter().filter(marked).map(String::as_str).collect()
    }
}

/// Every run of digits becomes one sign, and so does a hexadecimal address.
fn without_numbers(line: &str) -> String {
    let line = plain(line);
    let mut text = String::with_capacity(line.len());
    for word in line.split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        if word.starts_with("0x") {
            text.push('#');
            continue;
        }
        let mut in_number = false;
        for c in word.chars() {
            let digit = c.is_ascii_digit() || (in_number && c == '.');
            if !digit {
                text.push(c);
            } else if !in_number {
                text.push('#');
            }
            in_number = digit;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(tail: &str) -> Failures {
        Failures::of(tail)
    }

    #[test]
    fn times_numbers_and_colours_make_no_difference() {
        let one =
            failures("FAILED tests/test_a.py::test_x - assert 1 == 2\n\u{1b}[31m1 failed\u{1b}[0m in 0.12s");
        let other = failures("FAILED tests/test_a.py::test_x - assert 3 == 2\n1 failed in 10.7s");
        assert_eq!(one, other);
    }

    #[test]
    fn another_test_that_fails_is_another_failure() {
        let before = failures("FAILED a::x\nFAILED a::y\n2 failed in 1s");
        assert!(failures("FAILED a::x\n1 failed in 1s").are_among(&before));
        assert!(!failures("FAILED a::z\n1 failed in 1s").are_among(&before));
        assert!(!failures("").are_among(&before));
    }

    #[test]
    fn output_without_marks_is_compared_whole() {
        assert!(failures("answer differs: 41").are_among(&failures("answer differs: 40")));
        assert!(!failures("answer differs").are_among(&failures("answer is missing")));
        let make =
            |said: &str| failures(&format!("{said}\nmake: *** [Makefile:2: test] Error 1\n(exit code 2)"));
        assert!(!make("answer differs").are_among(&make("answer is missing")), "make says the same of both");
    }
}
