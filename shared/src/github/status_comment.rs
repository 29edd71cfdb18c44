//! The one comment on an issue that says how its task stands.

use std::{future::Future, time::Duration};

use serde::Deserialize;
use serde_json::json;
use tokio::{sync::Mutex, time::timeout};

use super::{
    Patience, Repository,
    comments::{CommentEntry, CommentListing},
    error::ApiError,
};

/// Found again by this, whoever wrote it. A reader of the page does not see it.
pub const MARKER: &str = "<!-- claude-cluster:status -->";

/// How long anybody waits to write a status, which is never worth more.
const PATIENCE: Duration = Duration::from_secs(20);

/// The status comment of one issue: made at the first word, edited in place after that, by all who serve the issue.
pub struct StatusComment {
    repository: Repository,
    issue: u64,
    place: Mutex<Place>,
}

/// What is known of the comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To be looked for: nobody has, or an answer was lost.
    Unsure,
    Absent,
    At(u64),
    /// The issue has more comments than are read: it may be there, so none is made.
    Unknowable,
}

/// Why a comment does not say what it was to say.
#[derive(Debug, thiserror::Error)]
pub enum Unsaid {
    #[error("it is another's to say")]
    NotOurs,
    #[error("the issue has too many comments to look through")]
    TooManyComments,
    #[error("GitHub took longer than {} s", PATIENCE.as_secs())]
    TooSlow,
    #[error(transparent)]
    Refused(#[from] ApiError),
}

impl Unsaid {
    /// Whether it may be said later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NotOurs | Self::TooSlow => true,
            Self::TooManyComments => false,
            Self::Refused(error) => error.is_passing(),
        }
    }
}

/// What a look has found.
struct Found {
    place: Place,
    /// What stands there.
    body: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    id: u64,
}

impl StatusComment {
    /// The comment of `issue`, which is looked for when something is to be said.
    pub fn of(repository: &Repository, issue: u64) -> Self {
        Self { repository: repository.clone(), issue, place: Mutex::new(Place::Unsure) }
    }

    /// The same, with the issue's comments at hand.
    pub async fn among(
        listing: &CommentListing,
        repository: &Repository,
        issue: u64,
        patience: &mut Patience,
    ) -> Result<Self, ApiError> {
        let comment = Self::of(repository, issue);
        let found = comment.find_in(listing, patience).await?;
        Ok(Self { place: Mutex::new(found.place), ..comment })
    }

    /// Makes the comment say `text`, if `may_write` says yes right before each write.
    pub async fn say<C, F>(&self, text: &str, may_write: C) -> Result<(), Unsaid>
    where
        C: Fn() -> F,
        F: Future<Output = bool>,
    {
        let said = timeout(PATIENCE, self.try_say(text, may_write)).await;
        said.unwrap_or(Err(Unsaid::TooSlow))
    }

    /// What the comment says, once a second one is gone that somebody who slept may have left.
    pub async fn tidy(&self) -> Result<Option<String>, Unsaid> {
        let mut place = self.place.lock().await;
        let look = async { self.look(&mut Patience::new(PATIENCE)).await };
        let found = timeout(PATIENCE, look).await.map_err(|_| Unsaid::TooSlow)??;
        *place = found.place;
        let said = found.body.as_deref().and_then(|body| body.strip_prefix(MARKER));
        Ok(said.map(|said| said.trim_start_matches('\n').to_owned()))
    }

    async fn try_say<C, F>(&self, text: &str, may_write: C) -> Result<(), Unsaid>
    where
        C: Fn() -> F,
        F: Future<Output = bool>,
    {
        let mut patience = Patience::new(PATIENCE);
        let text = format!("{MARKER}\n{text}");
        // Set to unsure before every write: this future may be dropped at any wait, with the write under way.
        let mut place = self.place.lock().await;
        let mut made = None;
        loop {
            if *place == Place::Unsure {
                let found = self.look(&mut patience).await?;
                *place = found.place;
                if found.body.as_ref() == Some(&text) {
                    return Ok(());
                }
            }
            if made.is_some_and(|id| *place == Place::At(id)) {
                return Ok(());
            }
            if !may_write().await {
                return Err(Unsaid::NotOurs);
            }
            let before = std::mem::replace(&mut *place, Place::Unsure);
            match self.write(before, &text).await {
                // Somebody may have made one at the same moment: whoever looks last sees both, and keeps the first.
                Ok(Some(id)) if before == Place::Absent => made = Some(id),
                Ok(Some(id)) => {
                    *place = Place::At(id);
                    return Ok(());
                }
                Ok(None) => {
                    *place = before;
                    return Err(Unsaid::TooManyComments);
                }
                Err(error) => {
                    let error = gone_meanwhile(error, before);
                    patience.wait_after(error).await?;
                }
            }
        }
    }

    /// Writes in one try and returns the comment's id; `None` where it cannot be known what is there.
    async fn write(&self, place: Place, text: &str) -> Result<Option<u64>, ApiError> {
        let body = json!({ "body": text });
        let made: Made = match place {
            Place::At(id) => self.repository.change(&format!("issues/comments/{id}"), &body).await?,
            Place::Absent => {
                self.repository.create(&format!("issues/{}/comments", self.issue), &body).await?
            }
            Place::Unknowable | Place::Unsure => return Ok(None),
        };
        Ok(Some(made.id))
    }

    async fn look(&self, patience: &mut Patience) -> Result<Found, ApiError> {
        let listing = self.repository.comments(self.issue, patience).await?;
        self.find_in(&listing, patience).await
    }

    /// Where it is, once those are gone that were made by somebody at the same moment. The first one stays, so that
    /// all who look agree.
    async fn find_in(&self, listing: &CommentListing, patience: &mut Patience) -> Result<Found, ApiError> {
        let own = self.repository.github().own(patience).await?;
        let marked = |body: &String| body.starts_with(MARKER);
        let ours = listing
            .entries
            .iter()
            .filter(|entry| entry.body.as_ref().is_some_and(marked) && own.wrote(entry.user.as_ref()));
        let mut ours: Vec<&CommentEntry> = ours.collect();
        ours.sort_unstable_by_key(|entry| entry.id);
        let Some((first, twins)) = ours.split_first() else {
            let place = if listing.complete { Place::Absent } else { Place::Unknowable };
            return Ok(Found { place, body: None });
        };
        for twin in twins {
            match self.repository.remove(&format!("issues/comments/{}", twin.id)).await {
                Ok(()) => {}
                Err(error) if matches!(error.status(), Some(404 | 410)) => {}
                // The next look finds it again.
                Err(error) => tracing::debug!(%error, "a second status comment stays"),
            }
        }
        Ok(Found { place: Place::At(first.id), body: first.body.clone() })
    }
}

/// A comment that somebody has deleted is made anew, after another look.
fn gone_meanwhile(error: ApiError, place: Place) -> ApiError {
    match error {
        ApiError::Refused { request, status: 404 | 410, message } if matches!(place, Place::At(_)) => {
            ApiError::NoAnswer { request, detail: message }
        }
        other => other,
    }
}
