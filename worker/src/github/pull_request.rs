//! The pull request of a branch: found by its head, made only where none is, one a branch.

use std::time::Duration;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use shared::{
    Failure,
    config::PublishConfig,
    crash_point::CrashPoint,
    github::{Account, ApiError, PAGE_ENTRIES, Patience, Query, Repository},
};

use super::PUBLISH_PATIENCE;
use crate::run::{FenceCheck, Problem};

/// Branches of one issue that are tried; each stands for a pull request that was closed or merged.
const BRANCHES_MAX: usize = 50;

/// How long a label or a reviewer is tried to be set, each.
const ADORN_PATIENCE: Duration = Duration::from_secs(20);

/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 250;

/// The pull requests of one repository.
pub(crate) struct PullRequests<'r>(pub &'r Repository);

/// A pull request as the engine writes it.
pub(crate) struct Content {
    pub title: String,
    pub body: String,
    /// The branch that it is to be merged into.
    pub base: String,
    /// Counts where the pull request is made. One that stands never becomes a draft, and a draft becomes ready
    /// where this says so.
    pub draft: bool,
}

/// What stands for a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Nothing,
    Draft,
    Open,
}

/// A pull request that stands.
pub(crate) struct Published {
    pub number: u64,
    pub url: String,
    entry: Entry,
}

#[derive(Deserialize)]
struct Entry {
    number: u64,
    html_url: String,
    state: String,
    #[serde(default)]
    draft: bool,
    head: Head,
    #[serde(default)]
    node_id: String,
    #[serde(default)]
    labels: Vec<Label>,
    #[serde(default)]
    assignees: Vec<Account>,
    #[serde(default)]
    requested_reviewers: Vec<Account>,
    #[serde(default)]
    requested_teams: Vec<Team>,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct Team {
    slug: String,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "ref")]
    branch: String,
    /// `null` for a deleted fork.
    repo: Option<HeadRepository>,
}

#[derive(Deserialize)]
struct HeadRepository {
    full_name: String,
}

impl Entry {
    fn published(self) -> Published {
        Published { number: self.number, url: self.html_url.clone(), entry: self }
    }
}

impl PullRequests<'_> {
    /// The branch to push to: `wanted`, or one with the next number behind it where all pull requests of `wanted`
    /// were closed or merged. Those are not opened again: somebody has decided.
    pub(crate) async fn free_branch(&self, wanted: &str, base: &str) -> Result<(String, Standing), Failure> {
        let mut patience = Patience::new(PUBLISH_PATIENCE);
        let mut branch = wanted.to_owned();
        for _ in 0..BRANCHES_MAX {
            let listed = self.of_branch(&branch, "all", &mut patience).await;
            let found = listed.map_err(|error| error.into_failure("cannot look for pull requests"))?;
            let standing = match found.iter().find(|entry| entry.state == "open") {
                Some(entry) if entry.draft => Some(Standing::Draft),
                Some(_) => Some(Standing::Open),
                None => found.is_empty().then_some(Standing::Nothing),
            };
            if let Some(standing) = standing.filter(|_| branch != base) {
                return Ok((branch, standing));
            }
            branch = next_name(&branch);
        }
        Err(Failure::task(format!(
            "{BRANCHES_MAX} pull requests for this issue were closed; nothing more is published"
        )))
    }

    /// Makes the pull request of `branch` say `content`; creates it where no open one is. Whatever was lost on the
    /// way, before anything is created what is there is looked at, and the fence.
    pub(crate) async fn publish(
        &self,
        branch: &str,
        content: &Content,
        still_held: &FenceCheck,
    ) -> Result<Published, Problem> {
        let doing = format!("cannot open a pull request for {branch}");
        let mut patience = Patience::new(PUBLISH_PATIENCE);
        loop {
            let open = self.of_branch(branch, "open", &mut patience).await;
            let open = open.map_err(|error| error.into_failure(&doing))?;
            // After the look, which may have waited for minutes.
            if !still_held().await {
                return Err(Problem::LeaseLost);
            }
            CrashPoint::FenceAskedAgain.reached();
            let done = match open.first() {
                Some(entry) => self.update(entry, content).await,
                None => self.open(branch, content).await,
            };
            match done {
                Ok(entry) => return Ok(entry.published()),
                Err(error) => {
                    patience.wait_after(as_seen(error)).await.map_err(|error| error.into_failure(&doing))?;
                }
            }
        }
    }

    /// Gives it what is configured and it does not have. `Err` says what could not be done; the rest was.
    pub(crate) async fn adorn(&self, published: &Published, config: &PublishConfig) -> Result<(), String> {
        let Published { number, entry, .. } = published;
        let logins = |accounts: &[Account]| -> Vec<String> {
            accounts.iter().map(|account| account.login.clone()).collect()
        };
        let labels = lacking(&config.labels, entry.labels.iter().map(|label| label.name.clone()));
        let assignees = lacking(&config.assignees, logins(&entry.assignees));
        let (teams, people): (Vec<String>, Vec<String>) =
            config.reviewers.iter().cloned().partition(|name| name.contains('/'));
        let people = lacking(&people, logins(&entry.requested_reviewers));
        let teams: Vec<String> =
            teams.iter().filter_map(|name| Some(name.split_once('/')?.1.to_owned())).collect();
        let teams = lacking(&teams, entry.requested_teams.iter().map(|team| team.slug.clone()));
        let mut problems = Vec::new();
        for (wanted, rest, body) in [
            (!labels.is_empty(), format!("issues/{number}/labels"), json!({ "labels": labels })),
            (!assignees.is_empty(), format!("issues/{number}/assignees"), json!({ "assignees": assignees })),
            (
                !(people.is_empty() && teams.is_empty()),
                format!("pulls/{number}/requested_reviewers"),
                json!({ "reviewers": people, "team_reviewers": teams }),
            ),
        ] {
            // Repeating any of these changes nothing, so that an error that passes needs no look.
            if wanted && let Err(error) = self.repeatable(&rest, &body).await {
                problems.push(error.to_string());
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    async fn repeatable(&self, rest: &str, body: &Value) -> Result<(), ApiError> {
        let mut patience = Patience::new(ADORN_PATIENCE);
        loop {
            match self.0.create::<IgnoredAny>(rest, body).await {
                Ok(_) => return Ok(()),
                Err(error) => patience.wait_after(error).await?,
            }
        }
    }

    /// Makes a draft ready for review, which REST cannot. Repeating it changes nothing.
    pub(crate) async fn make_ready(&self, published: &Published) -> Result<(), String> {
        let variables = json!({ "id": published.entry.node_id });
        let done = self.0.graph(Query::MakeReady, &variables).await;
        done.map(drop).map_err(|error| error.to_string())
    }

    async fn open(&self, branch: &str, content: &Content) -> Result<Entry, ApiError> {
        let Content { base, draft, body, .. } = content;
        let title = title(&content.title);
        let body = json!({ "title": title, "body": body, "head": branch, "base": base, "draft": draft });
        self.0.create("pulls", &body).await
    }

    async fn update(&self, entry: &Entry, content: &Content) -> Result<Entry, ApiError> {
        let body = json!({ "title": title(&content.title), "body": content.body });
        self.0.change(&format!("pulls/{}", entry.number), &body).await
    }

    async fn of_branch(
        &self,
        branch: &str,
        state: &str,
        patience: &mut Patience,
    ) -> Result<Vec<Entry>, ApiError> {
        let head = format!("{}:{branch}", self.0.owner());
        let rest = format!("pulls?state={state}&head={head}&per_page={PAGE_ENTRIES}");
        let mut found: Vec<Entry> = self.0.read(&rest, patience).await?;
        // A filter that the server does not understand, it ignores.
        found.retain(|entry| {
            let name = self.0.name().to_string();
            let ours = |repo: &HeadRepository| repo.full_name.eq_ignore_ascii_case(&name);
            entry.head.branch == branch && entry.head.repo.as_ref().is_some_and(ours)
        });
        Ok(found)
    }
}

/// Two refusals of a new pull request pass: one is there already that the list did not show yet, and a branch just
/// pushed that is not seen yet.
fn as_seen(error: ApiError) -> ApiError {
    match error {
        ApiError::Refused { request, status: 422, message }
            if message.contains("already exists") || message.contains("\"field\":\"head\"") =>
        {
            ApiError::NoAnswer { request, detail: message }
        }
        other => other,
    }
}

/// What of `wanted` is not among `had`. GitHub's names do not differ by case.
fn lacking(wanted: &[String], had: impl IntoIterator<Item = String>) -> Vec<String> {
    let had: Vec<String> = had.into_iter().collect();
    wanted.iter().filter(|name| !had.iter().any(|had| had.eq_ignore_ascii_case(name))).cloned().collect()
}

fn title(text: &str) -> String {
    text.chars().take(TITLE_CHARS_MAX).collect()
}

/// `claude/issue-7-fix` -> `claude/issue-7-fix-2` -> `claude/issue-7-fix-3`.
fn next_name(branch: &str) -> String {
    let numbered = branch.rsplit_once('-').and_then(|(stem, number)| {
        let number: usize = number.parse().ok().filter(|number| (2..BRANCHES_MAX).contains(number))?;
        (stem != "claude/issue").then(|| format!("{stem}-{}", number + 1))
    });
    numbered.unwrap_or_else(|| format!("{branch}-2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_branch_of_an_issue_counts_on_and_never_becomes_another_issues() {
        for (branch, next) in [
            ("claude/issue-7-fix", "claude/issue-7-fix-2"),
            ("claude/issue-7-fix-2", "claude/issue-7-fix-3"),
            ("claude/issue-7", "claude/issue-7-2"),
            ("claude/issue-7-2", "claude/issue-7-3"),
        ] {
            assert_eq!(next_name(branch), next);
        }
    }
}
