//! `github`: how a repository stands, and the webhook that it needs.

mod check;
mod hooks;
mod install_webhook;

use clap::{Args, Subcommand};
use shared::{
    Failure, RepositoryName,
    config::Config,
    github::{GitHub, Repository},
};

use self::{check::Check, install_webhook::InstallWebhook};
use crate::{args::Global, error::CommandError};

#[derive(Debug, Args)]
pub struct GithubCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check that the token or app works for a repository, and that its webhooks arrive.
    Check(Check),
    /// Make or update the webhook of a repository that tells the ingester of its issues.
    InstallWebhook(InstallWebhook),
}

impl GithubCommand {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        match self.action {
            Action::Check(command) => command.run(global).await,
            Action::InstallWebhook(command) => command.run(global).await,
        }
    }
}

/// `owner/name` on the command line.
fn on_github(text: &str) -> Result<RepositoryName, String> {
    let name: RepositoryName =
        text.parse().map_err(|error: shared::repository::InvalidRepository| error.to_string())?;
    match name.forge() {
        Some(_) => Ok(name),
        None => Err("is not on GitHub: give it as owner/name".to_owned()),
    }
}

/// The repository as the configured credentials see it; nothing is asked yet.
fn open(config: &Config, name: &RepositoryName) -> Result<Repository, CommandError> {
    let github = GitHub::open_to_set_up(&config.github).map_err(CommandError::GitHub)?;
    let repository = github.and_then(|github| github.repository(name));
    repository.ok_or_else(|| CommandError::GitHub(GitHub::missing(name)))
}

/// Cuts what a failure found from what to do about it.
fn found_and_mend(failure: &Failure) -> (&str, &str) {
    failure.message.split_once("; ").unwrap_or((&failure.message, "see docs/github.md"))
}
