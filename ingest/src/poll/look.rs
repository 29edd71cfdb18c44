//! One page of what has changed in a repository, handled.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::{
    github::{ApiError, Changes, IssueEventEntry, PAGE_ENTRIES, Patience, Repository},
    queue::{PollCursor, PollCursors, PollTurn},
};
use tracing::{info, warn};

use super::{
    FAILURES_MAX, Memory, Poller, Trouble,
    change::{CommentEntry, Entry, renamed_since},
};
use crate::{
    bounded_queue::Unavailable,
    command::{self, Command},
    event::{IssueEvent, What},
    gate::NotNow,
};

/// How long one question waits for a GitHub that does not answer as it should.
const PATIENCE: Duration = Duration::from_secs(20);

/// A look at one repository in one turn.
pub struct Look<'a> {
    pub poller: &'a Poller,
    pub repository: &'a Repository,
    pub turn: &'a PollTurn,
    /// Issues as they are now.
    pub issues: HashMap<u64, Entry>,
}

/// What was handled.
pub struct Page {
    /// Where the next look begins.
    pub cursors: PollCursors,
    /// Whether nothing is left.
    pub complete: bool,
}

/// One list's part of it.
struct Part<T> {
    entries: Vec<T>,
    since: DateTime<Utc>,
    next: PollCursor,
    complete: bool,
}

impl Look<'_> {
    /// Handles what comes next; `None`: nothing has changed, or the turn has gone to somebody else.
    pub async fn page(mut self, overlap: Duration, memory: &mut Memory) -> Result<Option<Page>, Trouble> {
        let cursors = &self.turn.cursors;
        let since = |cursor: &PollCursor| time(cursor.since_s.saturating_sub(overlap.as_secs()));
        let (issues_since, comments_since) = (since(&cursors.issues), since(&cursors.comments));
        let listed =
            self.repository.changed_issues(issues_since, etag(&cursors.issues), 1, &mut patience()).await?;
        let listed = self.all_of_one_second(listed, issues_since, Kind::Issues).await?;
        let issues: Option<Part<Entry>> = part(listed, issues_since, &cursors.issues, Entry::updated_at);
        let listed = self
            .repository
            .changed_comments(comments_since, etag(&cursors.comments), 1, &mut patience())
            .await?;
        let listed = self.all_of_one_second(listed, comments_since, Kind::Comments).await?;
        let comments: Option<Part<CommentEntry>> =
            part(listed, comments_since, &cursors.comments, |entry: &CommentEntry| Some(entry.updated_at));
        if issues.is_none() && comments.is_none() {
            return Ok(None);
        }
        let next = PollCursors {
            issues: issues.as_ref().map_or_else(|| cursors.issues.clone(), |part| part.next.clone()),
            comments: comments.as_ref().map_or_else(|| cursors.comments.clone(), |part| part.next.clone()),
        };
        let complete = issues.as_ref().is_none_or(|part| part.complete)
            && comments.as_ref().is_none_or(|part| part.complete);
        let mut events = Vec::new();
        if let Some(part) = issues {
            self.issues = part.entries.iter().map(|entry| (entry.issue.number, entry.clone())).collect();
            for entry in &part.entries {
                if !self.goes_on().await? {
                    return Ok(None);
                }
                events.extend(self.events_of(entry, part.since).await?);
            }
        }
        if let Some(part) = comments {
            for entry in part.entries.iter().filter(|entry| entry.is_new(part.since)) {
                events.extend(self.event_of(entry).await?);
            }
        }
        events.sort_by_key(IssueEvent::at_ms);
        for event in &events {
            if !self.goes_on().await? {
                return Ok(None);
            }
            self.pass(event, memory).await?;
        }
        Ok(Some(Page { cursors: next, complete }))
    }

    /// More changes within one second than a page holds would be listed for ever: they are read all at once.
    async fn all_of_one_second(
        &self,
        listed: Changes<Value>,
        since: DateTime<Utc>,
        kind: Kind,
    ) -> Result<Changes<Value>, ApiError> {
        let Changes::Found { entries, complete: false, .. } = &listed else { return Ok(listed) };
        let last =
            entries.last().and_then(|entry| entry["updated_at"].as_str()?.parse::<DateTime<Utc>>().ok());
        if last.is_some_and(|last| last.timestamp() > since.timestamp()) {
            return Ok(listed);
        }
        match kind {
            Kind::Issues => self.repository.changed_issues(since, None, ALL_PAGES, &mut patience()).await,
            Kind::Comments => self.repository.changed_comments(since, None, ALL_PAGES, &mut patience()).await,
        }
    }

    async fn goes_on(&self) -> Result<bool, Trouble> {
        Ok(self.poller.queue.keep_poll_turn(self.turn, self.poller.lease()).await?)
    }

    async fn events_of(&self, entry: &Entry, since: DateTime<Utc>) -> Result<Vec<IssueEvent>, Trouble> {
        let name = self.repository.name();
        // What is not allowed costs no requests.
        let Ok(rules) = self.poller.config.rules(name) else { return Ok(Vec::new()) };
        let label = rules.trigger_label();
        let has_task = self.poller.queue.issue_task(name, entry.issue.number).await?.is_some();
        let history = if entry.needs_history(label, has_task) {
            self.history(entry.issue.number).await?
        } else {
            Vec::new()
        };
        let mut events = Vec::new();
        for event in entry.events(name, label, since, &history, has_task) {
            let vouched = matches!(event.what, What::Labeled(_) | What::Reopened);
            if !vouched || self.is_as_vouched_for(entry, &event, &history).await? {
                events.push(event);
            }
        }
        Ok(events)
    }

    async fn event_of(&mut self, entry: &CommentEntry) -> Result<Option<IssueEvent>, Trouble> {
        // People who talk cost no requests.
        let text = entry.comment.body.as_deref().unwrap_or_default();
        let Some(asked) = command::read(text, &self.poller.gate.classifier) else { return Ok(None) };
        let Some(number) = entry.issue_number() else { return Ok(None) };
        let Some(below) = self.issue(number).await? else { return Ok(None) };
        let Some(event) = entry.event(self.repository.name(), &below.issue) else { return Ok(None) };
        let starts = asked.is_ok_and(|asked| asked.command != Command::Cancel);
        let at = entry.created_at().filter(|_| starts && below.issue.pull_request.is_none());
        if at.is_some_and(|at| below.may_have_changed_since(at, &event.actor)) {
            let history = self.history(number).await?;
            if !self.is_as_vouched_for(&below, &event, &history).await? {
                return Ok(None);
            }
        }
        Ok(Some(event))
    }

    /// Whether the text is the one that somebody vouched for who did not write it: its author may have given it
    /// another one between the label and this look.
    async fn is_as_vouched_for(
        &self,
        entry: &Entry,
        event: &IssueEvent,
        history: &[IssueEventEntry],
    ) -> Result<bool, Trouble> {
        let at = event.at_ms().and_then(|ms| DateTime::from_timestamp_millis(i64::try_from(ms).ok()?));
        let Some(at) = at.filter(|at| entry.may_have_changed_since(*at, &event.actor)) else {
            return Ok(true);
        };
        let edited = match self.repository.issue_last_edit(entry.issue.number).await {
            Ok(edited) => Ok(edited.is_some_and(|edited| edited > at)),
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => Err(error),
        };
        let problem = match edited {
            Ok(false) if !renamed_since(history, at) => return Ok(true),
            Ok(_) => "it was edited since".to_owned(),
            Err(error) => format!("nobody can tell whether it was edited since ({error})"),
        };
        info!(
            issue = subject(event),
            who = event.actor.login,
            problem,
            "not started for somebody who vouched for another's text: set the label or comment again"
        );
        Ok(false)
    }

    async fn history(&self, number: u64) -> Result<Vec<IssueEventEntry>, Trouble> {
        match self.repository.issue_events(number, &mut patience()).await {
            Ok(Some(history)) => Ok(history),
            Ok(None) => {
                warn!(repository = %self.repository.name(), number, "the issue's history is too long to find who set its label");
                Ok(Vec::new())
            }
            // Deleted or transferred since it was listed.
            Err(error) if is_gone(&error) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn issue(&mut self, number: u64) -> Result<Option<Entry>, Trouble> {
        if let Some(known) = self.issues.get(&number) {
            return Ok(Some(known.clone()));
        }
        match self.repository.read::<Entry>(&format!("issues/{number}"), &mut patience()).await {
            Ok(entry) => {
                self.issues.insert(number, entry.clone());
                Ok(Some(entry))
            }
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Through the gate. An event that cannot be decided stays next, until it has failed so often that the others come
    /// first.
    async fn pass(&self, event: &IssueEvent, memory: &mut Memory) -> Result<(), Trouble> {
        let Err(error) = self.poller.gate.pass(event).await else { return Ok(()) };
        let name = event.delivery.clone().unwrap_or_default();
        if !is_outage(&error) {
            let failures = memory.failed_at.entry(name).or_default();
            *failures += 1;
            if *failures > FAILURES_MAX {
                warn!(issue = subject(event), %error, "given up: later looks will not find it");
                return Ok(());
            }
        }
        Err(Trouble::Event { event: subject(event), error })
    }
}

/// Which list.
#[derive(Clone, Copy)]
enum Kind {
    Issues,
    Comments,
}

/// Of changes within one second.
const ALL_PAGES: usize = 10;

/// What of a list is to be handled; `None`: it has not changed.
fn part<T: DeserializeOwned>(
    listed: Changes<Value>,
    since: DateTime<Utc>,
    cursor: &PollCursor,
    at: impl Fn(&T) -> Option<DateTime<Utc>>,
) -> Option<Part<T>> {
    let Changes::Found { entries, etag, complete } = listed else { return None };
    let count = entries.len();
    let read = |entry: Value| match serde_json::from_value(entry) {
        Ok(entry) => Some(entry),
        Err(error) => {
            warn!(%error, "GitHub listed something that cannot be read");
            None
        }
    };
    let entries: Vec<T> = entries.into_iter().filter_map(read).collect();
    let last = entries.iter().filter_map(at).max();
    let last_s = last.and_then(|last| u64::try_from(last.timestamp()).ok()).unwrap_or_default();
    // A second that is too full even for all pages is left behind.
    let skip = u64::from(!complete && count > PAGE_ENTRIES && last_s <= cursor.since_s);
    let since_s = cursor.since_s.max(last_s) + skip;
    // Of the same question alone: another `since` is another one.
    let etag = etag.filter(|_| since_s == cursor.since_s).unwrap_or_default();
    Some(Part { entries, since, next: PollCursor { since_s, etag }, complete })
}

fn time(seconds: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::try_from(seconds).unwrap_or_default())
}

fn etag(cursor: &PollCursor) -> Option<&str> {
    Some(cursor.etag.as_str()).filter(|etag| !etag.is_empty())
}

fn patience() -> Patience {
    Patience::new(PATIENCE)
}

fn is_gone(error: &ApiError) -> bool {
    matches!(error.status(), Some(404 | 410 | 301))
}

/// Whether nothing can be decided now, whatever it is.
fn is_outage(error: &NotNow) -> bool {
    match error {
        NotNow::Queue(Unavailable::Queue(error)) => error.is_passing(),
        NotNow::Queue(_) => true,
        NotNow::Trust(_) => false,
    }
}

fn subject(event: &IssueEvent) -> String {
    format!("{}#{}", event.repository, event.issue.number)
}
