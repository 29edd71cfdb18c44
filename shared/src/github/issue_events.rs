//! What has happened to one issue, and who did it.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::{Account, PAGE_ENTRIES, Patience, Query, Repository, error::ApiError};

/// Pages that are read; an issue with more has a life of its own.
const PAGES_MAX: usize = 10;

/// An entry of an issue's history.
#[derive(Clone, Debug, Deserialize)]
pub struct IssueEventEntry {
    pub id: u64,
    /// `labeled`, `unlabeled`, `closed`, `reopened`, `renamed` ...
    pub event: String,
    /// `None` once the account is deleted.
    pub actor: Option<Account>,
    pub created_at: DateTime<Utc>,
    /// Of `labeled` and `unlabeled`.
    pub label: Option<EventLabel>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct EventLabel {
    pub name: String,
}

impl Repository {
    /// The history of an issue, oldest first. `None`: it is too long to be read to its end.
    pub async fn issue_events(
        &self,
        issue: u64,
        patience: &mut Patience,
    ) -> Result<Option<Vec<IssueEventEntry>>, ApiError> {
        let mut entries = Vec::new();
        for page in 1..=PAGES_MAX {
            let rest = format!("issues/{issue}/events?per_page={PAGE_ENTRIES}&page={page}");
            let found: Vec<IssueEventEntry> = self.read(&rest, patience).await?;
            let last = found.len() < PAGE_ENTRIES;
            entries.extend(found);
            if last {
                return Ok(Some(entries));
            }
        }
        Ok(None)
    }

    /// When the text of an issue was last edited; `None`: never. REST does not tell.
    pub async fn issue_last_edit(&self, issue: u64) -> Result<Option<DateTime<Utc>>, ApiError> {
        let (owner, name) = self.name().forge().unwrap_or_default();
        let answer =
            self.graph(Query::LastEdit, &json!({"owner": owner, "name": name, "number": issue})).await?;
        let issue = &answer["data"]["repository"]["issue"];
        let unreadable = |detail: &str| ApiError::Unreadable {
            request: "POST /graphql".to_owned(),
            detail: detail.to_owned(),
        };
        if !issue.is_object() {
            return Err(unreadable("it has no issue"));
        }
        match issue["lastEditedAt"].as_str() {
            None => Ok(None),
            Some(time) => time.parse().map(Some).map_err(|_| unreadable("lastEditedAt is no time")),
        }
    }
}
