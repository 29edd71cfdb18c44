//! As much of GitHub as the worker talks to: one repository `octo/cat` with git over HTTP behind a check of the
//! token, its issue, comments and pull requests, and whatever goes wrong at the moment that a test names.

mod state;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value, json};

pub use self::state::{Comment, PullRequest, State};
use crate::{
    faults::Faults,
    git::GitRemote,
    git_http, http_client,
    http_server::{Asked, HttpServer, Reply},
};

/// The token that is let in.
pub const TOKEN: &str = "ghp_test0123456789abcdef";

/// [`TOKEN`] as git sends it: base64 of `x-access-token:TOKEN`.
const BASIC: &str = "Basic eC1hY2Nlc3MtdG9rZW46Z2hwX3Rlc3QwMTIzNDU2Nzg5YWJjZGVm";

/// Whom the token belongs to.
pub const LOGIN: &str = "cluster-bot";

/// The server, gone when dropped.
pub struct TestGitHub {
    server: HttpServer,
    shared: Arc<Shared>,
}

struct Shared {
    remote: GitRemote,
    api: Api,
    faults: Faults,
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
        let shared = Arc::new(Shared { remote, api, faults: Faults::default() });
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
        let fault = self.faults.meet(&format!("{} {}", asked.method, asked.path));
        let Some(fault) = fault else { return self.answer(&asked).await };
        if let Some(reply) = fault.instead() {
            return reply;
        }
        self.answer(&asked).await;
        Reply::Close
    }

    async fn answer(&self, asked: &Asked) -> Reply {
        match asked.path.strip_prefix("/api/v3") {
            Some(path) => match &self.api {
                Api::Own(state) => self.api(state, path, asked),
                Api::PassedOn(url) => pass_on(url, path, asked).await.unwrap_or(Reply::Close),
            },
            None => self.git(asked).await,
        }
    }

    async fn git(&self, asked: &Asked) -> Reply {
        let denied = |status, name: &str| Reply::Answer {
            status,
            headers: vec![("www-authenticate".to_owned(), format!("Basic realm=\"{name}\""))],
            body: "no\n".into(),
        };
        if asked.header("authorization") != BASIC {
            return denied(401, "GitHub");
        }
        let Some(rest) = asked.path.strip_prefix("/octo/cat.git") else { return denied(404, "GitHub") };
        let path = self.remote.path();
        let (Some(root), Some(name)) = (path.parent(), path.file_name()) else { return Reply::Close };
        let inner = format!("/{}{rest}", name.to_string_lossy());
        git_http::answer(root, &inner, asked).await.unwrap_or(Reply::Close)
    }

    fn api(&self, state: &Mutex<State>, path: &str, asked: &Asked) -> Reply {
        if asked.header("authorization") != format!("Bearer {TOKEN}") {
            return Reply::json(401, &json!({"message": "Bad credentials"}));
        }
        if path == "/repos/octo/old-name" {
            let location = format!("http://{}/api/v3/repositories/1", asked.header("host"));
            let headers = vec![("location".to_owned(), location)];
            return Reply::Answer { status: 301, headers, body: r#"{"message":"Moved Permanently"}"#.into() };
        }
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let branches = self.remote.branches().unwrap_or_default();
        let (status, answer) = lock(state).answer(&asked.method, path, asked, &body, &branches);
        with_limits(Reply::json(status, &answer), asked)
    }
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

async fn pass_on(url: &str, path: &str, asked: &Asked) -> Result<Reply> {
    let query = if asked.query.is_empty() { String::new() } else { format!("?{}", asked.query) };
    let headers =
        ["authorization", "accept", "content-type", "user-agent"].map(|name| (name, asked.header(name)));
    let url = format!("{url}{path}{query}");
    let answered = http_client::send(&asked.method, &url, &headers, asked.body.clone()).await?;
    let headers = answered.headers.iter().filter(|(name, _)| {
        // Of the other connection, not of the answer.
        !["transfer-encoding", "connection", "keep-alive", "content-length"].contains(&name.as_str())
    });
    let headers =
        headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    Ok(Reply::Answer { status: answered.status, headers: headers.collect(), body: answered.body })
}
