//! `classify`: what the classifier makes of an issue, one or many, without making a task.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use ingest::classify::{Classified, Classifier};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::{Priority, Specialty, config};

use crate::{
    args::Global,
    environment::Environment,
    error::CommandError,
    issue_file::{Issue, Json},
    render,
    session::sources,
};

/// Longest line of a JSONL file, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Args)]
pub struct Classify {
    /// The issue's title.
    #[arg(long, required_unless_present = "jsonl")]
    title: Option<String>,
    /// The issue's text.
    #[arg(long, default_value = "")]
    body: String,
    /// One of the issue's labels; may be given several times.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Issues to classify, one JSON object {title, body, labels} a line; '-' reads standard input. Prints one JSON
    /// object a line.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["title", "body", "labels"])]
    jsonl: Option<PathBuf>,
    /// Go by title and text alone.
    #[arg(long)]
    ignore_labels: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The answer as JSON.
#[derive(Serialize)]
struct Answer<'c> {
    specialty: &'c Specialty,
    secondary: Option<&'c Specialty>,
    priority: Priority,
    complexity: &'static str,
    technologies: &'c [String],
    /// Points of every specialty from title and text.
    scores: Map<String, Value>,
    reasons: &'c [String],
}

impl<'c> From<&'c Classified> for Answer<'c> {
    fn from(found: &'c Classified) -> Self {
        let rounded = |score: f32| Value::from((f64::from(score) * 100.0).round() / 100.0);
        let scores = found.scores.iter().map(|(name, score)| (name.to_string(), rounded(*score)));
        Self {
            specialty: &found.specialty,
            secondary: found.secondary.as_ref(),
            priority: found.priority,
            complexity: found.complexity.as_str(),
            technologies: &found.technologies,
            scores: scores.collect(),
            reasons: &found.reasons,
        }
    }
}

impl Classify {
    pub fn run(self, global: &Global) -> Result<(), CommandError> {
        let config = config::load(&sources(global, &Environment::capture(), Vec::new()))?.config;
        let classifier = Classifier::load(&config.classify)?;
        if let Some(path) = &self.jsonl {
            return self.many(&classifier, path);
        }
        let title = self.title.as_deref().unwrap_or_default();
        let found = self.look_at(&classifier, title, &self.body, &self.labels);
        if self.json { render::json(&Answer::from(&found)) } else { explain(&found) }
    }

    fn look_at(&self, classifier: &Classifier, title: &str, body: &str, labels: &[String]) -> Classified {
        classifier.classify(title, body, if self.ignore_labels { &[] } else { labels })
    }

    /// An answer for each line, in order; the first line that is no issue ends the command and is named.
    fn many(&self, classifier: &Classifier, path: &Path) -> Result<(), CommandError> {
        let refuse = |problem: String| CommandError::Usage(format!("{}: {problem}", path.display()));
        let source: Box<dyn Read> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).map_err(|error| refuse(error.to_string()))?)
        };
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let mut bounded = source.by_ref().take(LINE_BYTES_MAX + 1);
            let read = bounded.read_until(b'\n', &mut line).map_err(|error| refuse(error.to_string()))?;
            if read == 0 {
                break;
            }
            if read as u64 > LINE_BYTES_MAX {
                return Err(refuse(format!("line {number} is longer than {LINE_BYTES_MAX} bytes")));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let issue: Json = serde_json::from_slice(&line)
                .map_err(|error| refuse(format!("line {number} is not the JSON of an issue: {error}")))?;
            let issue = Issue::from(issue);
            let found = self.look_at(classifier, &issue.title, &issue.body, &issue.labels);
            render::json_line(&Answer::from(&found))?;
        }
        Ok(())
    }
}

fn explain(found: &Classified) -> Result<(), CommandError> {
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let scores = found.scores.iter().map(|(name, score)| format!("{name} {score:.1}"));
    let secondary = found.secondary.as_ref().map_or_else(String::new, Specialty::to_string);
    for (name, value) in [
        ("specialty", found.specialty.to_string()),
        ("secondary", or_none(secondary)),
        ("priority", found.priority.to_string()),
        ("complexity", found.complexity.as_str().to_owned()),
        ("technologies", or_none(found.technologies.join(", "))),
        ("scores", scores.collect::<Vec<_>>().join(", ")),
    ] {
        render::line(format!("{name:<13} {value}"))?;
    }
    render::line(if found.reasons.is_empty() { "reasons       none" } else { "reasons" })?;
    for reason in &found.reasons {
        render::line(format!("  {reason}"))?;
    }
    Ok(())
}
