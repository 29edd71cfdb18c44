//! As much of GitHub as the worker talks to: one repository `octo/cat` with git over HTTP behind a check of the
//! token, its issue, comments and pull requests, and whatever goes wrong at the moment that a test names.

mod app;
mod emulated;
mod state;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

pub use self::{
    app::{APP_ID, APP_LOGIN, App},
    state::{Comment, PullRequest, State},
};
use crate::{
    faults::Faults,
    git::GitRemote,
    git_http,
    http_server::{Asked, HttpServer, Reply},
};

/// The token that is let in.
pub const TOKEN: &str = "ghp_test0123456789abcdef";

/// Whom the token belongs to.
pub const LOGIN: &str = "cluster-bot";

/// The server, gone when dropped.
pub struct TestGitHub {
    server: HttpServer,
    shared: Arc<Shared>,
}

struct Shared {
    remote: GitRemote,
    others: Mutex<Vec<Other>>,
    api: Api,
    faults: Faults,
    /// Every request to the API.
    asked: Mutex<Vec<Asked>>,
    app: Mutex<Option<App>>,
    tokens: Mutex<Tokens>,
}

/// A repository besides, for git alone.
struct Other {
    /// `owner/name`.
    name: String,
    path: PathBuf,
    /// Whether whoever has no token may read it.
    public: bool,
}

/// Who is let in.
struct Tokens {
    valid: Vec<String>,
    /// Whether git may only fetch.
    read_only: bool,
}

/// Who answers what is not git.
enum Api {
    /// This process.
    Own(Mutex<State>),
    /// Another server, at this URL.
    PassedOn(String),
}

impl TestGitHub {
    /// With an issue 7 and an API that is just large enough for the worker.
    pub async fn start(remote: GitRemote) -> Result<Self> {
        Self::serve(remote, Api::Own(Mutex::default())).await
    }

    /// With the API of an emulator at `url`, which has an `octo/cat` too.
    pub async fn before(url: &str, remote: GitRemote) -> Result<Self> {
        Self::serve(remote, Api::PassedOn(url.to_owned())).await
    }

    async fn serve(remote: GitRemote, api: Api) -> Result<Self> {
        let tokens = Mutex::new(Tokens { valid: vec![TOKEN.to_owned()], read_only: false });
        let app = Mutex::default();
        let (faults, asked) = (Faults::default(), Mutex::default());
        let others = Mutex::default();
        let shared = Arc::new(Shared { remote, others, api, faults, asked, app, tokens });
        let serving = Arc::clone(&shared);
        let server = HttpServer::start(move |asked| {
            let shared = Arc::clone(&serving);
            async move { shared.serve(asked).await }
        });
        Ok(Self { server: server.await?, shared })
    }

    /// For `github.base_url`: as an Enterprise Server has it.
    pub fn api_url(&self) -> String {
        format!("{}/api/v3", self.server.url())
    }

    /// For `github.git_base_url`.
    pub fn git_url(&self) -> String {
        self.server.url()
    }

    /// The repository on disk.
    pub fn remote(&self) -> &GitRemote {
        &self.shared.remote
    }

    /// Serves what `remote` holds as `name`, an `owner/name`, to git; a public one also to whoever has no token.
    pub fn serve_also(&self, name: &str, remote: &GitRemote, public: bool) {
        let (name, path) = (name.to_owned(), remote.path());
        lock(&self.shared.others).push(Other { name, path, public });
    }

    /// Has an app instead of the token.
    pub fn install(&self, app: App) {
        lock(&self.shared.tokens).valid.clear();
        *lock(&self.shared.app) = Some(app);
    }

    /// The app that was installed.
    ///
    /// # Panics
    /// Where none was.
    pub fn with_app<T>(&self, look: impl FnOnce(&mut App) -> T) -> T {
        look(lock(&self.shared.app).as_mut().unwrap_or_else(|| panic!("no app was installed")))
    }

    /// Lets nobody in any more who was until now.
    pub fn revoke_tokens(&self) {
        lock(&self.shared.tokens).valid.clear();
    }

    /// Lets this token in again.
    pub fn let_in(&self, token: &str) {
        lock(&self.shared.tokens).valid.push(token.to_owned());
    }

    /// Lets git fetch and not push from now on.
    pub fn make_read_only(&self) {
        lock(&self.shared.tokens).read_only = true;
    }

    /// Every request to the API so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// What there is now, to look at and to change.
    ///
    /// # Panics
    /// Where another server has it.
    pub fn state(&self) -> MutexGuard<'_, State> {
        match &self.shared.api {
            Api::Own(state) => lock(state),
            Api::PassedOn(url) => panic!("ask {url}"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    async fn serve(&self, asked: Asked) -> Reply {
        if asked.path.starts_with("/api/") {
            lock(&self.asked).push(asked.clone());
        }
        let fault = self.faults.meet(&format!("{} {}", asked.method, asked.path));
        let Some(fault) = fault else { return self.answer(&asked).await };
        if let Some(reply) = fault.instead() {
            return reply;
        }
        self.answer(&asked).await;
        Reply::Close
    }

    async fn answer(&self, asked: &Asked) -> Reply {
        if asked.path == "/api/graphql" {
            return match &self.api {
                Api::Own(state) => self.api(state, "/graphql", asked),
                Api::PassedOn(_) => Reply::json(404, &json!({"message": "Not Found"})),
            };
        }
        match asked.path.strip_prefix("/api/v3") {
            Some(path) => match &self.api {
                Api::Own(state) => self.api(state, path, asked),
                Api::PassedOn(_) if !self.knows(asked) => {
                    Reply::json(401, &json!({"message": "Bad credentials"}))
                }
                Api::PassedOn(url) => {
                    let reply = emulated::pass_on(url, path, asked).await.unwrap_or(Reply::Close);
                    self.remember_minted(path, &reply);
                    reply
                }
            },
            None => self.git(asked).await,
        }
    }

    /// Whether the other server is to be asked: it takes a token that it does not know for one of its users. What an app
    /// has signed it judges itself.
    fn knows(&self, asked: &Asked) -> bool {
        let bearer = asked.header("authorization").trim_start_matches("Bearer ");
        bearer.contains('.') || lock(&self.tokens).valid.iter().any(|token| token == bearer)
    }

    async fn git(&self, asked: &Asked) -> Reply {
        let denied = |status, name: &str| Reply::Answer {
            status,
            headers: vec![("www-authenticate".to_owned(), format!("Basic realm=\"{name}\""))],
            body: "no\n".into(),
        };
        let (let_in, read_only) = {
            let tokens = lock(&self.tokens);
            (tokens.valid.iter().any(|token| asked.header("authorization") == basic(token)), tokens.read_only)
        };
        let other = {
            let others = lock(&self.others);
            others.iter().find_map(|other| {
                let rest = asked.path.strip_prefix(&format!("/{}.git", other.name))?;
                Some((other.path.clone(), other.public, rest.to_owned()))
            })
        };
        if let Some((path, public, rest)) = other {
            return if public || let_in { backend(&path, &rest, asked).await } else { denied(401, "GitHub") };
        }
        if !let_in {
            return denied(401, "GitHub");
        }
        let pushes = asked.query.contains("git-receive-pack") || asked.path.ends_with("/git-receive-pack");
        if read_only && pushes {
            return denied(403, "GitHub");
        }
        let Some(rest) = asked.path.strip_prefix("/octo/cat.git") else { return denied(404, "GitHub") };
        backend(&self.remote.path(), rest, asked).await
    }

    /// A token that the API mints lets git in too.
    fn remember_minted(&self, path: &str, reply: &Reply) {
        let Reply::Answer { status: 201, body, .. } = reply else { return };
        if !path.ends_with("/access_tokens") {
            return;
        }
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        lock(&self.tokens).valid.extend(answer["token"].as_str().map(str::to_owned));
    }

    fn api(&self, state: &Mutex<State>, path: &str, asked: &Asked) -> Reply {
        let refused = || Reply::json(401, &json!({"message": "Bad credentials"}));
        let Some(bearer) = asked.header("authorization").strip_prefix("Bearer ") else { return refused() };
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let mut app = lock(&self.app);
        if let Some(app) = app.as_mut().filter(|app| app.signed(bearer)) {
            let (status, answer) = app.answer(&asked.method, path, &body);
            let reply = Reply::json(status, &answer);
            self.remember_minted(path, &reply);
            return reply;
        }
        let login = if app.is_some() { APP_LOGIN } else { LOGIN };
        drop(app);
        if !lock(&self.tokens).valid.iter().any(|token| token == bearer) {
            return refused();
        }
        if path == "/user" && login == APP_LOGIN {
            return Reply::json(403, &json!({"message": "Resource not accessible by integration"}));
        }
        if path == "/repos/octo/old-name" {
            let location = format!("http://{}/api/v3/repositories/1", asked.header("host"));
            let headers = vec![("location".to_owned(), location)];
            return Reply::Answer { status: 301, headers, body: r#"{"message":"Moved Permanently"}"#.into() };
        }
        let branches = self.remote.branches().unwrap_or_default();
        let (status, answer) = lock(state).answer(&asked.method, path, asked, &body, &branches, login);
        with_limits(Reply::json(status, &answer), asked)
    }
}

/// Git's answer about the repository at `path`.
async fn backend(path: &Path, rest: &str, asked: &Asked) -> Reply {
    let (Some(root), Some(name)) = (path.parent(), path.file_name()) else { return Reply::Close };
    let inner = format!("/{}{rest}", name.to_string_lossy());
    git_http::answer(root, &inner, asked).await.unwrap_or(Reply::Close)
}

/// A token as git sends it.
fn basic(token: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("x-access-token:{token}")))
}

/// The headers that GitHub's answers have; an answer that the asker knows already is not sent again.
fn with_limits(reply: Reply, asked: &Asked) -> Reply {
    let Reply::Answer { mut status, mut headers, mut body } = reply else { return reply };
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let etag = format!("W/\"{:x}\"", hasher.finish());
    if asked.method == "GET" && asked.header("if-none-match") == etag {
        (status, body) = (304, Bytes::new());
    }
    let limits = [("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "4999")];
    headers.extend(limits.map(|(name, value)| (name.to_owned(), value.to_owned())));
    headers.push(("x-ratelimit-reset".to_owned(), "1893456000".to_owned()));
    headers.push(("etag".to_owned(), etag));
    Reply::Answer { status, headers, body }
}
