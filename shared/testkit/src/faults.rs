//! What goes wrong with the requests to a server, and when.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;

use crate::http_server::Reply;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers so, without doing anything.
    Status(u16),
    /// 429 with this many seconds of `retry-after`.
    RateLimited(u64),
    /// Closes the connection without doing anything.
    Closed,
    /// Does what was asked and closes the connection: nobody is told.
    AnswerLost,
    /// Never answers.
    Stalled,
}

/// Faults that wait for their request, and the requests so far, as `METHOD path`.
#[derive(Default)]
pub struct Faults {
    waiting: Mutex<Vec<(String, Fault)>>,
    requests: Mutex<Vec<String>>,
}

impl Faults {
    /// Lets the next request that contains `request` go wrong; several wait for their turn.
    pub fn add(&self, request: &str, fault: Fault) {
        lock(&self.waiting).push((request.to_owned(), fault));
    }

    /// Faults that no request has met yet.
    pub fn left(&self) -> usize {
        lock(&self.waiting).len()
    }

    pub fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }

    /// How many requests contain `text`.
    pub fn count(&self, text: &str) -> usize {
        lock(&self.requests).iter().filter(|request| request.contains(text)).count()
    }

    /// Remembers the request and hands out its fault.
    pub(crate) fn meet(&self, request: &str) -> Option<Fault> {
        lock(&self.requests).push(request.to_owned());
        let mut waiting = lock(&self.waiting);
        waiting.iter().position(|(wanted, _)| request.contains(wanted)).map(|at| waiting.remove(at).1)
    }
}

impl Fault {
    /// What the server does instead of what was asked; `None` where it does that too.
    pub(crate) fn instead(self) -> Option<Reply> {
        match self {
            Self::Status(status) => Some(Reply::json(status, &json!({"message": "as the test says"}))),
            Self::RateLimited(seconds) => Some(Reply::Answer {
                status: 429,
                headers: vec![("retry-after".to_owned(), seconds.to_string())],
                body: r#"{"message":"API rate limit exceeded"}"#.into(),
            }),
            Self::Closed => Some(Reply::Close),
            Self::Stalled => Some(Reply::Stall),
            Self::AnswerLost => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
