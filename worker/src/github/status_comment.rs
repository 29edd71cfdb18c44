//! The one comment on an issue that says how its task stands.

use serde::Deserialize;
use serde_json::json;
use tokio::{sync::Mutex, time::timeout};

use super::{
    COMMENT_PATIENCE, PREPARE_PATIENCE, Repository,
    comments::{Comment, Listing, told},
    error::ApiError,
    patience::Patience,
};
use crate::run::FenceCheck;

/// Found again by this, whichever worker wrote it. A reader of the page does not see it.
pub(super) const MARKER: &str = "<!-- claude-cluster:status -->";

/// The status comment of one issue: made at the first word, edited in place after that.
pub(crate) struct StatusComment {
    repository: Repository,
    issue: u64,
    place: Mutex<Place>,
}

/// What is known of the comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To be looked for: an answer was lost.
    Unsure,
    Absent,
    At(u64),
    /// The issue has more comments than are read: it may be there, so none is made.
    Unknowable,
}

/// An issue's comments as a run needs them.
pub(crate) struct Below {
    pub status: StatusComment,
    /// What the agent is told.
    pub told: Vec<Comment>,
}

#[derive(Deserialize)]
struct Made {
    id: u64,
}

impl Below {
    /// Reads what stands below the issue. `triggered_at_ms`: as in the task.
    pub(crate) async fn read(
        repository: &Repository,
        issue: u64,
        triggered_at_ms: Option<u64>,
    ) -> Result<Self, shared::Failure> {
        let read = async {
            let mut patience = Patience::new(PREPARE_PATIENCE);
            let own = repository.github.own(&mut patience).await?;
            let listing = repository.list_comments(issue, &mut patience).await?;
            let told = triggered_at_ms.map_or_else(Vec::new, |at_ms| {
                told(&listing.entries, at_ms, &repository.github.config, Some(own))
            });
            Ok((repository.place_in(&listing, &mut patience).await?, told))
        };
        let (place, told) = read.await.map_err(|error: ApiError| {
            error.into_failure(&format!("cannot read the comments of issue #{issue}"))
        })?;
        let status = StatusComment { repository: repository.clone(), issue, place: Mutex::new(place) };
        Ok(Self { status, told })
    }
}

impl StatusComment {
    /// Makes the comment say `text`, if the lease still stands. `Err` says why it does not; nobody else need know.
    pub(crate) async fn say(&self, text: &str, still_held: &FenceCheck) -> Result<(), String> {
        let said = timeout(COMMENT_PATIENCE, self.try_say(text, still_held)).await;
        said.unwrap_or_else(|_| Err(format!("GitHub took longer than {} s", COMMENT_PATIENCE.as_secs())))
    }

    async fn try_say(&self, text: &str, still_held: &FenceCheck) -> Result<(), String> {
        let body = json!({ "body": format!("{MARKER}\n{text}") });
        let mut patience = Patience::new(COMMENT_PATIENCE);
        // Set to unsure before every write: this future may be dropped at any wait, with the write under way.
        let mut place = self.place.lock().await;
        loop {
            if *place == Place::Unsure {
                *place = self.look(&mut patience).await.map_err(|error| error.to_string())?;
            }
            if !still_held().await {
                return Err("the lease is gone".to_owned());
            }
            let api = &self.repository.github.api;
            let before = std::mem::replace(&mut *place, Place::Unsure);
            let written: Result<Made, ApiError> = match before {
                Place::At(id) => {
                    api.change(&self.repository.path(&format!("issues/comments/{id}")), &body).await
                }
                Place::Absent => {
                    api.create(&self.repository.path(&format!("issues/{}/comments", self.issue)), &body).await
                }
                Place::Unknowable | Place::Unsure => {
                    *place = before;
                    return Err("the issue has too many comments to look through".to_owned());
                }
            };
            match written {
                Ok(made) => {
                    *place = Place::At(made.id);
                    return Ok(());
                }
                Err(error) => {
                    let error = gone_meanwhile(error, before);
                    patience.wait_after(error).await.map_err(|error| error.to_string())?;
                }
            }
        }
    }

    async fn look(&self, patience: &mut Patience) -> Result<Place, ApiError> {
        let listing = self.repository.list_comments(self.issue, patience).await?;
        self.repository.place_in(&listing, patience).await
    }
}

impl Repository {
    async fn place_in(&self, listing: &Listing, patience: &mut Patience) -> Result<Place, ApiError> {
        let own = self.github.own(patience).await?;
        let ours = listing.entries.iter().find(|entry| {
            let marked = entry.body.as_deref().is_some_and(|body| body.starts_with(MARKER));
            marked && own.wrote(entry.user.as_ref())
        });
        Ok(match ours {
            Some(entry) => Place::At(entry.id),
            None if listing.complete => Place::Absent,
            None => Place::Unknowable,
        })
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
