//! What the engine writes on a forge: the body of a pull request, and the status of a task.

use std::time::Duration;

use shared::{
    Failure, FailureClass, Outcome, TaskId,
    harmless::{code, code_block, quotation},
    outcome::TestsSummary,
};

use super::Changes;
use crate::run::Phase;

/// Of the agent's own words, in bytes.
const WORDS_BYTES_MAX: usize = 8 * 1024;

/// Of a failure's text, in bytes.
const FAILURE_BYTES_MAX: usize = 2 * 1024;

/// What there is to know of a run, for people.
pub(crate) struct Facts<'a> {
    pub task: &'a TaskId,
    pub node: &'a str,
    /// Which claim of the task this is, from 1.
    pub run: u32,
    pub took: Duration,
    /// What the agent says that it has cost so far; `None` where it does not say.
    pub cost_usd: Option<f64>,
    /// The pull request is good and has still to be marked as ready.
    pub draft: bool,
}

/// How a task stands, for its issue.
pub(crate) enum Moment<'a> {
    Started,
    Working(Phase),
    Finished(&'a Outcome),
    /// `again`: the task is tried again by itself.
    Failed {
        failure: &'a Failure,
        again: bool,
    },
    Cancelled {
        by: &'a str,
    },
    /// The worker stops and the task goes back in line.
    Returned,
}

/// What a run has made.
pub(crate) struct Work<'a> {
    /// What the agent said at its end.
    pub answer: &'a str,
    pub changes: Changes,
    pub tests: &'a TestsSummary,
    pub rounds: u32,
}

/// The body of a pull request.
pub(crate) fn pull_request(issue: Option<u64>, work: &Work<'_>, facts: &Facts<'_>) -> String {
    let closes = issue.map_or_else(String::new, |number| format!("Closes #{number}\n\n"));
    let words = quotation(work.answer, WORDS_BYTES_MAX);
    let words = if words.is_empty() { "> (it said nothing)".to_owned() } else { words };
    format!(
        "{closes}### Summary\n\nThe agent's own words, which nobody has checked:\n\n{words}\n\n\
         ### How it was made\n\n\
         | | |\n|---|---|\n\
         | Changes | {} |\n| Tests | {} |\n| Rounds | {} |\n{}| Duration | {} |\n| Task | {} |\n| Worker | {} |\n",
        changed(work.changes),
        tests_result(work.tests).replace('|', "\\|"),
        work.rounds,
        facts.cost_usd.map_or_else(String::new, |usd| format!("| Cost | {} |\n", cost(usd))),
        duration(facts.took),
        code(facts.task.as_str()),
        code(facts.node),
    )
}

/// The text of the status comment. `label` triggers the task anew; empty for one that no webhook made.
pub(crate) fn status(moment: &Moment<'_>, facts: &Facts<'_>, label: &str) -> String {
    let told = match moment {
        Moment::Started if facts.run > 1 => format!("**Working on it**, for the {}. time.", facts.run),
        Moment::Started => "**Working on it.**".to_owned(),
        Moment::Working(phase) => format!("**Working on it:** {phase}."),
        Moment::Finished(Outcome::PullRequest { url, tests, .. }) => {
            let draft = if facts.draft { " It is still a draft: mark it as ready for review." } else { "" };
            format!("**Done:** {url}\n\nTests: {}.{draft}", tests_result(tests))
        }
        Moment::Finished(Outcome::Branch { branch, tests, .. }) => {
            format!("**Done:** branch {}. Tests: {}.", code(branch), tests_result(tests))
        }
        Moment::Finished(Outcome::NoChange { answer }) => format!(
            "**Nothing was changed.** The agent's own words:\n\n{}\n\n{}",
            quotation(answer, WORDS_BYTES_MAX),
            anew("If that is not what was meant, say more in the issue", label),
        ),
        Moment::Failed { failure, again: true } if failure.class == FailureClass::UsageLimit => {
            format!("**Waiting** for the agent account; it is run again by itself.\n\n{}", reason(failure))
        }
        Moment::Failed { failure, again: true } => {
            format!("**Not done yet**; it is tried again by itself.\n\n{}", reason(failure))
        }
        Moment::Failed { failure, again: false } => {
            format!("{}\n\n{}", verdict(failure, facts, label), reason(failure))
        }
        Moment::Cancelled { by } => {
            format!("**Cancelled** by {}. {}", code(by), anew("To have it done after all", label))
        }
        Moment::Returned => "**Waiting** for a worker: the one that had begun was stopped.".to_owned(),
    };
    let spent = match (moment, facts.cost_usd) {
        (Moment::Started, _) => String::new(),
        (_, None) => format!(", {}", duration(facts.took)),
        (_, Some(usd)) => format!(", {}, {}", duration(facts.took), cost(usd)),
    };
    format!("{told}\n\n<sub>Task {} on worker {}{spent}</sub>", code(facts.task.as_str()), code(facts.node))
}

fn verdict(failure: &Failure, facts: &Facts<'_>, label: &str) -> String {
    match failure.class {
        FailureClass::Configuration => format!(
            "**Failed:** something has to be set up first, by whoever looks after worker {}. {}",
            code(facts.node),
            anew("After that", label)
        ),
        FailureClass::Transient => {
            format!("**Failed** after several tries. {}", anew("When the cause is gone", label))
        }
        FailureClass::Task | FailureClass::UsageLimit | FailureClass::LostWorker => {
            format!("**Failed.** {}", anew("Say more in the issue, or split it; then", label))
        }
    }
}

fn anew(when: &str, label: &str) -> String {
    if label.is_empty() {
        format!("{when}, ask for it anew.")
    } else {
        format!("{when}, set the label {} anew.", code(label))
    }
}

fn reason(failure: &Failure) -> String {
    let text = shared::task::cut(failure.message.trim(), FAILURE_BYTES_MAX);
    code_block(text)
}

fn tests_result(tests: &TestsSummary) -> String {
    match tests {
        TestsSummary::Passed { command, count: Some(count) } => {
            format!("{count} passed ({})", code(command))
        }
        TestsSummary::Passed { command, count: None } => format!("passed ({})", code(command)),
        TestsSummary::Failed { command, as_before: true } => {
            format!("**failed** ({}), as they do on the base branch without this change", code(command))
        }
        TestsSummary::Failed { command, as_before: false } => format!("**failed** ({})", code(command)),
        TestsSummary::NoneFound => "**none found**, so none were run".to_owned(),
    }
}

fn changed(changes: Changes) -> String {
    let Changes { files, added, removed } = changes;
    let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
    format!("{files}, +{added} −{removed}")
}

fn cost(usd: f64) -> String {
    format!("${usd:.2}")
}

fn duration(took: Duration) -> String {
    match took.as_secs() {
        s @ ..60 => format!("{s} s"),
        s @ ..3_600 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(task: &TaskId) -> Facts<'_> {
        Facts {
            task,
            node: "pc-1",
            run: 1,
            took: Duration::from_secs(200),
            cost_usd: Some(0.416),
            draft: false,
        }
    }

    #[test]
    fn a_pull_request_closes_its_issue_first_and_marks_the_agents_words() {
        let task: TaskId = "t-1".parse().unwrap();
        let tests = TestsSummary::Passed { command: "make `x` | cat".to_owned(), count: None };
        let work = Work {
            answer: "Done, @octocat; closes #9",
            changes: Changes { files: 2, added: 10, removed: 3 },
            tests: &tests,
            rounds: 2,
        };
        let body = pull_request(Some(7), &work, &facts(&task));
        assert!(body.starts_with("Closes #7\n\n"));
        assert!(body.contains("own words") && body.contains("> Done, @ octocat; closes # 9"));
        for line in [
            "| Changes | 2 files, +10 −3 |",
            "| Cost | $0.42 |",
            "| Rounds | 2 |",
            "| Duration | 3 min 20 s |",
            "| Task | `t-1` |",
            "| Worker | `pc-1` |",
        ] {
            assert!(body.contains(line), "{body}");
        }
        assert!(body.contains("passed (`make 'x' \\| cat`)"), "{body}");
        let work = Work { answer: " ", tests: &TestsSummary::NoneFound, ..work };
        let unpriced = Facts { cost_usd: None, ..facts(&task) };
        let none = pull_request(None, &work, &unpriced);
        assert!(!none.contains("Cost"), "{none}");
        assert!(none.starts_with("### Summary") && none.contains("none found") && !none.contains("passed"));
    }

    #[test]
    fn a_status_says_what_to_do() {
        let task: TaskId = "t-1".parse().unwrap();
        let say = |moment| status(&moment, &facts(&task), "claude");
        assert!(say(Moment::Started).contains("`pc-1`"));
        assert!(say(Moment::Working(Phase::Testing { round: 2 })).contains("testing (round 2)"));
        let failure = Failure::task("tests still red\n```\n@all");
        let failed = say(Moment::Failed { failure: &failure, again: false });
        assert!(
            failed.contains("label `claude`") && failed.contains("````text\ntests still red"),
            "{failed}"
        );
        let again = say(Moment::Failed { failure: &failure, again: true });
        assert!(again.contains("by itself") && !again.contains("label"));
        let limit = Failure::new(FailureClass::UsageLimit, "limit until 2025-12-31 23:59:59 UTC");
        let waiting = say(Moment::Failed { failure: &limit, again: true });
        assert!(
            waiting.contains("**Waiting** for the agent account") && waiting.contains("2025-12-31 23:59:59")
        );
        let missing = Failure::configuration("go is missing");
        let failed = say(Moment::Failed { failure: &missing, again: false });
        assert!(failed.contains("looks after worker `pc-1`"), "{failed}");
    }
}
