//! As much of GitHub as a poll asks for: one repository `acme/shop`, whose issues, histories and comments a test makes.

#![expect(clippy::unwrap_used, reason = "a test that asks for what is not there fails")]

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard},
};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::http_server::{Asked, HttpServer, Reply};

/// Gone when dropped.
pub struct PolledGitHub {
    server: HttpServer,
    state: Arc<Mutex<State>>,
}

/// What there is; the newest change comes last.
pub struct State {
    pub issues: Vec<Value>,
    pub comments: Vec<Value>,
    /// Of all issues.
    pub history: Vec<Value>,
    /// When texts were last edited.
    pub last_edit: Option<String>,
    /// Left of the rate limit.
    pub remaining: u64,
    /// Requests for a permission are not answered.
    pub stalls: bool,
    /// The tokens of those that were not.
    pub stalled: Vec<String>,
    /// The token may not ask for permissions.
    pub denies: bool,
    pub asked: Vec<String>,
    /// What the organisation `acme` has.
    pub repositories: Vec<Value>,
    /// Answers that had nothing new.
    pub unchanged: usize,
}

/// So many seconds from now.
pub fn at(seconds: i64) -> String {
    (Utc::now() + TimeDelta::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl PolledGitHub {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            issues: Vec::new(),
            comments: Vec::new(),
            history: Vec::new(),
            last_edit: None,
            remaining: 4_999,
            stalls: false,
            stalled: Vec::new(),
            denies: false,
            asked: Vec::new(),
            repositories: Vec::new(),
            unchanged: 0,
        }));
        let serving = Arc::clone(&state);
        let server = HttpServer::start(move |asked| {
            let reply = serving.lock().unwrap().answer(&asked);
            async move { reply }
        });
        Self { server: server.await.unwrap(), state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// For `github.base_url`.
    pub fn api_url(&self) -> String {
        format!("{}/api/v3", self.server.url())
    }

    /// Ann, a member, opened this issue.
    pub fn open(&self, number: u64, when: &str) {
        self.issue(number, "ann-dev", "MEMBER", when);
    }

    pub fn issue(&self, number: u64, author: &str, association: &str, when: &str) {
        self.state().issues.push(json!({
            "number": number, "title": format!("Issue {number}"), "body": "The page is white.", "state": "open",
            "labels": [], "user": {"login": author, "type": "User"}, "author_association": association,
            "created_at": when, "updated_at": when, "closed_at": null, "state_reason": null
        }));
    }

    pub fn comment(&self, number: u64, author: &str, association: &str, body: &str, when: &str) {
        let mut state = self.state();
        let id = state.comments.len() + 1;
        state.comments.push(json!({
            "id": id, "body": body, "user": {"login": author, "type": "User"}, "author_association": association,
            "created_at": when, "updated_at": when, "issue_url": format!("http://x/repos/acme/shop/issues/{number}")
        }));
        state.change(number, when, |_| ());
    }

    pub fn label(&self, number: u64, actor: &str, when: &str) {
        let mut state = self.state();
        state.happened(number, "labeled", actor, when);
        state.change(number, when, |issue| issue["labels"] = json!([{"name": "Claude"}]));
    }

    pub fn unlabel(&self, number: u64, actor: &str, when: &str) {
        let mut state = self.state();
        state.happened(number, "unlabeled", actor, when);
        state.change(number, when, |issue| issue["labels"] = json!([]));
    }

    pub fn close(&self, number: u64, when: &str) {
        let closed = |issue: &mut Value| {
            issue["state"] = json!("closed");
            issue["closed_at"] = json!(when);
        };
        self.state().change(number, when, closed);
    }

    pub fn reopen(&self, number: u64, actor: &str, when: &str) {
        let mut state = self.state();
        state.happened(number, "reopened", actor, when);
        state.change(number, when, |issue| {
            issue["state"] = json!("open");
            issue["state_reason"] = json!("reopened");
        });
    }

    /// How many requests contain `text`.
    pub fn asked(&self, text: &str) -> usize {
        self.state().asked.iter().filter(|asked| asked.contains(text)).count()
    }
}

impl State {
    pub fn change(&mut self, number: u64, when: &str, change: impl FnOnce(&mut Value)) {
        let place = self.issues.iter().position(|issue| issue["number"] == number).unwrap();
        let mut issue = self.issues.remove(place);
        change(&mut issue);
        issue["updated_at"] = json!(when);
        self.issues.push(issue);
    }

    fn happened(&mut self, number: u64, event: &str, actor: &str, when: &str) {
        let id = self.history.len() + 1;
        self.history.push(json!({
            "id": id, "issue": number, "event": event, "actor": {"login": actor, "type": "User"}, "created_at": when,
            "label": {"name": "claude"}
        }));
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        self.asked.push(format!("{} {}?{}", asked.method, asked.path, asked.query));
        if asked.path == "/api/graphql" {
            let issue = json!({"lastEditedAt": self.last_edit});
            return Reply::json(200, &json!({"data": {"repository": {"issue": issue}}}));
        }
        match asked.path.as_str() {
            "/api/v3/users/acme" => {
                return self.with_headers(&json!({"login": "acme", "type": "Organization"}), asked);
            }
            "/api/v3/orgs/acme/repos" => return self.with_headers(&json!(self.repositories), asked),
            _ => {}
        }
        let path = asked.path.strip_prefix("/api/v3/repos/acme/shop/").unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        let of = |number: &str| {
            let number: u64 = number.parse().unwrap();
            move |known: &&Value| known["issue"] == number || known["number"] == number
        };
        let body = match parts.as_slice() {
            ["issues"] => page(&self.issues, asked),
            ["issues", "comments"] => page(&self.comments, asked),
            ["issues", number] => self.issues.iter().find(of(number)).cloned().unwrap_or_default(),
            ["issues", number, "events"] => self.history.iter().filter(of(number)).cloned().collect(),
            ["collaborators", _, "permission"] if self.stalls => {
                let token = asked.header("authorization").trim_start_matches("Bearer ");
                self.stalled.push(token.to_owned());
                return Reply::Stall;
            }
            ["collaborators", _, "permission"] if self.denies => {
                return Reply::json(403, &json!({"message": "no"}));
            }
            ["collaborators", "bob", "permission"] => json!({"permission": "write"}),
            _ => return Reply::json(404, &json!({"message": "Not Found"})),
        };
        self.with_headers(&body, asked)
    }

    fn with_headers(&mut self, body: &Value, asked: &Asked) -> Reply {
        let mut hasher = DefaultHasher::new();
        (body.to_string(), &asked.query).hash(&mut hasher);
        let etag = format!("W/\"{:x}\"", hasher.finish());
        let known = asked.header("if-none-match") == etag;
        self.unchanged += usize::from(known);
        let reset_s = Utc::now().timestamp() + 3_600;
        let headers = [
            ("etag", etag),
            ("x-ratelimit-limit", "5000".to_owned()),
            ("x-ratelimit-remaining", self.remaining.to_string()),
            ("x-ratelimit-reset", reset_s.to_string()),
        ];
        Reply::Answer {
            status: if known { 304 } else { 200 },
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: if known { String::new() } else { body.to_string() }.into(),
        }
    }
}

fn page(all: &[Value], asked: &Asked) -> Value {
    let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let since = time(asked.query("since").unwrap());
    let number = |name: &str| asked.query(name).unwrap().parse::<usize>().unwrap();
    let mut found: Vec<&Value> =
        all.iter().filter(|entry| time(entry["updated_at"].as_str().unwrap()) >= since).collect();
    found.sort_by_key(|entry| entry["updated_at"].as_str().unwrap());
    let (size, page) = (number("per_page"), number("page"));
    found.into_iter().skip((page - 1) * size).take(size).cloned().collect()
}
