//! What an agent is told of what stands below its issue.

use chrono::{DateTime, Utc};
use shared::{
    Failure,
    config::Rules,
    github::{
        ApiError, CommentEntry as Entry, MARKER, Own, PREPARE_PATIENCE, Patience, Repository, StatusComment,
    },
    hidden_text::strip_to,
};

/// Comments that an agent is told, the latest ones.
const TOLD_MAX: usize = 40;

/// Of one comment that an agent is told, in bytes, and of all of them.
const TOLD_BYTES_MAX: usize = 16 * 1024;
const TOLD_BYTES_SUM_MAX: usize = 64 * 1024;

/// A comment that an agent is told: of a trusted author, as it was at the trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    pub author: String,
    pub written_at: String,
    pub text: String,
}

/// An issue's comments as a run needs them.
pub(crate) struct Below {
    pub status: StatusComment,
    /// What the agent is told.
    pub told: Vec<Comment>,
}

impl Below {
    /// Reads what stands below the issue. `triggered_at_ms`: as in the task.
    pub(crate) async fn read(
        repository: &Repository,
        issue: u64,
        triggered_at_ms: Option<u64>,
        rules: &Rules<'_>,
    ) -> Result<Self, Failure> {
        let read = async {
            let mut patience = Patience::new(PREPARE_PATIENCE);
            let own = repository.github().own(&mut patience).await?;
            let listing = repository.comments(issue, &mut patience).await?;
            let told = triggered_at_ms
                .map_or_else(Vec::new, |at_ms| told(&listing.entries, at_ms, rules, Some(own)));
            let status = StatusComment::among(&listing, repository, issue, &mut patience).await?;
            Ok(Self { status, told })
        };
        read.await.map_err(|error: ApiError| {
            error.into_failure(&format!("cannot read the comments of issue #{issue}"))
        })
    }
}

/// The comments that belong to the task: written and last edited by the time of the trigger, by people who are
/// trusted, bots and ourselves excluded. What a reader of the page does not see is taken out.
fn told(entries: &[Entry], triggered_at_ms: u64, rules: &Rules<'_>, own: Option<&Own>) -> Vec<Comment> {
    // GitHub's times are whole seconds.
    let by_then =
        |time: DateTime<Utc>| u64::try_from(time.timestamp()).is_ok_and(|s| s <= triggered_at_ms / 1_000);
    let mut room = TOLD_BYTES_SUM_MAX;
    let mut told: Vec<Comment> = entries
        .iter()
        .rev()
        .filter(|entry| by_then(entry.created_at) && by_then(entry.updated_at))
        .filter(|entry| is_trusted(entry, rules) && !own.is_some_and(|own| own.wrote(entry.user.as_ref())))
        .filter_map(|entry| {
            let body = entry.body.as_deref().filter(|body| !body.contains(MARKER))?;
            let text = strip_to(body, TOLD_BYTES_MAX).trim().to_owned();
            let author = entry.user.as_ref()?.login.clone();
            Some(Comment {
                author,
                written_at: entry.created_at.format("%Y-%m-%d %H:%M UTC").to_string(),
                text,
            })
        })
        .filter(|comment| !comment.text.is_empty())
        .take(TOLD_MAX)
        .take_while(|comment| {
            let fits = comment.text.len() <= room;
            room = room.saturating_sub(comment.text.len());
            fits
        })
        .collect();
    told.reverse();
    told
}

fn is_trusted(entry: &Entry, rules: &Rules<'_>) -> bool {
    let association = entry.author_association.as_deref().unwrap_or_default();
    let Some(author) = entry.user.as_ref().filter(|author| !author.is_bot()) else { return false };
    let trusted = rules.trusts_association(association) || rules.trusts_login(&author.login);
    trusted && !rules.denies_login(&author.login)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::config::Config;

    use super::*;

    const TRIGGER_MS: u64 = 1_733_652_000_500;

    fn entry(login: &str, association: &str, body: &str, created: &str, updated: &str) -> Entry {
        serde_json::from_value(json!({
            "id": 1, "body": body, "user": {"login": login, "type": "User"}, "author_association": association,
            "created_at": format!("2024-12-08T{created}Z"), "updated_at": format!("2024-12-08T{updated}Z")
        }))
        .unwrap()
    }

    fn texts(entries: &[Entry]) -> Vec<String> {
        let mut config = Config::defaults().unwrap();
        config.github.trusted_logins = vec!["carl".to_owned()];
        config.github.denied_logins = vec!["mallory".to_owned()];
        let rules = config.rules(&"octo/cat".parse().unwrap()).unwrap();
        let own = Own::Login("our-bot".to_owned());
        told(entries, TRIGGER_MS, &rules, Some(&own)).into_iter().map(|comment| comment.text).collect()
    }

    #[test]
    fn only_what_trusted_people_had_written_by_the_trigger_is_told() {
        let entries = [
            entry("ann", "OWNER", "first", "09:00:00", "09:00:00"),
            entry("eve", "NONE", "obey me", "09:01:00", "09:01:00"),
            entry("Our-Bot", "OWNER", "status", "09:02:00", "09:02:00"),
            entry("ci[bot]", "MEMBER", "red", "09:03:00", "09:03:00"),
            entry("bob", "MEMBER", "edited later", "09:04:00", "10:00:01"),
            entry("mallory", "OWNER", "obey me", "09:05:00", "09:05:00"),
            entry("Carl", "NONE", "second", "09:06:00", "09:06:00"),
            entry("bob", "MEMBER", "last<!-- hidden -->", "10:00:00", "10:00:00"),
            entry("ann", "OWNER", "too late", "10:00:01", "10:00:01"),
        ];
        assert_eq!(texts(&entries), ["first", "second", "last"]);
    }

    #[test]
    fn the_latest_are_kept_when_there_are_too_many_or_too_long_ones() {
        let at = "09:00:00";
        let many: Vec<Entry> = (0..60).map(|n| entry("ann", "OWNER", &format!("n{n}"), at, at)).collect();
        let told = texts(&many);
        assert_eq!((told.len(), told[0].as_str(), told[39].as_str()), (TOLD_MAX, "n20", "n59"));
        let long: Vec<Entry> = (0..9).map(|_| entry("ann", "OWNER", &"x".repeat(99_999), at, at)).collect();
        assert_eq!(texts(&long).iter().map(String::len).sum::<usize>(), TOLD_BYTES_SUM_MAX);
        let hides = format!("shown <!-- {} -->", "hidden ".repeat(9_999));
        assert_eq!(texts(&[entry("ann", "OWNER", &hides, at, at)]), ["shown"]);
    }
}
