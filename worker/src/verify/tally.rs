//! How many tests ran, by what the usual runners print; and whether there were any.

/// What the lines of one test run say.
#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: Option<u32>,
    /// A runner said that there is nothing to run.
    none: bool,
    /// A runner said that something failed.
    failed: bool,
    /// Packages of Go that have tests. Go does not count its tests.
    go_packages: bool,
}

/// Lines by which runners say that they found nothing.
const NONE: [&str; 9] = [
    "no tests to run",
    "no tests found",
    "no test files found",
    "no tests were found",
    "no tests executed",
    "no test is available",
    "[no test files]",
    "no tests ran",
    ":test no-source",
];

impl Tally {
    pub(super) fn line(&mut self, line: &str) {
        let line = plain(line);
        let folded = line.to_ascii_lowercase();
        if let Some(count) = passed(&folded) {
            self.passed = Some(self.passed.unwrap_or(0).saturating_add(count));
        }
        self.failed |= failed(&folded);
        self.none |= NONE.iter().any(|words| folded.contains(words));
        self.go_packages |= folded.starts_with("ok  \t") && !folded.contains("[no tests to run]");
    }

    /// How many tests passed, where a runner said so.
    pub(super) fn passed(&self) -> Option<u32> {
        self.passed.filter(|count| *count > 0)
    }

    /// Whether nothing was run, as far as the runner says. What failed was run, also where nothing passed.
    pub(super) fn is_none(&self) -> bool {
        !self.go_packages && !self.failed && (self.passed == Some(0) || (self.none && self.passed.is_none()))
    }
}

/// The count in a runner's last line. `folded` is in lower case and without escapes.
fn passed(folded: &str) -> Option<u32> {
    let line = folded.trim();
    // cargo test: "test result: ok. 3 passed; 0 failed; ..."
    if let Some(rest) = line.strip_prefix("test result: ") {
        return before(rest, " passed");
    }
    // pytest: "==== 3 passed, 1 skipped in 0.02s ====", or without the signs when quiet
    if line.contains(" passed") && line.contains(" in ") && line.trim_end_matches(['=', ' ']).ends_with('s') {
        return before(line, " passed");
    }
    // jest: "Tests:       1 skipped, 3 passed, 4 total"; vitest: "Tests  3 passed (3)"
    if line.starts_with("tests:") || line.starts_with("tests ") {
        return before(line, " passed")
            .or_else(|| after(line, "tests ").filter(|_| line.ends_with(|c: char| c.is_ascii_digit())));
    }
    // node --test: "# tests 3" stands for all, "# pass 3" for what passed
    if let Some(rest) = line.strip_prefix("# pass ").or_else(|| line.strip_prefix("ℹ pass ")) {
        return rest.trim().parse().ok();
    }
    // mocha: "3 passing (20ms)"
    if line.contains(" passing (") {
        return before(line, " passing");
    }
    // unittest: "Ran 3 tests in 0.001s"
    if line.starts_with("ran ") && line.contains(" test") {
        return after(line, "ran ");
    }
    // RSpec: "3 examples, 0 failures"; minitest: "3 runs, 5 assertions, 0 failures"
    if line.contains(" failures") && (line.contains(" example") || line.contains(" runs, ")) {
        return line.split_whitespace().next()?.parse().ok();
    }
    // PHPUnit: "OK (3 tests, 5 assertions)"
    if line.starts_with("ok (") && line.contains(" test") {
        return after(line, "ok (");
    }
    // ctest: "100% tests passed, 0 tests failed out of 3"
    if line.contains("tests failed out of ") {
        return after(line, "out of ");
    }
    // Maven's summary, which unlike those of single classes has no time: "Tests run: 3, Failures: 0, ..."
    if line.contains("tests run: ") && !line.contains("time elapsed") {
        return after(line, "tests run: ");
    }
    // dotnet test: "Passed!  - Failed: 0, Passed: 3, ..."
    if line.starts_with("passed!") {
        return after(line, "passed: ").or_else(|| after(line, "passed:"));
    }
    None
}

/// Whether a runner's line tells of something that failed.
fn failed(folded: &str) -> bool {
    const BEFORE: [&str; 5] = [" failed", " tests failed", " failing", " failure", " error"];
    const AFTER: [&str; 6] = ["fail ", "failed:", "failures:", "errors:", "failures=", "errors="];

    let some = |count: Option<u32>| count.is_some_and(|count| count > 0);
    folded.starts_with("fail\t")
        || folded.trim_start().starts_with("--- fail:")
        // A word may stand there more than once: "test result: failed. 0 passed; 1 failed".
        || BEFORE.iter().any(|mark| folded.match_indices(mark).any(|(at, _)| some(last_number(&folded[..at]))))
        || AFTER.iter().any(|mark| folded.match_indices(mark).any(|(at, _)| some(after(&folded[at..], mark))))
}

/// The number right before `mark`.
fn before(line: &str, mark: &str) -> Option<u32> {
    last_number(&line[..line.find(mark)?])
}

/// The number at the end of `head`.
fn last_number(head: &str) -> Option<u32> {
    let digits = head
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + head[at..].chars().next().map_or(1, char::len_utf8));
    head[digits..].parse().ok()
}

/// The number right after `mark`.
fn after(line: &str, mark: &str) -> Option<u32> {
    let tail = line[line.find(mark)? + mark.len()..].trim_start();
    let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
    tail[..end].parse().ok()
}

/// The line without the escapes that colour it.
pub(super) fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // ESC [ parameters letter
            if chars.next() == Some('[') {
                for c in chars.by_ref() {
                    if c.is_ascii_alphabetic() {
                        break;
                    }
                }
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &str) -> (Option<u32>, bool) {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.line(line));
        (tally.passed(), tally.is_none())
    }

    #[test]
    fn the_usual_runners_are_understood() {
        for (lines, count) in [
            ("test result: ok. 3 passed; 0 failed; 0 ignored\ntest result: ok. 0 passed; 0 failed\n", 3),
            ("===== 4 passed, 1 skipped in 0.12s =====", 4),
            ("2 passed in 0.01s", 2),
            ("Tests:       1 skipped, 3 passed, 4 total", 3),
            ("      Tests  3 passed (3)", 3),
            ("# tests 2\n# suites 0\n# pass 2\n# fail 0", 2),
            ("ℹ tests 2\nℹ pass 2", 2),
            ("  3 passing (20ms)", 3),
            ("Ran 5 tests in 0.001s\n\nOK", 5),
            ("3 examples, 0 failures", 3),
            ("6 runs, 8 assertions, 0 failures, 0 errors, 0 skips", 6),
            ("OK (3 tests, 5 assertions)", 3),
            ("100% tests passed, 0 tests failed out of 7", 7),
            (
                "[INFO] Tests run: 2, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.1 s\n[INFO] Tests run: 2, Failures: 0, Errors: 0, Skipped: 0",
                2,
            ),
            ("Passed!  - Failed:     0, Passed:     9, Skipped:     0, Total:     9", 9),
            ("\u{1b}[32m\u{1b}[1m2 passed\u{1b}[0m\u{1b}[32m in 0.01s\u{1b}[0m", 2),
        ] {
            assert_eq!(tally(lines), (Some(count), false), "{lines}");
        }
    }

    #[test]
    fn a_run_of_nothing_is_told_from_one_that_does_not_count() {
        for lines in [
            "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored",
            "?   \texample.com/x\t[no test files]",
            "[INFO] No tests to run.",
            "No tests were found!!!",
            "> Task :test NO-SOURCE",
            "Ran 0 tests in 0.000s",
            "0 examples, 0 failures",
            "# tests 0\n# pass 0",
        ] {
            assert_eq!(tally(lines), (None, true), "{lines}");
        }
        assert_eq!(tally("all good"), (None, false));
        assert_eq!(tally("ok  \texample.com/x\t0.002s\n?   \texample.com/y\t[no test files]"), (None, false));
        assert_eq!(tally("2 passed in 0.01s\nno tests ran in sub"), (Some(2), false));
    }

    #[test]
    fn a_run_in_which_everything_failed_was_a_run() {
        for lines in [
            "test result: FAILED. 0 passed; 1 failed; 0 ignored",
            "# tests 1\n# pass 0\n# fail 1",
            "ℹ pass 0\nℹ fail 2",
            "Tests:       1 failed, 1 total",
            "  0 passing (3ms)\n  1 failing",
            "0 examples, 0 failures, 1 error occurred outside of examples",
            "no tests ran in 0.01s\n1 error in 0.02s",
            "0% tests passed, 1 tests failed out of 1",
            "FAIL\texample.com/x\t0.002s\n?   \texample.com/y\t[no test files]",
            "--- FAIL: TestX (0.00s)\n[no test files]",
            "No tests found\nFAILED (failures=1)",
            "Failed!  - Failed:     1, Passed:     0\nNo test is available",
        ] {
            assert!(!tally(lines).1, "{lines}");
        }
    }

    #[test]
    fn odd_lines_do_no_harm() {
        for line in [
            " passed in s",
            "test result: ",
            "日本 passed in 1s",
            "ran  tests",
            "\u{1b}[",
            "\u{1b}",
            "99999999999 passing (1)",
        ] {
            tally(line);
        }
    }
}
