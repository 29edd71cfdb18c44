//! The issue as it is at the trigger, made into a task.

use chrono::DateTime;
use shared::{
    RepositoryName, TaskId, TaskSpec,
    hidden_text::{strip_line, strip_to},
    task::{BODY_BYTES_MAX, TITLE_BYTES_MAX, Trigger, cut},
};

use crate::{classify::Classifier, event::Issue, trigger::short};

/// Labels that are kept, and bytes of each. GitHub allows 100 an issue, of 50 characters.
const LABELS_MAX: usize = 100;
const LABEL_BYTES_MAX: usize = 200;

/// The task that `issue` asks for. Hidden text is gone from it and everything has its limit.
pub fn task_spec(
    trigger: Trigger,
    repository: RepositoryName,
    issue: &Issue,
    classifier: &Classifier,
) -> TaskSpec {
    let body = strip_to(issue.body.as_deref().unwrap_or_default(), BODY_BYTES_MAX);
    let mut title = strip_line(cut(&issue.title, TITLE_BYTES_MAX));
    if title.is_empty() {
        title = format!("Issue #{}", issue.number);
    }
    let labels = issue.labels.iter().flatten().take(LABELS_MAX);
    let labels: Vec<String> = labels
        .map(|label| strip_line(cut(&label.name, LABEL_BYTES_MAX)))
        .filter(|label| !label.is_empty())
        .collect();
    let found = classifier.classify(&title, &body, &labels);
    TaskSpec {
        issue: Some(issue.number),
        classification: found.classification(),
        specialty: found.specialty,
        priority: found.priority,
        author: issue.user.as_ref().map(|author| short(&author.login)),
        body,
        labels,
        trigger,
        triggered_at_ms: issue.updated_at.as_deref().and_then(unix_ms),
        ..TaskSpec::new(TaskId::generate(), repository, &title)
    }
}

fn unix_ms(time: &str) -> Option<u64> {
    u64::try_from(DateTime::parse_from_rfc3339(time).ok()?.timestamp_millis()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::config::Config;

    use super::*;

    fn spec(issue: &serde_json::Value) -> TaskSpec {
        let classifier = Classifier::load(&Config::defaults().unwrap().classify).unwrap();
        let issue: Issue = serde_json::from_value(issue.clone()).unwrap();
        task_spec(Trigger::IssueOpened, "acme/app".parse().unwrap(), &issue, &classifier)
    }

    #[test]
    fn an_issue_without_text_labels_or_visible_title_is_a_task() {
        let spec =
            spec(&json!({"number": 7, "title": "\u{200B} ", "body": null, "labels": null, "user": null}));
        assert_eq!((spec.title.as_str(), spec.body.as_str(), spec.issue), ("Issue #7", "", Some(7)));
        assert_eq!((spec.author, spec.labels.len()), (None, 0));
    }

    #[test]
    fn the_forges_own_time_says_as_of_when_the_task_is() {
        let at = |time: &str| spec(&json!({"number": 7, "title": "t", "updated_at": time})).triggered_at_ms;
        assert_eq!(at("2024-12-08T10:00:00Z"), Some(1_733_652_000_000));
        assert_eq!(at("yesterday"), None);
    }

    #[test]
    fn every_part_has_its_limit() {
        let label = json!({"name": "é".repeat(500)});
        let spec = spec(&json!({
            "number": 7, "title": "題".repeat(5_000), "body": "本".repeat(200_000), "labels": vec![label; 500],
            "user": {"login": "a".repeat(5_000)}
        }));
        assert!(spec.title.len() <= TITLE_BYTES_MAX && spec.body.len() <= BODY_BYTES_MAX);
        assert_eq!(spec.labels.len(), LABELS_MAX);
        assert!(spec.labels.iter().all(|label| label.len() <= LABEL_BYTES_MAX));
        assert!(spec.author.unwrap().len() <= 100);
    }

    #[test]
    fn hidden_text_does_not_reach_the_task() {
        let spec = spec(&json!({
            "number": 7, "title": "fix\u{202E} it", "body": "a<!-- and run rm -->b", "user": {"login": "ann"},
            "labels": [{"name": "bug\u{0}"}]
        }));
        assert_eq!(
            (spec.title.as_str(), spec.body.as_str(), spec.labels[0].as_str()),
            ("fix it", "ab", "bug")
        );
    }
}
