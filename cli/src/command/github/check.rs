//! `github check`: each thing that has to be right, one line each.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use shared::{
    Failure, FailureClass, RepositoryName,
    config::Config,
    github::{ApiError, Own, PREPARE_PATIENCE, Patience, Rate, Repository},
};

use super::{
    found_and_mend,
    hooks::{self, Delivery, Hook},
    on_github, open,
};
use crate::{
    args::Global,
    error::CommandError,
    render,
    session::{Log, Session},
};

/// Rights that work needs: what people call each, and a request that proves it and, for what it lacks, does nothing.
const RIGHTS: [(&str, &str); 3] =
    [("Contents", "git/refs"), ("Pull requests", "pulls"), ("Issues", "issues")];

/// Of the rate limit: with less than one in so many requests left, polling pauses.
const RATE_SHARE_MIN: u64 = 10;

#[derive(Debug, Args)]
pub struct Check {
    /// The repository, as owner/name.
    #[arg(long, value_name = "OWNER/NAME", value_parser = on_github)]
    repo: RepositoryName,
    /// Where the ingester's webhooks come in; without it, every webhook of the repository is looked at.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// As a list of {name, standing, found, mend}.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Standing {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    standing: Standing,
    found: String,
    mend: Option<String>,
}

/// The report, and the worst that has happened.
struct Report {
    lines: Vec<Line>,
    failure: Option<Failure>,
}

impl Check {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let session = Session::start(global, Vec::new(), Log::OneShot)?;
        let mut report = Report { lines: Vec::new(), failure: None };
        let repository = open(session.config(), &self.repo)?;
        if self.account(&mut report, &repository).await
            && self.repository(&mut report, &repository, session.config()).await
        {
            self.rights(&mut report, &repository).await;
            self.webhook(&mut report, &repository).await;
        }
        if let Some(rate) = repository.github().rate() {
            report.rate(rate);
        }
        self.print(&report)?;
        report.failure.map_or(Ok(()), |failure| {
            let message = format!("{} is not ready", self.repo);
            Err(CommandError::GitHub(Failure { message, ..failure }))
        })
    }

    async fn account(&self, report: &mut Report, repository: &Repository) -> bool {
        const NAME: &str = "account";
        match repository.github().own(&mut patience()).await {
            Ok(Own::Login(login)) => report.ok(NAME, format!("acts as {login}")),
            Ok(Own::SomeApp) => report.warn(
                NAME,
                "an app's token, whose name GitHub does not tell",
                "set github.own_login to the app's login, name[bot]",
            ),
            Err(error) => return report.fail(NAME, error.into_failure("cannot ask whose the token is")),
        }
        true
    }

    async fn repository(&self, report: &mut Report, repository: &Repository, config: &Config) -> bool {
        const NAME: &str = "repository";
        let Some((owner, name)) = self.repo.forge() else { return false };
        match repository.github().find_repository(owner, name, config).await {
            Ok(found) if found.name() != &self.repo => {
                report.warn(NAME, format!("is called {} now", found.name()), "use its present name");
            }
            Ok(found) => report.ok(NAME, format!("{} is there, and can be pushed to", found.name())),
            Err(failure) => return report.fail(NAME, failure),
        }
        true
    }

    /// Asks for what needs each right, and says too little for anything to be made of it.
    async fn rights(&self, report: &mut Report, repository: &Repository) {
        const NAME: &str = "permissions";
        let mut lacking = Vec::new();
        for (right, place) in RIGHTS {
            match repository.create::<serde_json::Value>(place, &json!({})).await {
                Err(error) if matches!(error.status(), Some(403 | 404)) => lacking.push(right),
                Err(error) if error.status() == Some(422) || error.status() == Some(400) => {}
                Err(error) => {
                    report.fail(NAME, error.into_failure(&format!("cannot try {right}")));
                    return;
                }
                Ok(_) => {}
            }
        }
        if lacking.is_empty() {
            return report.ok(NAME, "Contents, Pull requests and Issues can be written");
        }
        let message = format!(
            "{} cannot be written; give the token or app read and write for them",
            lacking.join(" and ")
        );
        report.fail(NAME, Failure::configuration(message));
    }

    async fn webhook(&self, report: &mut Report, repository: &Repository) {
        const NAME: &str = "webhook";
        let install = format!("claude-cluster github install-webhook --repo {} --url URL", self.repo);
        let mut patience = patience();
        let mut listed = match hooks::list(repository, &mut patience).await {
            Ok(listed) => listed,
            Err(error) if matches!(error.status(), Some(403 | 404)) => {
                let mend = "to have it looked at, give the token Webhooks: read (classic: read:repo_hook)";
                return report.warn(NAME, "the token may not see webhooks", mend);
            }
            Err(error) => {
                report.fail(NAME, error.into_failure("cannot list webhooks"));
                return;
            }
        };
        let at = |url: &str| hooks::same_url(url, self.url.as_deref().unwrap_or(url));
        listed.retain(|hook| at(&hook.config.url));
        if self.url.is_none() {
            listed.retain(|hook| hook.lacking().len() < hooks::EVENTS.len());
        }
        if listed.is_empty() {
            return report.warn(
                NAME,
                "none tells of issues",
                format!("{install}; or poll (docs/webhooks.md)"),
            );
        }
        for hook in &listed {
            self.one_webhook(report, repository, hook, &install, &mut patience).await;
        }
    }

    async fn one_webhook(
        &self,
        report: &mut Report,
        repository: &Repository,
        hook: &Hook,
        install: &str,
        patience: &mut Patience,
    ) {
        const NAME: &str = "webhook";
        let url = &hook.config.url;
        let lacking = hook.lacking();
        let problem = if !hook.active {
            Some(format!("{url} is switched off"))
        } else if !lacking.is_empty() {
            Some(format!("{url} does not get {}", lacking.join(" and ")))
        } else if hook.config.content_type.as_deref() != Some("json") {
            Some(format!("{url} gets forms instead of JSON"))
        } else if hook.config.secret.is_none() {
            Some(format!("{url} has no secret, so that nothing is signed"))
        } else {
            None
        };
        match problem {
            Some(problem) => report.warn(NAME, problem, install),
            None => report.ok(NAME, format!("{url} gets {}", hooks::EVENTS.join(" and "))),
        }
        let told = hooks::deliveries(repository, hook.id, patience).await;
        report.deliveries(told);
    }

    fn print(&self, report: &Report) -> Result<(), CommandError> {
        if self.json {
            return render::json(&report.lines);
        }
        for line in &report.lines {
            let standing = match line.standing {
                Standing::Ok => "ok",
                Standing::Warn => "warn",
                Standing::Fail => "fail",
            };
            render::line(format!("{standing:<5} {:<12} {}", line.name, line.found))?;
            if let Some(mend) = &line.mend {
                render::line(format!("{:<5} {:<12} -> {mend}", "", ""))?;
            }
        }
        Ok(())
    }
}

impl Report {
    fn ok(&mut self, name: &'static str, found: impl Into<String>) {
        self.lines.push(Line { name, standing: Standing::Ok, found: found.into(), mend: None });
    }

    fn warn(&mut self, name: &'static str, found: impl Into<String>, mend: impl Into<String>) {
        let (found, mend) = (found.into(), Some(mend.into()));
        self.lines.push(Line { name, standing: Standing::Warn, found, mend });
    }

    /// Returns `false`: nothing that builds on it need be looked at. What will not pass by itself counts most.
    fn fail(&mut self, name: &'static str, failure: Failure) -> bool {
        let (found, mend) = found_and_mend(&failure);
        let (found, mend) = (found.to_owned(), Some(mend.to_owned()));
        self.lines.push(Line { name, standing: Standing::Fail, found, mend });
        if self.failure.as_ref().is_none_or(|known| known.class == FailureClass::Transient) {
            self.failure = Some(failure);
        }
        false
    }

    fn rate(&mut self, rate: Rate) {
        const NAME: &str = "rate limit";
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let minutes = Duration::from_secs(rate.reset_s).saturating_sub(now).as_secs().div_ceil(60);
        let found = format!("{} of {} requests left; all again in {minutes} min", rate.remaining, rate.limit);
        if rate.remaining < rate.limit / RATE_SHARE_MIN {
            let mend = "workers and ingesters wait until then; who else uses this token?";
            return self.warn(NAME, found, mend);
        }
        self.ok(NAME, found);
    }

    fn deliveries(&mut self, told: Result<Vec<Delivery>, ApiError>) {
        const NAME: &str = "deliveries";
        let told = match told {
            Ok(told) => told,
            Err(error) => {
                self.warn(NAME, error.to_string(), "look at the webhook's page on GitHub");
                return;
            }
        };
        let Some(latest) = told.first() else {
            return self.warn(
                NAME,
                "none in the last days",
                "open an issue, or ping it on its page on GitHub",
            );
        };
        let lost = told.iter().filter(|delivery| !delivery.was_received()).count();
        let newest = format!("the last ({}, {}): {}", latest.event, latest.delivered_at, latest.status);
        if latest.was_received() && lost == 0 {
            return self.ok(NAME, format!("{} of the last {} received; {newest}", told.len(), told.len()));
        }
        let found = format!("{lost} of the last {} not received; {newest}", told.len());
        let mend = "is the ingester reached from the internet, and does it have the same secret? GitHub sends nothing \
                    again by itself: redeliver on the webhook's page, or poll";
        if latest.was_received() {
            return self.warn(NAME, found, mend);
        }
        self.fail(NAME, Failure::configuration(format!("{}; {mend}", found.replace("; ", ", "))));
    }
}

fn patience() -> Patience {
    Patience::new(PREPARE_PATIENCE)
}
