//! What has changed in a repository since a time, for whoever polls.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::DeserializeOwned;

use super::{PAGE_ENTRIES, Patience, Repository, api::Ask, error::ApiError};

/// What one look has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes<T> {
    /// Nothing, since the answer that the etag is of. It cost nothing of the rate limit.
    NotModified,
    /// Least recently changed first.
    Found {
        entries: Vec<T>,
        /// For the next look with the same `since`. `None` where there was more than a page, whose end an etag of
        /// the first page would not tell of.
        etag: Option<String>,
        /// Whether these are all.
        complete: bool,
    },
}

impl Repository {
    /// Issues, open and closed, that were changed at `since` or later; pull requests are among them. At most `pages_max`
    /// pages are read: what is left, the next look finds, from the time of the last entry on. What changes between two
    /// pages may be missing from both.
    pub async fn changed_issues<T: DeserializeOwned>(
        &self,
        since: DateTime<Utc>,
        etag: Option<&str>,
        pages_max: usize,
        patience: &mut Patience,
    ) -> Result<Changes<T>, ApiError> {
        self.changed("issues?state=all", since, etag, pages_max, patience).await
    }

    /// Comments on any issue that were written or edited at `since` or later, as [`Repository::changed_issues`].
    pub async fn changed_comments<T: DeserializeOwned>(
        &self,
        since: DateTime<Utc>,
        etag: Option<&str>,
        pages_max: usize,
        patience: &mut Patience,
    ) -> Result<Changes<T>, ApiError> {
        self.changed("issues/comments?", since, etag, pages_max, patience).await
    }

    async fn changed<T: DeserializeOwned>(
        &self,
        what: &str,
        since: DateTime<Utc>,
        etag: Option<&str>,
        pages_max: usize,
        patience: &mut Patience,
    ) -> Result<Changes<T>, ApiError> {
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        let query = format!("sort=updated&direction=asc&since={since}&per_page={PAGE_ENTRIES}");
        let (mut entries, mut first_etag) = (Vec::new(), None);
        for page in 1..=pages_max {
            let path = self.path(&format!("{what}&{query}&page={page}").replace("?&", "?"));
            let ask = Ask { etag: etag.filter(|_| page == 1), ..Ask::get(&path) };
            let answer = self.github.get(ask, self.scope(), patience).await?;
            if answer.is_unchanged() {
                return Ok(Changes::NotModified);
            }
            let found: Vec<T> = answer.decode()?;
            let last = found.len() < PAGE_ENTRIES;
            entries.extend(found);
            if page == 1 && last {
                first_etag = answer.etag;
            }
            if last {
                return Ok(Changes::Found { entries, etag: first_etag, complete: true });
            }
        }
        Ok(Changes::Found { entries, etag: None, complete: false })
    }
}
