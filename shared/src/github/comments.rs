//! The comments on one issue.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{Account, PAGE_ENTRIES, Patience, Repository, error::ApiError};

/// Pages that are read; an issue with more is a forum.
const PAGES_MAX: usize = 20;

/// A comment as the API has it.
#[derive(Clone, Debug, Deserialize)]
pub struct CommentEntry {
    pub id: u64,
    pub body: Option<String>,
    pub user: Option<Account>,
    pub author_association: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The comments of one issue, oldest first.
pub struct CommentListing {
    pub entries: Vec<CommentEntry>,
    /// Whether these are all.
    pub complete: bool,
}

impl Repository {
    pub async fn comments(&self, issue: u64, patience: &mut Patience) -> Result<CommentListing, ApiError> {
        let mut entries = Vec::new();
        for page in 1..=PAGES_MAX {
            let rest = format!("issues/{issue}/comments?per_page={PAGE_ENTRIES}&page={page}");
            let found: Vec<CommentEntry> = self.read(&rest, patience).await?;
            let last = found.len() < PAGE_ENTRIES;
            entries.extend(found);
            if last {
                return Ok(CommentListing { entries, complete: true });
            }
        }
        Ok(CommentListing { entries, complete: false })
    }
}
