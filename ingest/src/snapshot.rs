//! The issue as it is at the trigger, made into a task.

use shared::{
    Priority, Specialty, TaskId, TaskSpec,
    config::Rules,
    hidden_text::{strip_line, strip_to},
    task::{BODY_BYTES_MAX, TITLE_BYTES_MAX, Trigger, cut},
};

use crate::{classify::Classifier, command::Wishes, event::IssueEvent, payload::Issue, trigger::short};

/// Labels that are kept, and bytes of each. GitHub allows 100 an issue, of 50 characters.
const LABELS_MAX: usize = 100;
const LABEL_BYTES_MAX: usize = 200;

/// What a comment may ask for besides, in bytes; as much as is read of any other comment.
const REQUIREMENT_BYTES_MAX: usize = 16_384;

/// What stands in an issue. Hidden text is gone from it and everything has its limit.
pub struct Words {
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
}

/// What stands in `issue` now.
pub fn words(issue: &Issue) -> Words {
    let mut title = strip_line(cut(&issue.title, TITLE_BYTES_MAX));
    if title.is_empty() {
        title = format!("Issue #{}", issue.number);
    }
    let labels = issue.labels.iter().flatten().take(LABELS_MAX);
    let labels = labels
        .map(|label| strip_line(cut(&label.name, LABEL_BYTES_MAX)))
        .filter(|label| !label.is_empty())
        .collect();
    Words { title, body: strip_to(issue.body.as_deref().unwrap_or_default(), BODY_BYTES_MAX), labels }
}

/// The task that `event` starts. `text` is what a comment asks for besides, `wishes` what it wants decided otherwise.
pub fn task_spec(
    event: &IssueEvent,
    trigger: Trigger,
    wishes: &Wishes,
    text: &str,
    rules: &Rules<'_>,
    classifier: &Classifier,
) -> TaskSpec {
    let issue = &event.issue;
    let Words { title, body, labels } = words(issue);
    let requirement = strip_to(text, REQUIREMENT_BYTES_MAX);
    let found = classifier.classify(&title, &body, &labels);
    let mut classification = found.classification();
    let undecided = found.specialty == Specialty::general();
    let default = rules.specialty().filter(|_| undecided);
    let specialty = match (&wishes.specialty, default) {
        (Some(asked_for), _) => {
            classification.reasons.insert(0, format!("comment /claude {asked_for}"));
            classification.margin = None;
            asked_for.clone()
        }
        (None, Some(default)) => {
            classification.reasons.insert(0, format!("[[repository]] specialty {default}"));
            classification.margin = None;
            default.clone()
        }
        (None, None) => found.specialty,
    };
    classification.secondary.take_if(|secondary| *secondary == specialty);
    let usual = rules.priority().filter(|_| found.priority == Priority::default());
    TaskSpec {
        issue: Some(issue.number),
        classification,
        specialty,
        priority: wishes.priority.or(usual).unwrap_or(found.priority),
        author: issue.user.as_ref().map(|author| short(&author.login)),
        body,
        labels,
        trigger,
        requirements: Some(requirement).filter(|text| !text.is_empty()).into_iter().collect(),
        triggered_at_ms: event.at_ms(),
        ..TaskSpec::new(TaskId::generate(), event.repository.clone(), &title)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::config::{Config, RepositoryConfig};

    use super::*;
    use crate::event::What;

    fn spec(issue: &serde_json::Value) -> TaskSpec {
        asked(issue, &Wishes::default(), "", &Config::defaults().unwrap())
    }

    fn asked(issue: &serde_json::Value, wishes: &Wishes, text: &str, config: &Config) -> TaskSpec {
        let classifier = Classifier::load(&config.classify).unwrap();
        let event = IssueEvent {
            repository: "acme/app".parse().unwrap(),
            issue: serde_json::from_value(issue.clone()).unwrap(),
            actor: serde_json::from_value(json!({"login": "ann"})).unwrap(),
            what: What::Opened,
            delivery: None,
        };
        let rules = config.rules(&event.repository).unwrap();
        task_spec(&event, Trigger::Comment, wishes, text, &rules, &classifier)
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
        assert!(spec.body.ends_with("[cut here: the text goes on]"));
        let issue = json!({"number": 7, "title": "t"});
        let config = Config::defaults().unwrap();
        let asked = asked(&issue, &Wishes::default(), &"w ".repeat(100_000), &config);
        assert!(asked.requirements[0].len() <= REQUIREMENT_BYTES_MAX);
    }

    #[test]
    fn a_comment_decides_before_the_text_and_the_repository_where_the_text_says_nothing() {
        let mut config = Config::defaults().unwrap();
        let entry = RepositoryConfig {
            pattern: "acme/*".to_owned(),
            specialty: "devops".parse().ok(),
            priority: Some(Priority::Low),
            ..Default::default()
        };
        config.repository.push(entry);
        let wishes = Wishes { specialty: "testing".parse().ok(), priority: Some(Priority::High) };
        let react = json!({"number": 7, "title": "The React page is white"});
        let vague = json!({"number": 7, "title": "It is broken"});
        let urgent =
            json!({"number": 7, "title": "x", "labels": [{"name": "priority: high"}, {"name": "frontend"}]});
        for (issue, wishes, specialty, priority) in [
            (&react, &wishes, "testing", Priority::High),
            (&react, &Wishes::default(), "frontend", Priority::Low),
            (&vague, &Wishes::default(), "devops", Priority::Low),
            (&urgent, &Wishes::default(), "frontend", Priority::High),
        ] {
            let spec = asked(issue, wishes, "do\u{200B} it", &config);
            assert_eq!((spec.specialty.as_str(), spec.priority), (specialty, priority), "{issue}");
            assert_eq!(spec.requirements, ["do it"]);
        }
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
