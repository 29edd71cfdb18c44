//! What the repository on the fake GitHub holds, and how requests read and change it.

use serde_json::{Value, json};

use super::LOGIN;
use crate::http_server::Asked;

/// Repositories of each owner that is listed: more than one ought to ask for.
const LISTED: usize = 1_050;

/// When the issue was opened.
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

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
    pub labels: Vec<String>,
    pub assignees: Vec<String>,
    pub reviewers: Vec<String>,
    pub teams: Vec<String>,
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
    /// Webhooks as they were sent here, each with its id.
    pub hooks: Vec<Value>,
    /// What webhooks were answered, newest first, each with the id of its webhook.
    pub deliveries: Vec<(u64, Value)>,
    /// What a ping is answered.
    pub ping_status: u16,
    /// Whether drafts can be made ready.
    pub has_graphql: bool,
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
            hooks: Vec::new(),
            deliveries: Vec::new(),
            ping_status: 202,
            has_graphql: true,
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
        login: &str,
    ) -> (u16, Value) {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let not_found = (404, json!({"message": "Not Found"}));
        if (method, path) == ("GET", "/user") {
            return (200, json!({"login": login, "type": "User"}));
        }
        if (method, path) == ("GET", "/installation/repositories") {
            return (200, json!({"total_count": 1, "repositories": [self.repository()]}));
        }
        let users = [("octo", "Organization"), (LOGIN, "User"), ("ann", "User")];
        if let Some((login, kind)) = users.iter().find(|(login, _)| path == format!("/users/{login}")) {
            return (200, json!({"login": login, "type": kind}));
        }
        if matches!(path, "/orgs/octo/repos" | "/user/repos" | "/users/ann/repos") {
            let numbered = |number| json!({"full_name": format!("octo/r{number}"), "archived": number == 1});
            let all: Vec<Value> = (0..LISTED).map(numbered).collect();
            return (200, page(&all, asked, Value::clone));
        }
        if (method, path) == ("GET", "/repositories/1") {
            return (200, self.repository());
        }
        if (method, path) == ("POST", "/graphql") {
            return self.graphql(body);
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
                self.comment(login, "COLLABORATOR", &text("body"), NOW);
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
            ("POST", ["issues", number, "labels"]) => {
                self.adorn(number, "labels", body, |pull| &mut pull.labels)
            }
            ("POST", ["issues", number, "assignees"]) => {
                self.adorn(number, "assignees", body, |pull| &mut pull.assignees)
            }
            ("POST", ["pulls", number, "requested_reviewers"]) => {
                self.adorn(number, "team_reviewers", body, |pull| &mut pull.teams);
                self.adorn(number, "reviewers", body, |pull| &mut pull.reviewers)
            }
            ("POST", ["issues"] | ["git", "refs"]) => {
                if self.can_push {
                    invalid(&json!({"code": "missing_field"}))
                } else {
                    forbidden()
                }
            }
            (_, ["hooks", rest @ ..]) => self.webhooks(method, rest, body),
            _ => not_found,
        }
    }

    /// Adds what `body` names to a list of the pull request.
    fn adorn(
        &mut self,
        number: &str,
        name: &str,
        body: &Value,
        list: impl Fn(&mut PullRequest) -> &mut Vec<String>,
    ) -> (u16, Value) {
        let Some(found) = self.pulls.iter_mut().find(|pull| pull.number.to_string() == number) else {
            return (404, json!({"message": "Not Found"}));
        };
        let names = body[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        list(found).extend(names.map(str::to_owned));
        (201, pull_request(found))
    }

    fn graphql(&mut self, body: &Value) -> (u16, Value) {
        if !self.has_graphql {
            return (
                200,
                json!({"data": null, "errors": [{"message": "Resource not accessible by personal access token"}]}),
            );
        }
        let asks = body["query"].as_str().unwrap_or_default().contains("markPullRequestReadyForReview");
        let id = body["variables"]["id"].as_str().unwrap_or_default();
        match self.pulls.iter_mut().find(|pull| asks && node_id(pull) == id) {
            Some(pull) => {
                pull.is_draft = false;
                (200, json!({"data": {"markPullRequestReadyForReview": {"pullRequest": {"isDraft": false}}}}))
            }
            None => (200, json!({"errors": [{"message": "Could not resolve to a node"}]})),
        }
    }

    fn webhooks(&mut self, method: &str, rest: &[&str], body: &Value) -> (u16, Value) {
        let id = rest.first().and_then(|id| id.parse::<u64>().ok());
        let at = id.and_then(|id| self.hooks.iter().position(|hook| hook["id"] == id));
        match (method, rest, at) {
            ("GET", [], _) => (200, self.hooks.iter().map(shown).collect()),
            ("POST", [], _) => {
                let mut hook = body.clone();
                hook["id"] = self.id().into();
                self.hooks.push(hook.clone());
                (201, shown(&hook))
            }
            ("PATCH", [_], Some(at)) => {
                for key in ["active", "events", "config"] {
                    self.hooks[at][key] = body[key].clone();
                }
                (200, shown(&self.hooks[at]))
            }
            ("DELETE", [_], Some(at)) => {
                self.hooks.remove(at);
                (204, Value::Null)
            }
            ("GET", [_, "deliveries"], Some(at)) => {
                let id = self.hooks[at]["id"].as_u64();
                let told = self.deliveries.iter().filter(|(hook, _)| Some(*hook) == id);
                (200, told.map(|(_, delivery)| delivery.clone()).collect())
            }
            ("POST", [_, "pings"], Some(at)) => {
                let id = self.hooks[at]["id"].as_u64().unwrap_or_default();
                self.deliver(id, "ping", self.ping_status);
                (204, Value::Null)
            }
            _ => (404, json!({"message": "Not Found"})),
        }
    }

    /// Tells that a webhook was sent and answered so.
    pub fn deliver(&mut self, hook: u64, event: &str, status_code: u16) {
        let status =
            if status_code < 300 { "OK".to_owned() } else { format!("Invalid HTTP Response: {status_code}") };
        let delivery =
            json!({"event": event, "status_code": status_code, "status": status, "delivered_at": NOW});
        self.deliveries.insert(0, (hook, delivery));
    }

    fn open(&mut self, body: &Value, branches: &[String]) -> (u16, Value) {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (head, base) = (text("head"), text("base"));
        if !self.can_push {
            return forbidden();
        }
        for (field, branch) in [("head", &head), ("base", &base)] {
            if !branches.contains(branch) {
                return invalid(&json!({"resource": "PullRequest", "field": field, "code": "invalid"}));
            }
        }
        if self.pulls.iter().any(|pull| pull.is_open && pull.head == head) {
            return invalid(&json!({"message": format!("A pull request already exists for octo:{head}.")}));
        }
        let number = self.id();
        let (title, body, is_draft) = (text("title"), text("body"), body["draft"] == true);
        let (labels, assignees, reviewers, teams) = Default::default();
        let is_open = true;
        let pull = PullRequest {
            number,
            title,
            body,
            head,
            base,
            is_open,
            is_draft,
            labels,
            assignees,
            reviewers,
            teams,
        };
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
            "html_url": "http://127.0.0.1/octo/cat/issues/7", "created_at": LONG_AGO, "updated_at": NOW
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
        "author_association": comment.association, "created_at": comment.at, "updated_at": comment.at,
        "issue_url": "http://127.0.0.1/repos/octo/cat/issues/7"
    })
}

fn invalid(problem: &Value) -> (u16, Value) {
    (422, json!({"message": "Validation Failed", "errors": [problem]}))
}

fn forbidden() -> (u16, Value) {
    (403, json!({"message": "Resource not accessible by personal access token"}))
}

/// A webhook as it is told: its secret is never.
fn shown(hook: &Value) -> Value {
    let mut hook = hook.clone();
    if !hook["config"]["secret"].is_null() {
        hook["config"]["secret"] = "********".into();
    }
    hook
}

fn node_id(pull: &PullRequest) -> String {
    format!("PR_{}", pull.number)
}

fn pull_request(pull: &PullRequest) -> Value {
    let names =
        |list: &[String], key: &str| -> Value { list.iter().map(|name| json!({ key: name })).collect() };
    json!({
        "number": pull.number, "html_url": format!("http://127.0.0.1/octo/cat/pull/{}", pull.number),
        "draft": pull.is_draft, "state": if pull.is_open { "open" } else { "closed" }, "title": pull.title, "body": pull.body,
        "node_id": node_id(pull), "labels": names(&pull.labels, "name"),
        "assignees": names(&pull.assignees, "login"), "requested_reviewers": names(&pull.reviewers, "login"),
        "requested_teams": names(&pull.teams, "slug"),
        "head": {"ref": pull.head, "repo": {"full_name": "octo/cat"}}, "base": {"ref": pull.base}
    })
}
