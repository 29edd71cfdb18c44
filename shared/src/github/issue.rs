//! One issue, read now.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, de::IgnoredAny};

use super::{Account, GitHub, PREPARE_PATIENCE, api::Ask, patience::Patience};
use crate::{
    Failure,
    config::Config,
    hidden_text::{strip_line, strip_to},
    task::{BODY_BYTES_MAX, TITLE_BYTES_MAX, cut},
};

/// Labels that are kept, and bytes of each. GitHub allows 100 an issue, of 50 characters.
const LABELS_MAX: usize = 100;
const LABEL_BYTES_MAX: usize = 200;

/// An issue as it was at one moment, without what a reader of its page does not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueSnapshot {
    /// `owner/name`, as GitHub calls it today.
    pub repository: String,
    pub number: u64,
    pub title: String,
    /// Untrusted text, at most [`BODY_BYTES_MAX`].
    pub body: String,
    pub labels: Vec<String>,
    /// `None` once the account is deleted.
    pub author: Option<String>,
    pub is_open: bool,
    /// The page to look at.
    pub url: String,
    /// When it was read, by GitHub's clock, in ms since the Unix epoch: a task's `triggered_at_ms`.
    pub as_of_ms: u64,
}

#[derive(Deserialize)]
struct Entry {
    title: String,
    body: Option<String>,
    labels: Option<Vec<Label>>,
    user: Option<Account>,
    state: Option<String>,
    html_url: String,
    pull_request: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Label {
    Name(String),
    Object { name: String },
}

/// Reads issue `number` of `owner/name` with the configured token, for somebody who asks for its task by hand: whose
/// text it is, is theirs to judge.
///
/// # Errors
/// Configuration: no token, a token that is refused, no such repository or issue, a pull request's number, a
/// repository that is not allowed here. Transient: GitHub did not answer within a minute.
pub async fn read_issue(
    config: &Config,
    owner: &str,
    name: &str,
    number: u64,
) -> Result<IssueSnapshot, Failure> {
    let asked =
        format!("{owner}/{name}").parse().map_err(|error| Failure::configuration(format!("{error}")))?;
    config.repository_entry(&asked).map_err(|error| Failure::configuration(error.to_string()))?;
    let github = GitHub::open(&config.github)?.ok_or_else(|| GitHub::missing(&asked))?;
    let repository = github.find_repository(owner, name, config).await?;
    let doing = format!("cannot read issue #{number} of {}", repository.name());
    let mut patience = Patience::new(PREPARE_PATIENCE);
    let answer = github
        .get(Ask::get(&repository.path(&format!("issues/{number}"))), repository.scope(), &mut patience)
        .await;
    let answer = answer.map_err(|error| error.into_failure(&doing))?;
    let entry: Entry = answer.decode().map_err(|error| error.into_failure(&doing))?;
    if entry.pull_request.is_some() {
        return Err(Failure::configuration(format!("{doing}: it is a pull request; name an issue")));
    }
    let labels = entry.labels.into_iter().flatten().take(LABELS_MAX).map(|label| match label {
        Label::Name(name) | Label::Object { name } => strip_line(cut(&name, LABEL_BYTES_MAX)),
    });
    let mut title = strip_line(cut(&entry.title, TITLE_BYTES_MAX));
    if title.is_empty() {
        title = format!("Issue #{number}");
    }
    Ok(IssueSnapshot {
        number,
        title,
        body: strip_to(entry.body.as_deref().unwrap_or_default(), BODY_BYTES_MAX),
        labels: labels.filter(|label| !label.is_empty()).collect(),
        author: entry.user.map(|author| author.login),
        is_open: entry.state.as_deref() != Some("closed"),
        url: entry.html_url,
        as_of_ms: answer.date_s.and_then(|s| u64::try_from(s).ok()).map_or_else(now_ms, |s| s * 1_000),
        repository: repository.name().to_string(),
    })
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
