//! What an ingester writes on an issue.

use shared::{
    Status, TaskRecord,
    harmless::{code, code_block, harmless},
    queue::Why,
    task::cut,
};

/// Of a failure's text, in bytes.
const FAILURE_BYTES_MAX: usize = 2 * 1024;

/// The task waits; `by`: who has changed it.
pub fn waits(record: &TaskRecord, why: Option<&Why>, by: Option<&String>) -> String {
    let changed = by.map_or_else(String::new, |by| format!(", changed by {}", code(by)));
    let why = why.map_or_else(String::new, |why| format!(": {}", harmless(&line(&why.to_string()))));
    format!(
        "**Queued** for {}, priority {}{changed}{why}.\n\n{}",
        code(record.specialty.as_str()),
        record.priority,
        task(record)
    )
}

/// It was cancelled before a worker took it. `label` starts another one.
pub fn cancelled(record: &TaskRecord, reason: &str, label: &str) -> String {
    format!(
        "**Cancelled** before a worker took it: {}. To have it done after all, set the label {} on the open issue \
         anew.\n\n{}",
        code(reason),
        code(label),
        task(record)
    )
}

/// How a task ended, as far as its record tells; its worker has said more, and that was overwritten.
pub fn ended(record: &TaskRecord) -> Option<String> {
    let told = match &record.status {
        Status::Completed { result, .. } => {
            let result = result.url.clone().or_else(|| result.branch.as_deref().map(code));
            format!("**Done:** {}", result.unwrap_or_else(|| "nothing was changed.".to_owned()))
        }
        Status::Failed { message, .. } => {
            format!("**Failed.**\n\n{}", code_block(cut(message.trim(), FAILURE_BYTES_MAX)))
        }
        Status::Cancelled { reason, .. } => format!("**Cancelled** by {}.", code(reason)),
        Status::Held | Status::Pending | Status::Active { .. } | Status::Delayed { .. } => return None,
    };
    Some(format!("{told}\n\n{}", task(record)))
}

fn task(record: &TaskRecord) -> String {
    format!("<sub>Task {}</sub>", code(record.id.as_str()))
}

/// A reason that a person gave may have lines.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use shared::queue::Stopped;

    use super::*;

    fn record() -> TaskRecord {
        TaskRecord {
            id: "t-1".parse().unwrap(),
            repository: "octo/cat".parse().unwrap(),
            issue: Some(7),
            title: "a title".to_owned(),
            specialty: "backend".parse().unwrap(),
            priority: shared::Priority::High,
            created_at: 0,
            runs: 0,
            attempts: 0,
            lost: 0,
            micro_usd: 0,
            last_run: None,
            moving_to: None,
            status: Status::Pending,
        }
    }

    #[test]
    fn who_waits_is_told_what_for_and_calls_nobody() {
        let stopped =
            Stopped { by: "ada".into(), reason: "fixes #3,\nask @octocat".into(), at: 1, until: None };
        let said = waits(&record(), Some(&Why::Paused(stopped)), Some(&"ann".to_owned()));
        assert_eq!(
            said,
            "**Queued** for `backend`, priority high, changed by `ann`: its specialty is paused by ada: fixes # 3, ask \
             @ octocat.\n\n<sub>Task `t-1`</sub>"
        );
        assert!(waits(&record(), None, None).starts_with("**Queued** for `backend`, priority high.\n"));
    }

    #[test]
    fn who_is_cancelled_is_told_by_whom_and_what_to_do() {
        let said = cancelled(&record(), "ann closed the issue", "claude");
        assert!(said.contains("`ann closed the issue`") && said.contains("label `claude`"), "{said}");
    }
}
