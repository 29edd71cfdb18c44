//! The classifier as its users meet it: on issues, labels, and terms of their own.
#![cfg(test)]

use std::{collections::BTreeMap, fmt::Write, fs, path::Path, time::Instant};

use ingest::classify::{Classified, Classifier, Complexity};
use serde::Deserialize;
use shared::{
    Priority,
    config::{ClassifyConfig, Config},
};

/// Least share of a fixture's issues that must be put where a person put them, by their text alone.
const ACCURACY_MIN: f64 = 0.9;

fn classifier() -> Classifier {
    Classifier::load(&Config::defaults().unwrap().classify).unwrap()
}

fn with_file(path: &Path) -> ClassifyConfig {
    ClassifyConfig { terms_file: path.to_owned(), ..Config::defaults().unwrap().classify }
}

fn with_terms(text: &str) -> Result<Classifier, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let loaded = Classifier::load(&with_file(file.path()));
    loaded.map_err(|error| {
        let message = error.to_string();
        assert!(message.contains(&*file.path().to_string_lossy()), "the file is named: {message}");
        message
    })
}

fn labelled(labels: &[&str]) -> Classified {
    let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
    classifier().classify("Something is wrong", "", &labels)
}

/// Issues as people label them, short ones of everyday projects, and two sets that were labelled before any term was
/// chosen by them: varied ones, and such as hardly name what they are about. Run with `--nocapture` for the report.
#[test]
fn issues_go_where_a_person_put_them() {
    for (name, issues) in [
        ("issues.jsonl", include_str!("classification/issues.jsonl")),
        ("more.jsonl", include_str!("classification/more.jsonl")),
        ("fresh.jsonl", include_str!("classification/fresh.jsonl")),
        ("hard.jsonl", include_str!("classification/hard.jsonl")),
    ] {
        let (accuracy, report) = evaluate(issues);
        println!("{name}: {:.1} % by text alone\n{report}", accuracy * 100.0);
        assert!(accuracy >= ACCURACY_MIN, "{name}: {accuracy}\n{report}");
    }
}

/// The share that is right, and who is taken for what: a row for what an issue is, a column for what was found.
fn evaluate(issues: &str) -> (f64, String) {
    #[derive(Deserialize)]
    struct Issue {
        specialty: String,
        title: String,
        body: String,
    }
    let classifier = classifier();
    let mut confusion: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut wrong = String::new();
    for line in issues.lines() {
        let issue: Issue = serde_json::from_str(line).unwrap();
        let found = classifier.classify(&issue.title, &issue.body, &[]).specialty.to_string();
        if found != issue.specialty {
            wrong.extend([issue.specialty.as_str(), " -> ", &found, ": ", &issue.title, "\n"]);
        }
        *confusion.entry((issue.specialty, found)).or_default() += 1;
    }
    let names: Vec<String> = classifier.specialties().iter().map(ToString::to_string).collect();
    let mut report = format!("{:>10}", "is\\found");
    for name in &names {
        write!(report, "{name:>10}").unwrap();
    }
    for is in &names {
        write!(report, "\n{is:>10}").unwrap();
        for found in &names {
            let count = confusion.get(&(is.clone(), found.clone())).copied().unwrap_or(0);
            write!(report, "{count:>10}").unwrap();
        }
    }
    let right: u32 = confusion.iter().filter(|((is, found), _)| is == found).map(|(_, count)| count).sum();
    let all: u32 = confusion.values().sum();
    (f64::from(right) / f64::from(all), format!("{report}\n{wrong}"))
}

#[test]
fn labels_decide_against_the_text_in_all_their_forms() {
    let text = "React button has the wrong colour in the dark theme";
    for label in
        ["backend", "Backend", "area/backend", "area: api", "type:server", "A-database", "🔧 backend"]
    {
        let found = classifier().classify(text, "", &[label.to_owned()]);
        assert_eq!(found.specialty.as_str(), "backend", "{label}");
        assert_eq!(
            found.secondary.unwrap().as_str(),
            "frontend",
            "the text still counts for the second place"
        );
        assert_eq!(found.reasons[0], format!("label {label}"));
    }
    assert_eq!(classifier().classify(text, "", &["enhancement".to_owned()]).specialty.as_str(), "frontend");
}

#[test]
fn the_lead_is_told_where_the_text_decides_and_not_where_a_label_does() {
    let lead = |title, labels: &[String]| classifier().classify(title, "", labels).margin;
    assert!(lead("Docker image of the Helm chart", &[]).unwrap() > 5.0);
    assert_eq!(lead("It does not work", &[]), Some(0.0));
    assert_eq!(lead("It does not work", &["backend".to_owned()]), None);
}

#[test]
fn between_two_labels_the_text_decides() {
    let labels = ["backend".to_owned(), "tests".to_owned()];
    let found = classifier().classify("Add unit tests for the invoice endpoint", "", &labels);
    assert_eq!((found.specialty.as_str(), found.secondary.unwrap().as_str()), ("testing", "backend"));
}

#[test]
fn what_a_title_wants_tested_or_described_says_less_than_that_it_wants_it() {
    for (title, specialty) in [
        ("Tests for the REST endpoint and its database queries", "testing"),
        ("README: the React button and its CSS", "general"),
        ("The REST endpoint and its database queries", "backend"),
    ] {
        assert_eq!(classifier().classify(title, "", &[]).specialty.as_str(), specialty, "{title}");
    }
    let terms = "[[specialty.testing.terms]]\nweight = 2.5\nwords = [\"test\"]\n";
    let text = "Test server and database";
    let (governed, bare) = (classifier(), with_terms(terms).unwrap());
    assert_eq!(governed.classify(text, "", &[]).specialty.as_str(), "testing");
    assert_eq!(bare.classify(text, "", &[]).specialty.as_str(), "backend", "given again, it does not govern");
}

#[test]
fn where_nothing_or_too_little_is_said_general_is_the_answer() {
    for (title, body) in [("", ""), ("Question", "Why?"), ("It does not work", "Please help."), ("🤷", "…")]
    {
        let found = classifier().classify(title, body, &[]);
        assert_eq!((found.specialty.as_str(), found.secondary), ("general", None), "{title}");
    }
}

#[test]
fn priority_comes_from_labels_and_from_the_title_alone() {
    for label in
        ["priority: high", "Priority/Critical", "P0", "p1", "urgent", "緊急", "優先度: 高", "prio:high"]
    {
        assert_eq!(labelled(&[label]).priority, Priority::High, "{label}");
    }
    for label in ["priority: low", "P3", "Priority: Minor", "優先度: 低", "nice to have"] {
        assert_eq!(labelled(&[label]).priority, Priority::Low, "{label}");
    }
    assert_eq!(labelled(&["priority: medium", "bug", "highlight"]).priority, Priority::Medium);
    assert_eq!(labelled(&["low", "P0"]).priority, Priority::High, "the more urgent of two");
    assert_eq!(classifier().classify("[URGENT] login is down", "", &[]).priority, Priority::High);
    assert_eq!(classifier().classify("【緊急】ログインできない", "", &[]).priority, Priority::High);
    assert_eq!(classifier().classify("Login is down", "this is urgent", &[]).priority, Priority::Medium);
    let label_wins = classifier().classify("urgent: typo", "", &["P4".to_owned()]);
    assert_eq!(label_wins.priority, Priority::Low);
}

#[test]
fn technologies_and_complexity_are_told() {
    let body = "We use FastAPI with PostgreSQL; the React client calls it. Python 3.12.";
    let found = classifier().classify("Implement JWT-based auth", body, &[]);
    for technology in ["jwt", "fastapi", "postgresql", "react", "python"] {
        assert!(found.technologies.iter().any(|known| known == technology), "{technology}: {found:?}");
    }
    assert_eq!(classifier().classify("Fix typo in README", "", &[]).complexity, Complexity::Low);
    assert_eq!(labelled(&["good first issue"]).complexity, Complexity::Low);
    assert_eq!(labelled(&["size: XL"]).complexity, Complexity::High);
    let long = "We migrate the whole storage layer. ".repeat(200);
    assert_eq!(classifier().classify("Rewrite the storage layer", &long, &[]).complexity, Complexity::High);
}

#[test]
fn every_alias_of_the_customary_lists_is_known() {
    let classifier = classifier();
    for (specialty, aliases) in [
        ("backend", ["backend", "api", "database", "server", "API"]),
        ("frontend", ["ui", "react", "javascript", "typescript", "Frontend"]),
        ("testing", ["qa", "pytest", "jest", "e2e", " testing "]),
        ("devops", ["docker", "ci", "cd", "infrastructure", "ＣＩ"]),
    ] {
        for alias in aliases {
            assert_eq!(classifier.resolve_alias(alias).unwrap().as_str(), specialty, "{alias}");
        }
    }
    assert_eq!(classifier.resolve_alias("all"), None, "'all' is no specialty");
    assert_eq!(classifier.resolve_alias("accounting"), None);
}

#[test]
fn a_file_of_ones_own_adds_specialties_terms_and_aliases_and_changes_weights() {
    let classifier = with_terms(
        r#"
        [specialty.data-science]
        aliases = ["ml", "機械学習"]
        [[specialty.data-science.terms]]
        weight = 5
        words = ["training run", "embedding", "学習データ"]

        [[specialty.backend.terms]]
        weight = 0
        words = ["webhook"]

        [technology]
        pytorch = ["torch", "pytorch"]
        "#,
    )
    .unwrap();
    assert!(classifier.specialties().iter().any(|specialty| specialty.as_str() == "data-science"));
    assert_eq!(classifier.resolve_alias("機械学習").unwrap().as_str(), "data-science");
    let found = classifier.classify("Training runs lose their embeddings", "torch 2.4", &[]);
    assert_eq!(found.specialty.as_str(), "data-science");
    assert_eq!(found.technologies, ["pytorch"]);
    assert_eq!(classifier.classify("学習データを作り直す", "", &[]).specialty.as_str(), "data-science");
    assert_eq!(classifier.classify("webhook", "", &[]).specialty.as_str(), "general", "its weight is 0 now");
}

#[test]
fn mistakes_in_such_a_file_are_named_by_their_key() {
    for (text, key) in [
        ("[specialty.Data]\n", "specialty.Data"),
        ("[specialty.backend]\nalias = [\"x\"]\n", "alias"),
        ("[specialty.backend]\naliases = [\"all\"]\n", "specialty.backend.aliases"),
        ("[[specialty.backend.terms]]\nweight = 1e9\nwords = [\"x\"]\n", "specialty.backend.terms"),
        ("[[specialty.backend.terms]]\nweight = nan\nwords = [\"x\"]\n", "specialty.backend.terms"),
        ("[[specialty.backend.terms]]\nweight = 1\nwords = [\"a b c d e\"]\n", "a b c d e"),
        ("[technology]\nx = [\"--\"]\n", "technology.x"),
        ("[priority.urgent]\n", "urgent"),
        ("[decision]\nmargin = -1\n", "decision.margin"),
        ("[decision]\ngoverned_factor = 101\n", "decision.governed_factor"),
        ("specialty = 1\n", "specialty"),
        ("[[[", "line 1"),
    ] {
        let message = with_terms(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
        assert!(message.contains(key), "{key}: {message}");
    }
    let missing = Classifier::load(&with_file(Path::new("/nonexistent/terms.toml")));
    assert!(missing.unwrap_err().to_string().contains("/nonexistent/terms.toml"));
}

#[test]
fn what_is_kept_has_its_limits_and_huge_texts_cost_little() {
    let classifier = classifier();
    let words = "docker api react テスト pytest サーバー button kubernetes ﷺ ".repeat(100_000);
    let labels = vec!["area/backend ".repeat(10_000); 1_000];
    let began = Instant::now();
    let found = classifier.classify(&words, &words, &labels);
    // Unbounded work would take minutes here.
    assert!(began.elapsed().as_secs() < 5);
    assert!(found.technologies.len() <= 8 && found.reasons.len() <= 12);
    assert!(found.reasons.iter().map(String::len).sum::<usize>() < 10_000);
}
