//! A task that comes from the command line.

use std::path::{Path, PathBuf};

use clap::Args;
use ingest::classify::Classifier;
use shared::{Priority, RepositoryName, TaskId, TaskSpec, config::Config, task::Trigger};

use crate::{
    command::{task_id, worker::unknown},
    error::CommandError,
    issue_file::{self, Issue},
};

/// What `workflow` and `create-task` make a task of.
#[derive(Debug, Args)]
pub struct TaskArgs {
    /// owner/name, a path, or a git URL.
    #[arg(long, value_name = "REPO", value_parser = repository)]
    pub repo: RepositoryName,
    /// The issue: Markdown whose first line is the title, or JSON {title, body, labels, number}; '-' reads it from
    /// standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "issue", conflicts_with = "issue")]
    issue_file: Option<PathBuf>,
    /// The number of an issue on GitHub, read there as it is now; needs GITHUB_TOKEN.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    issue: Option<u64>,
    /// Replaces the issue's title.
    #[arg(long)]
    title: Option<String>,
    /// backend, frontend, testing, devops, general, one of your own, or an alias. Default: what labels and text say.
    #[arg(long, value_name = "NAME")]
    specialty: Option<String>,
    /// high, medium or low. Default: what labels and text say.
    #[arg(long)]
    priority: Option<Priority>,
    /// An id of your own; a second task with the same id is refused.
    #[arg(long, value_name = "ID", value_parser = task_id)]
    task_id: Option<TaskId>,
}

impl TaskArgs {
    pub async fn spec(&self, config: &Config) -> Result<TaskSpec, CommandError> {
        config.repository_entry(&self.repo).map_err(|error| CommandError::Setting(error.to_string()))?;
        let issue = self.issue(config).await?;
        let classifier = Classifier::load(&config.classify)?;
        let found = classifier.classify(&issue.title, &issue.body, &issue.labels);
        let specialty = match &self.specialty {
            Some(name) => classifier.resolve_alias(name).ok_or_else(|| unknown(&classifier, name))?,
            None => found.specialty.clone(),
        };
        let id = self.task_id.clone().unwrap_or_else(TaskId::generate);
        let base = TaskSpec::new(id, self.repo.clone(), &issue.title);
        Ok(TaskSpec {
            issue: issue.number,
            body: issue.body,
            labels: issue.labels,
            author: issue.author,
            triggered_at_ms: issue.as_of_ms,
            trigger: Trigger::Manual,
            specialty,
            priority: self.priority.unwrap_or(found.priority),
            classification: found.classification(),
            ..base
        })
    }
}

impl TaskArgs {
    async fn issue(&self, config: &Config) -> Result<Issue, CommandError> {
        let title = self.title.as_deref();
        let Some(number) = self.issue else {
            let path = self.issue_file.as_deref().unwrap_or(Path::new("-"));
            return issue_file::read(path, title);
        };
        let Some((owner, name)) = self.repo.forge() else {
            return Err(CommandError::Usage(format!(
                "--issue names an issue on GitHub, and {} is not owner/name; give its text with --issue-file",
                self.repo
            )));
        };
        let read =
            shared::github::read_issue(config, owner, name, number).await.map_err(CommandError::GitHub)?;
        Ok(Issue {
            title: title.map_or(read.title, str::to_owned),
            body: read.body,
            labels: read.labels,
            number: Some(read.number),
            author: read.author,
            as_of_ms: Some(read.as_of_ms),
        })
    }
}

/// A repository as a person types it: a relative path is one that begins with a dot.
fn repository(text: &str) -> Result<RepositoryName, String> {
    let path = Path::new(text);
    if text == "."
        || text == ".."
        || text.starts_with("./")
        || text.starts_with("../")
        || text.starts_with('/')
    {
        let path = path.canonicalize().map_err(|error| format!("{text}: {error}"))?;
        let path = path.to_str().ok_or_else(|| format!("{text}: the path is not UTF-8"))?;
        return path.parse().map_err(|error: shared::repository::InvalidRepository| error.to_string());
    }
    let refused = |error: shared::repository::InvalidRepository| {
        let advice =
            if path.is_dir() { format!("; for the directory write ./{text}") } else { String::new() };
        format!("{error}{advice}")
    };
    text.parse().map_err(refused)
}
