//! How far a repository has been polled, and who polls it: one at a time among all ingesters.

use std::time::Duration;

use redis::Value;

use super::{Queue, QueueError, inspect::first_word, issue::TRIGGER_LIFE};
use crate::RepositoryName;

/// How long it is kept how far a repository was polled that nobody polls any more.
const POLL_LIFE: Duration = Duration::from_secs(365 * 86_400);

/// How far a list of changes has been handled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollCursor {
    /// Time of the last change, by the forge's clock, in seconds since the Unix epoch.
    pub since_s: u64,
    /// Of the answer that had nothing new; empty where none did.
    pub etag: String,
}

/// How far the lists of one repository have been handled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollCursors {
    pub issues: PollCursor,
    pub comments: PollCursor,
}

/// The right to poll a repository, until its lease runs out. A later turn has a higher fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollTurn {
    repository: RepositoryName,
    fence: u64,
    pub cursors: PollCursors,
}

/// Whether it is our turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollTurnAnswer {
    Ours(PollTurn),
    /// Somebody else polls, or has just done so: for this long there is nothing to do.
    Wait(Duration),
}

impl Queue {
    /// Takes the turn to poll `repository`, if it is due and nobody else has it. The next one is due `interval` from
    /// now, for all. A repository that was never polled is taken from Redis' present time on, less `overlap`; one that
    /// was not for two weeks, from two weeks ago on.
    pub async fn take_poll_turn(
        &self,
        repository: &RepositoryName,
        owner: &str,
        lease: Duration,
        interval: Duration,
        overlap: Duration,
    ) -> Result<PollTurnAnswer, QueueError> {
        let key = self.keys().poll(repository);
        let seconds = [overlap, TRIGGER_LIFE / 2, POLL_LIFE].map(|time| time.as_secs().to_string());
        let [overlap_s, back_s, life_s] = seconds;
        let args = [owner.to_owned(), ms(lease), ms(interval), overlap_s, back_s, life_s];
        let answer: Vec<Value> =
            self.inner.scripts.poll_take.call(&self.inner.connections, &key, &args).await?;
        let unexpected = |error| QueueError::unexpected("poll_take", error);
        if first_word(&answer) == "wait" {
            let (_, wait_ms): (String, u64) =
                redis::from_redis_value(Value::Array(answer)).map_err(unexpected)?;
            return Ok(PollTurnAnswer::Wait(Duration::from_millis(wait_ms)));
        }
        let (_, fence, issues, issues_etag, comments, comments_etag): (
            String,
            u64,
            u64,
            String,
            u64,
            String,
        ) = redis::from_redis_value(Value::Array(answer)).map_err(unexpected)?;
        let cursors = PollCursors {
            issues: PollCursor { since_s: issues, etag: issues_etag },
            comments: PollCursor { since_s: comments, etag: comments_etag },
        };
        Ok(PollTurnAnswer::Ours(PollTurn { repository: repository.clone(), fence, cursors }))
    }

    /// Goes on with the turn; `false`: another has it by now.
    pub async fn keep_poll_turn(&self, turn: &PollTurn, lease: Duration) -> Result<bool, QueueError> {
        self.move_poll(turn, &ms(lease), None).await
    }

    /// Moves the cursors, never backwards, and goes on with the turn; `false`: another has it by now, and nothing was
    /// moved.
    pub async fn move_poll_cursors(
        &self,
        turn: &PollTurn,
        to: &PollCursors,
        lease: Duration,
    ) -> Result<bool, QueueError> {
        self.move_poll(turn, &ms(lease), Some(to)).await
    }

    /// Ends the turn before its lease does.
    pub async fn end_poll_turn(&self, turn: &PollTurn) -> Result<(), QueueError> {
        self.move_poll(turn, "0", None).await.map(drop)
    }

    async fn move_poll(
        &self,
        turn: &PollTurn,
        lease_ms: &str,
        to: Option<&PollCursors>,
    ) -> Result<bool, QueueError> {
        let key = self.keys().poll(&turn.repository);
        let mut args = vec![turn.fence.to_string(), lease_ms.to_owned()];
        for (name, cursor) in
            to.into_iter().flat_map(|to| [("issues", &to.issues), ("comments", &to.comments)])
        {
            args.extend([name.to_owned(), cursor.since_s.to_string(), cursor.etag.clone()]);
        }
        let answer: u8 = self.inner.scripts.poll_move.call(&self.inner.connections, &key, args).await?;
        Ok(answer == 1)
    }
}

fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}
