//! The worker's health page: `/health` says that the process lives, `/ready` that it takes tasks, `/metrics` what is
//! measured.
//!
//! It tells nothing about tasks and takes nothing but these questions.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::github::{GitHub, METRICS_TYPE, Rate};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{disk::Disk, ledger::Ledger};

/// Connections at a time; the next one waits to be accepted.
const CONNECTIONS_MAX: usize = 16;

/// How long one connection may last: a probe asks one thing and goes.
const CONNECTION_TIME: Duration = Duration::from_secs(5);

/// Wait after an accept that failed because the process is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the page tells of.
pub(crate) struct HealthPage {
    pub node: String,
    pub ledger: Arc<Ledger>,
    pub disk: Arc<Disk>,
    /// `None` without a token.
    pub github: Option<Arc<GitHub>>,
    /// Longer without an answer from Redis, the worker is not ready.
    pub silence_max: Duration,
    pub draining: CancellationToken,
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    status: &'static str,
    node_id: &'a str,
    version: &'static str,
}

impl HealthPage {
    /// Serves until `told`.
    pub(crate) async fn serve(self, listener: TcpListener, told: CancellationToken) {
        let page = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, _)) => drop(connections.spawn(Arc::clone(&page).connection(stream))),
                    Err(error) => {
                        tracing::debug!(%error, "the health page cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = told.cancelled() => return,
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| {
            let answer = self.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut protocol = http1::Builder::new();
        protocol.timer(TokioTimer::new()).keep_alive(false);
        // A client that hangs up or is slow gets no answer, and nobody misses it.
        let _ = timeout(CONNECTION_TIME, protocol.serve_connection(TokioIo::new(stream), service)).await;
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        let (code, status) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/health") => (StatusCode::OK, "ok"),
            (&Method::GET | &Method::HEAD, "/ready") => self.readiness(),
            (&Method::GET | &Method::HEAD, "/metrics") => return self.metrics(),
            (_, "/health" | "/ready" | "/metrics") => {
                (StatusCode::METHOD_NOT_ALLOWED, "this path takes GET, HEAD")
            }
            _ => (StatusCode::NOT_FOUND, "there are /health, /ready and /metrics"),
        };
        let answer = Answer { status, node_id: &self.node, version: env!("CARGO_PKG_VERSION") };
        let mut response = Response::new(serde_json::to_string(&answer).unwrap_or_default());
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if code == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    fn metrics(&self) -> Response<String> {
        let rate = self.github.as_ref().and_then(|github| github.rate());
        let mut response = Response::new(Rate::metrics(rate) + &self.disk.metrics());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
        response
    }

    fn readiness(&self) -> (StatusCode, &'static str) {
        if self.draining.is_cancelled() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else if self.ledger.silence().is_none_or(|silence| silence > self.silence_max) {
            (StatusCode::SERVICE_UNAVAILABLE, "redis does not answer")
        } else if self.disk.shortage().is_some() {
            (StatusCode::SERVICE_UNAVAILABLE, "the disk is nearly full")
        } else {
            (StatusCode::OK, "ready")
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::{
        config::Config,
        github::{GitHub, Patience},
    };
    use testkit::{GitRemote, TestGitHub, github::TOKEN};

    use super::*;

    #[tokio::test]
    async fn what_is_left_of_the_rate_limit_is_told_once_github_has_answered() {
        let server = TestGitHub::start(GitRemote::with_files(&[("a", "a")]).unwrap()).await.unwrap();
        let mut config = Config::defaults().unwrap().github;
        config.token = TOKEN.to_owned().into();
        (config.base_url, config.git_base_url) = (server.api_url(), server.git_url());
        let github = GitHub::open(&config).unwrap().unwrap();
        let page = HealthPage {
            node: "w1".to_owned(),
            ledger: Arc::new(Ledger::new()),
            disk: Arc::new(Disk::of(std::path::Path::new("/"), 0)),
            github: Some(Arc::clone(&github)),
            silence_max: Duration::ZERO,
            draining: CancellationToken::new(),
        };
        assert!(!page.metrics().body().contains("github_"), "{}", page.metrics().body());
        github.own(&mut Patience::new(Duration::from_secs(20))).await.unwrap();
        let told = page.metrics();
        assert_eq!(told.headers()[CONTENT_TYPE], METRICS_TYPE);
        assert!(told.body().contains("\ngithub_rate_limit_remaining 4999\n"), "{}", told.body());
    }
}
