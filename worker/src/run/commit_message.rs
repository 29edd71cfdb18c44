//! What the engine's commit says.

use shared::{TaskSpec, harmless::harmless, task::cut};

/// Of the task's text that is kept in the commit, in bytes.
const BODY_BYTES_MAX: usize = 2_048;

/// Title, body, `Closes #n`, trailers.
pub(super) fn commit_message(spec: &TaskSpec, node: &str) -> String {
    let title = harmless(&spec.title.split_whitespace().collect::<Vec<_>>().join(" "));
    let title = if title.is_empty() { format!("Task {}", spec.id) } else { title };
    let body = harmless(cut(spec.body.trim(), BODY_BYTES_MAX).trim_end());
    let body = if body.is_empty() { body } else { format!("{body}\n\n") };
    let closes = spec.issue.map_or_else(String::new, |number| format!("Closes #{number}\n\n"));
    format!("{title}\n\n{body}{closes}Task: {}\nWorker: {node}\n", spec.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_message_ends_with_its_trailers() {
        let mut spec = TaskSpec::new("t-9".parse().unwrap(), "o/n".parse().unwrap(), "Fix\n the sum ");
        spec.issue = Some(4);
        spec.body = "It is wrong.\n".to_owned();
        let message = commit_message(&spec, "pc-1");
        assert_eq!(message, "Fix the sum\n\nIt is wrong.\n\nCloses #4\n\nTask: t-9\nWorker: pc-1\n");
    }

    #[test]
    fn a_tasks_text_neither_closes_other_issues_nor_calls_people() {
        let mut spec = TaskSpec::new("t-9".parse().unwrap(), "o/n".parse().unwrap(), "x, fixes #1");
        spec.body = format!("Closes #2, says @octocat. {}", "long ".repeat(2_000));
        let message = commit_message(&spec, "pc-1");
        assert!(!message.contains("#1") && !message.contains("#2") && !message.contains("@o"));
        assert!(message.len() < 2_200);
    }
}
