//! `github install-webhook`: one webhook at one URL, however often it is asked for.

use std::time::{Duration, Instant};

use clap::Args;
use ingest::webhook_secret;
use secrecy::ExposeSecret;
use serde_json::Value;
use shared::{
    RepositoryName,
    github::{ApiError, PREPARE_PATIENCE, Patience, Repository},
};

use super::{
    hooks::{self, Delivery, Hook},
    on_github, open,
};
use crate::{
    args::Global,
    error::CommandError,
    render,
    session::{Log, Session},
};

/// How long the answer to the ping is waited for.
const PING_MAX: Duration = Duration::from_secs(10);

const PING_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(after_help = "\
Example: claude-cluster github install-webhook --repo acme/app --url https://cluster.example.org/webhook/github

The secret is github.webhook_secret, else the one that the ingester of this machine has made.")]
pub struct InstallWebhook {
    /// The repository, as owner/name.
    #[arg(long, value_name = "OWNER/NAME", value_parser = on_github)]
    repo: RepositoryName,
    /// Where GitHub reaches the ingester: its address with /webhook/github at the end.
    #[arg(long, value_name = "URL", value_parser = http_url)]
    url: String,
}

impl InstallWebhook {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let session = Session::start(global, Vec::new(), Log::OneShot)?;
        let repository = open(session.config(), &self.repo)?;
        let secret = webhook_secret(session.config(), &session.state_dir)?;
        let doing = format!("cannot set up the webhook of {}", self.repo);
        let failed = |error: ApiError| CommandError::GitHub(explained(error).into_failure(&doing));
        let mut patience = Patience::new(PREPARE_PATIENCE);
        let wanted = hooks::wanted(&self.url, secret.expose_secret());
        let (hook, done) = self.ensure(&repository, &wanted, &mut patience).await.map_err(failed)?;
        render::line(format!("webhook {}: {done}, {} to {}", hook, hooks::EVENTS.join(" and "), self.url))?;
        let before = hooks::deliveries(&repository, hook, &mut patience).await.map_err(failed)?;
        repository.order(&format!("hooks/{hook}/pings")).await.map_err(failed)?;
        match answer_to_ping(&repository, hook, before.len()).await.map_err(failed)? {
            Some(ping) if ping.was_received() => render::line("ping: the ingester has answered"),
            Some(ping) => Err(CommandError::Setting(format!(
                "the webhook is there, and its ping was not received ({}): is the ingester running with this secret, \
                 and is {} reached from the internet?",
                ping.status, self.url
            ))),
            None => render::line(format!(
                "ping: GitHub has not told of it within {} s; `claude-cluster github check --repo {}` shows it later",
                PING_MAX.as_secs(),
                self.repo
            )),
        }
    }

    /// Updates the webhook at the URL, else makes it: its id, and which of the two. Looks before each try.
    async fn ensure(
        &self,
        repository: &Repository,
        wanted: &Value,
        patience: &mut Patience,
    ) -> Result<(u64, &'static str), ApiError> {
        loop {
            let listed = hooks::list(repository, patience).await?;
            let mut at_url = listed.into_iter().filter(|hook| hooks::same_url(&hook.config.url, &self.url));
            let first = at_url.next();
            for twin in at_url {
                repository.remove(&format!("hooks/{}", twin.id)).await?;
            }
            let written: Result<Hook, ApiError> = if let Some(hook) = &first {
                repository.change(&format!("hooks/{}", hook.id), wanted).await
            } else {
                let mut wanted = wanted.clone();
                wanted["name"] = "web".into();
                repository.create("hooks", &wanted).await
            };
            match written {
                Ok(hook) => return Ok((hook.id, if first.is_some() { "updated" } else { "made" })),
                Err(error) => patience.wait_after(error).await?,
            }
        }
    }
}

/// The delivery that was not there before; `None` where GitHub does not tell of it in time.
async fn answer_to_ping(
    repository: &Repository,
    hook: u64,
    before: usize,
) -> Result<Option<Delivery>, ApiError> {
    let began = Instant::now();
    loop {
        let told = hooks::deliveries(repository, hook, &mut Patience::new(PING_MAX)).await?;
        let is_new = told.len() > before || before >= hooks::DELIVERIES_MAX;
        if let Some(ping) = told.into_iter().next().filter(|latest| is_new && latest.event == "ping") {
            return Ok(Some(ping));
        }
        if began.elapsed() > PING_MAX {
            return Ok(None);
        }
        tokio::time::sleep(PING_PAUSE).await;
    }
}

/// GitHub hides a repository's webhooks from whoever may not see them.
fn explained(error: ApiError) -> ApiError {
    match error {
        ApiError::Refused { status: 403 | 404, .. } => ApiError::Unusable(format!(
            "{error}; it needs the administration of the repository, and of the token Webhooks: read and write \
             (classic: admin:repo_hook)"
        )),
        other => other,
    }
}

fn http_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = text.bytes().all(|b| b.is_ascii_graphic());
    match rest {
        Some(rest) if plain && !rest.is_empty() && !rest.starts_with('/') => Ok(text.to_owned()),
        _ => Err("must be an https:// or http:// URL".to_owned()),
    }
}
