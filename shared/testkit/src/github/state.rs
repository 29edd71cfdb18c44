//! What the repository on the fake GitHub holds, and how requests read and change it.

use serde_json::{Value, json};

use super::LOGIN;
use crate::http_server::Asked;

/// The time of whatever happens there.
const NOW: &str = "2030-01-01T00:00:00Z";

/// A comment on issue 7.
#[derive(Clone, Debug)]
pub struct Comment {
    pub id: u64,
    pub author: String,
    pub association: String,
    pub body: String,
    /// RFC 3339, of creation and last edit.
    pub at: String,
}

/// A pull request from a branch of the repository itself.
#[derive(Clone, Debug)]
pub struct PullRequest {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub head: String,
    pub base: String,
    pub is_open: bool,
    pub is_draft: bool,
}

/// The one repository. Its issue has the number 7; further numbers are pull requests.
pub struct State {
    pub issue_title: String,
    pub issue_body: String,
    pub comments: Vec<Comment>,
    pub pulls: Vec<PullRequest>,
    /// What the token's account may.
    pub can_push: bool,
    pub archived: bool,
    /// Logins and what they may, as GitHub's `permission` has it.
    pub permissions: Vec<(String, String)>,
    next_id: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            issue_title: "Correct the answer".to_owned(),
            issue_body: "It must be 42.".to_owned(),
            comments: Vec::new(),
            pulls: Vec::new(),
            can_push: true,
            archived: false,
            permissions: Vec::new(),
            next_id: 100,
        }
    }
}

impl State {
    /// Adds what somebody else has written.
    pub fn comment(&mut self, author: &str, association: &str, body: &str, at: &str) {
        let id = self.id();
        let (author, association) = (author.to_owned(), association.to_owned());
        self.comments.push(Comment { id, author, association, body: body.to_owned(), at: at.to_owned() });
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Status and body of the answer to a request of somebody who was let in.
    pub(super) fn answer(
        &mut self,
        method: &str,
        path: &str,
        asked: &Asked,
        body: &Value,
        branches: &[String],
    ) -> (u16, Value) {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let not_found = (404, json!({"message": "Not Found"}));
        if (method, path) == ("GET", "/user") {
            return (200, json!({"login": LOGIN, "type": "User"}));
        }
        if (method, path) == ("GET", "/repositories/1") {
            return (200, self.repository());
        }
        let Some(path) = path.strip_prefix("/repos/octo/cat") else { return not_found };
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", [""]) => (200, self.repository()),
            ("GET", ["issues", "7"]) => (200, self.issue()),
            ("GET", ["issues", "7", "comments"]) => (200, page(&self.comments, asked, comment)),
            ("GET", ["issues"]) => {
                let since = asked.query("since").unwrap_or_default();
                let issues = if since > NOW { Vec::new() } else { vec![self.issue()] };
                (200, page(&issues, asked, Value::clone))
            }
            ("GET", ["issues", "comments"]) => {
                let since = asked.query("since").unwrap_or_default();
                let mut found = self.comments.clone();
                found.retain(|comment| comment.at.as_str() >= since);
                found.sort_by(|a, b| a.at.cmp(&b.at));
                (200, page(&found, asked, comment))
            }
            ("GET", ["collaborators", login, "permission"]) => {
                let found = self.permissions.iter().find(|(known, _)| known == login);
                found.map_or(not_found, |(_, permission)| (200, json!({"permission": permission})))
            }
            ("POST", ["issues", "7", "comments"]) => {
                self.comment(LOGIN, "COLLABORATOR", &text("body"), NOW);
                (201, self.comments.last().map(comment).unwrap_or_default())
            }
            ("PATCH", ["issues", "comments", id]) => {
                let found = self.comments.iter_mut().find(|comment| comment.id.to_string() == *id);
                found.map_or(not_found, |found| {
                    found.body = text("body");
                    (200, comment(found))
                })
            }
            ("DELETE", ["issues", "comments", id]) => {
                let before = self.comments.len();
                self.comments.retain(|comment| comment.id.to_string() != *id);
                if self.comments.len() < before { (204, Value::Null) } else { not_found }
            }
            ("GET", ["pulls"]) => {
                let state = asked.query("state").unwrap_or("open");
                let head = asked.query("head").unwrap_or_default();
                let mut found = self.pulls.clone();
                found.retain(|pull| state == "all" || pull.is_open == (state == "open"));
                found.retain(|pull| head.is_empty() || head == format!("octo:{}", pull.head));
                (200, page(&found, asked, pull_request))
            }
            ("POST", ["pulls"]) => self.open(body, branches),
            ("PATCH", ["pulls", number]) => {
                let found = self.pulls.iter_mut().find(|pull| pull.number.to_string() == *number);
                found.map_or(not_found, |found| {
                    (found.title, found.body) = (text("title"), text("body"));
                    (200, pull_request(found))
                })
            }
            _ => not_found,
        }
    }

    fn open(&mut self, body: &Value, branches: &[String]) -> (u16, Value) {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (head, base) = (text("head"), text("base"));
        let refuse = |problem: &Value| (422, json!({"message": "Validation Failed", "errors": [problem]}));
        for (field, branch) in [("head", &head), ("base", &base)] {
            if !branches.contains(branch) {
                return refuse(&json!({"resource": "PullRequest", "field": field, "code": "invalid"}));
            }
        }
        if self.pulls.iter().any(|pull| pull.is_open && pull.head == head) {
            return refuse(&json!({"message": format!("A pull request already exists for octo:{head}.")}));
        }
        let number = self.id();
        let (title, body, is_draft) = (text("title"), text("body"), body["draft"] == true);
        let pull = PullRequest { number, title, body, head, base, is_open: true, is_draft };
        let answer = pull_request(&pull);
        self.pulls.push(pull);
        (201, answer)
    }

    fn repository(&self) -> Value {
        json!({
            "id": 1, "full_name": "octo/cat", "default_branch": "main", "archived": self.archived,
            "permissions": {"admin": false, "push": self.can_push, "pull": true}
        })
    }

    fn issue(&self) -> Value {
        json!({
            "number": 7, "title": self.issue_title, "body": self.issue_body, "state": "open",
            "labels": [{"name": "backend"}], "user": {"login": "ann", "type": "User"},
            "html_url": "http://127.0.0.1/octo/cat/issues/7", "updated_at": NOW
        })
    }
}

fn page<T>(all: &[T], asked: &Asked, shown: impl Fn(&T) -> Value) -> Value {
    let number = |name: &str, default| asked.query(name).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (size, page) = (number("per_page", 30_usize), number("page", 1_usize));
    all.iter().skip((page - 1) * size).take(size).map(shown).collect()
}

fn comment(comment: &Comment) -> Value {
    json!({
        "id": comment.id, "body": comment.body, "user": {"login": comment.author, "type": "User"},
        "author_association": comment.association, "created_at": comment.at, "updated_at": comment.at
    })
}

fn pull_request(pull: &PullRequest) -> Value {
    json!({
        "number": pull.number, "html_url": format!("http://127.0.0.1/octo/cat/pull/{}", pull.number),
        "draft": pull.is_draft, "state": if pull.is_open { "open" } else { "closed" }, "title": pull.title, "body": pull.body,
        "head": {"ref": pull.head, "repo": {"full_name": "octo/cat"}}, "base": {"ref": pull.base}
    })
}
