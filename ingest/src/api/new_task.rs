//! The body of a `POST /api/tasks`, made into a task.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::error::Category;
use shared::{
    Priority, RepositoryName, Specialty, TaskId, TaskSpec,
    config::Config,
    hidden_text::{strip, strip_line},
    task::{BODY_BYTES_MAX, TITLE_BYTES_MAX, Trigger},
};

use super::refusal::Refusal;
use crate::{classify::Classifier, problem, trigger::short};

/// Requirements or labels of a task, and bytes of each.
const WORDS_MAX: usize = 100;
const WORD_BYTES_MAX: usize = 200;

/// Everything may be left out, and is then `null` or missing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTask {
    #[serde(alias = "id")]
    task_id: Option<TaskId>,
    #[serde(alias = "repository_name")]
    repository: Option<RepositoryName>,
    #[serde(alias = "github_issue_id")]
    issue: Option<u64>,
    title: Option<String>,
    description: Option<String>,
    requirements: Option<Vec<String>>,
    labels: Option<Vec<String>>,
    specialty: Option<String>,
    priority: Option<Priority>,
}

/// A task that is ready for the queue.
#[derive(Debug)]
pub struct Draft {
    pub spec: TaskSpec,
    /// Whether the caller chose the id, and with it may post the task again.
    pub own_id: bool,
}

/// The value that `body` holds.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let problem = problem::detail(&error);
        if error.classify() == Category::Data {
            Refusal::Unprocessable(problem)
        } else {
            Refusal::Malformed(problem)
        }
    })
}

/// `text`, unless it is too long.
pub fn limited<'t>(name: &str, text: &'t str, bytes_max: usize) -> Result<&'t str, Refusal> {
    if text.len() <= bytes_max {
        return Ok(text);
    }
    Err(Refusal::Unprocessable(format!("{name} is longer than {bytes_max} bytes")))
}

/// The task that `body` asks for. What somebody reads of it and what the agent reads are the same: invisible
/// characters and comments are gone.
pub fn draft(body: &[u8], config: &Config, classifier: &Classifier) -> Result<Draft, Refusal> {
    let asked: NewTask = parse(body)?;
    let repository = repository(asked.repository, config)?;
    if asked.issue == Some(0) {
        return Err(Refusal::Unprocessable("issue numbers begin with 1".to_owned()));
    }
    let requirements = words("requirements", asked.requirements)?;
    let labels = words("labels", asked.labels)?;
    let description = asked.description.unwrap_or_default();
    let description = strip(limited("description", &description, BODY_BYTES_MAX)?);
    let own_id = asked.task_id.is_some();
    let id = asked.task_id.unwrap_or_else(TaskId::generate);
    let title = strip_line(limited("title", &asked.title.unwrap_or_default(), TITLE_BYTES_MAX)?);
    // Before a title is made up: an id says nothing about the work.
    let found = classifier.classify(&title, &description, &labels);
    let title = match (title.as_str(), asked.issue) {
        ("", Some(number)) => format!("Issue #{number}"),
        ("", None) => format!("Task {id}"),
        _ => title,
    };
    let mut classification = found.classification();
    let mut named = Vec::new();
    for requirement in &requirements {
        if let Some(specialty) = classifier.resolve_alias(requirement).filter(|known| !named.contains(known))
        {
            classification.reasons.insert(named.len(), format!("requirement {requirement}"));
            named.push(specialty);
        }
    }
    if asked.specialty.is_some() || !named.is_empty() {
        classification.margin = None;
    }
    let mut named = named.into_iter();
    let specialty = match asked.specialty {
        Some(name) => resolve(&name, classifier)?,
        None => named.next().unwrap_or(found.specialty),
    };
    // Of several that are required, the next one stands by.
    classification.secondary =
        named.chain(classification.secondary).find(|secondary| *secondary != specialty);
    let spec = TaskSpec {
        issue: asked.issue,
        body: description,
        labels,
        trigger: Trigger::Manual,
        requirements,
        specialty,
        priority: asked.priority.unwrap_or(found.priority),
        classification,
        ..TaskSpec::new(id, repository, &title)
    };
    Ok(Draft { spec, own_id })
}

fn repository(asked: Option<RepositoryName>, config: &Config) -> Result<RepositoryName, Refusal> {
    let default = || config.api.default_repository.parse().ok();
    let repository = asked.or_else(default).ok_or_else(|| {
        Refusal::Unprocessable(
            "the task names no repository and api.default_repository is not set; send \"repository\": \"owner/name\", or set it"
                .to_owned(),
        )
    })?;
    let allowed = config.repository_entry(&repository);
    allowed.map_err(|error| Refusal::Unprocessable(error.to_string()))?;
    Ok(repository)
}

/// What `name` or an alias of it means.
pub fn resolve(name: &str, classifier: &Classifier) -> Result<Specialty, Refusal> {
    classifier.resolve_alias(name).ok_or_else(|| {
        let known: Vec<&str> = classifier.specialties().iter().map(Specialty::as_str).collect();
        let problem = format!("there is no specialty '{}'; there are {}", short(name), known.join(", "));
        Refusal::Unprocessable(problem)
    })
}

/// Words that are neither too many nor too long, without empty ones.
pub fn words(name: &str, given: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    let given = given.unwrap_or_default();
    if given.len() > WORDS_MAX {
        return Err(Refusal::Unprocessable(format!("{name} are more than {WORDS_MAX}")));
    }
    let mut words = Vec::with_capacity(given.len());
    for word in given {
        words.push(strip_line(limited(&format!("one of the {name}"), &word, WORD_BYTES_MAX)?));
    }
    words.retain(|word| !word.is_empty());
    Ok(words)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn made(body: &Value) -> Result<TaskSpec, String> {
        let config = Config::defaults().unwrap();
        let classifier = Classifier::load(&config.classify).unwrap();
        let drafted = draft(body.to_string().as_bytes(), &config, &classifier);
        drafted.map(|draft| draft.spec).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn requirements_name_the_specialty_before_the_text_does() {
        let spec = made(&json!({
            "repository": "acme/shop", "title": "The React page is white", "requirements": ["asap", "API", "docker"]
        }))
        .unwrap();
        assert_eq!(spec.specialty.as_str(), "backend");
        assert_eq!(spec.classification.secondary.unwrap().as_str(), "devops");
        assert_eq!(spec.classification.reasons[..2], ["requirement API", "requirement docker"]);
        assert_eq!(spec.requirements, ["asap", "API", "docker"]);
        let by_text = made(&json!({"repository": "acme/shop", "title": "The React page is white"})).unwrap();
        assert_eq!((by_text.specialty.as_str(), by_text.priority), ("frontend", Priority::Medium));
        let explicit = json!({"repository": "a/b", "specialty": "qa", "requirements": ["backend"]});
        assert_eq!(made(&explicit).unwrap().specialty.as_str(), "testing");
    }

    #[test]
    fn a_task_always_has_a_title() {
        let titled = |body: Value| made(&body).unwrap().title;
        assert_eq!(titled(json!({"repository": "a/b", "issue": 7})), "Issue #7");
        assert_eq!(titled(json!({"repository": "a/b", "task_id": "api-task-001"})), "Task api-task-001");
        assert_eq!(titled(json!({"repository": "a/b", "title": "fix\u{202e} it\n"})), "fix it");
        let made_up = made(&json!({"repository": "a/b", "task_id": "api-task-001"})).unwrap();
        assert_eq!(made_up.specialty.as_str(), "general", "{made_up:?}");
    }

    #[test]
    fn what_no_task_can_be_made_of_is_told() {
        for (body, said) in [
            (json!({}), "api.default_repository is not set"),
            (json!({"repository": "a/b/c"}), "is not a repository"),
            (json!({"repository": "a/b", "task_id": "../x"}), "a task id is"),
            (json!({"repository": "a/b", "priority": "urgent"}), "unknown variant `urgent`"),
            (json!({"repository": "a/b", "specialty": "cooking"}), "there are backend, devops"),
            (json!({"repository": "a/b", "issue": 0}), "begin with 1"),
            (json!({"repository": "a/b", "issue": -1}), "invalid value"),
            (json!({"repository": "a/b", "requirement": ["x"]}), "unknown field `requirement`"),
            (json!({"repository": "a/b", "title": "x".repeat(1_025)}), "title is longer than 1024"),
            (json!({"repository": "a/b", "labels": vec!["x"; 101]}), "labels are more than 100"),
            (json!({"repository": "a/b", "labels": ["x".repeat(201)]}), "one of the labels is longer"),
            (json!(["a"]), "invalid"),
        ] {
            let refused = made(&body).unwrap_err();
            assert!(refused.contains(said), "{body}: {refused}");
        }
    }
}
