//! One request to GitHub's REST API, judged, and never repeated unseen.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::DateTime;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Limited};
use octocrab::Octocrab;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::timeout;

use super::{connect, endpoints::Endpoint, error::ApiError, rate::Rate};
use crate::{Failure, config::GithubConfig, task::cut};

/// Largest answer, in bytes: a hundred comments of the longest kind.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Of a refusal's text that is shown, in bytes.
const MESSAGE_BYTES_MAX: usize = 600;

/// How long GitHub is left alone that names no time: what its documentation asks for.
const LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// Where GraphQL is asked.
pub(super) const GRAPH: &str = "/graphql";

const NOT_MODIFIED: u16 = 304;

/// The API of one server.
pub(super) struct Api {
    rest: Octocrab,
    /// For the little that REST does not have.
    graph: Octocrab,
    request_max: Duration,
    rate: Mutex<Option<Rate>>,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub method: &'a Method,
    /// With its query, from the API's root.
    pub path: &'a str,
    pub body: Option<&'a Value>,
    /// Of an earlier answer, which is not to be sent again.
    pub etag: Option<&'a str>,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: &Method::GET, path, body: None, etag: None }
    }
}

/// An answer whose status is below 400.
pub(super) struct Answer {
    request: String,
    status: u16,
    /// Where it is now, in an answer of 3xx.
    pub location: Option<String>,
    /// GitHub's own clock, in seconds since the Unix epoch.
    pub date_s: Option<i64>,
    pub etag: Option<String>,
    body: Vec<u8>,
}

/// A refusal's body.
#[derive(Deserialize)]
struct Problem {
    message: String,
    #[serde(default)]
    errors: Vec<Value>,
}

impl Api {
    /// Call it on the runtime that requests will run on.
    pub(super) fn new(config: &GithubConfig) -> Result<Self, Failure> {
        let client = |base: &str| {
            let refuse = |problem| Failure::configuration(format!("github.base_url {base}: {problem}"));
            connect::client(base, config).map_err(refuse)
        };
        let (rest, graph) = (client(&config.base_url)?, client(graph_base(&config.base_url))?);
        Ok(Self {
            rest,
            graph,
            request_max: Duration::from_millis(config.timeout_ms),
            rate: Mutex::default(),
        })
    }

    /// What the last answer that told it said.
    pub(super) fn rate(&self) -> Option<Rate> {
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks once.
    pub(super) async fn ask(&self, ask: Ask<'_>, bearer: &SecretString) -> Result<Answer, ApiError> {
        let (path, query) = ask.path.split_once('?').unwrap_or((ask.path, ""));
        let request = format!("{} {path}", ask.method);
        if Endpoint::of(ask.method.as_str(), path, query).is_none() {
            return Err(ApiError::Unusable(format!(
                "{request} is not among what this program asks GitHub for: a defect, please report it"
            )));
        }
        let no_answer = |detail: String| ApiError::NoAnswer { request: request.clone(), detail };
        let sent = wire(ask, bearer).map_err(|error| no_answer(error.to_string()))?;
        let exchange = async {
            let client = if ask.path == GRAPH { &self.graph } else { &self.rest };
            let response = client.execute(sent).await;
            let (parts, body) = response.map_err(|error| no_answer(causes(&error)))?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| no_answer(format!("the answer broke off: {error}")))?;
            Ok((parts, body.to_bytes().to_vec()))
        };
        let (parts, body) = timeout(self.request_max, exchange)
            .await
            .map_err(|_| no_answer(format!("no answer within {} ms", self.request_max.as_millis())))??;
        if let Some(rate) = Rate::read(&parts.headers) {
            *self.rate.lock().unwrap_or_else(PoisonError::into_inner) = Some(rate);
        }
        let status = parts.status.as_u16();
        if status >= 400 {
            return Err(judge(request, status, &body, &parts.headers));
        }
        let date = text(&parts.headers, "date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        Ok(Answer {
            request,
            status,
            location: text(&parts.headers, "location").map(str::to_owned),
            date_s: date.map(|date| date.timestamp()),
            etag: text(&parts.headers, "etag").map(str::to_owned),
            body,
        })
    }
}

/// GraphQL stands beside an Enterprise Server's REST API, and below GitHub's own.
fn graph_base(rest: &str) -> &str {
    let rest = rest.trim_end_matches('/');
    rest.strip_suffix("/v3").unwrap_or(rest)
}

fn wire(ask: Ask<'_>, bearer: &SecretString) -> Result<Request<String>, http::Error> {
    let mut authorization = header::HeaderValue::try_from(format!("Bearer {}", bearer.expose_secret()))?;
    authorization.set_sensitive(true);
    let mut request = Request::builder()
        .method(ask.method)
        .uri(ask.path)
        .header(header::AUTHORIZATION, authorization)
        .header(header::ACCEPT, "application/vnd.github+json");
    if let Some(etag) = ask.etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    match ask.body {
        Some(body) => {
            request.header(header::CONTENT_TYPE, "application/json; charset=utf-8").body(body.to_string())
        }
        None => request.body(String::new()),
    }
}

impl Answer {
    pub(super) fn is_redirect(&self) -> bool {
        self.status >= 300 && self.status != NOT_MODIFIED
    }

    /// Whether what the etag stands for is still what there is.
    pub(super) fn is_unchanged(&self) -> bool {
        self.status == NOT_MODIFIED
    }

    /// `Ok` for an answer that says done, whatever else it says.
    pub(super) fn settled(&self) -> Result<(), ApiError> {
        let request = self.request.clone();
        if self.is_redirect() {
            let message = format!("moved to {}", self.location.as_deref().unwrap_or("an unknown place"));
            return Err(ApiError::Refused { request, status: self.status, message });
        }
        Ok(())
    }

    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        self.settled()?;
        serde_json::from_slice(&self.body).map_err(|error| ApiError::Unreadable {
            request: self.request.clone(),
            detail: error.to_string(),
        })
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn judge(request: String, status: u16, body: &[u8], headers: &HeaderMap) -> ApiError {
    let header = |name: &'static str| text(headers, name);
    let problem = serde_json::from_slice::<Problem>(body).ok();
    let message = problem.as_ref().map_or("", |problem| problem.message.as_str());
    let spent = header("x-ratelimit-remaining") == Some("0");
    let limited = header("retry-after").is_some() || spent || message.contains("rate limit");
    match status {
        429 => {}
        403 if limited => {}
        500.. => return ApiError::Server { request, status },
        _ => {
            let details = problem.iter().flat_map(|problem| &problem.errors).map(Value::to_string);
            let message = std::iter::once(message.to_owned()).chain(details).collect::<Vec<_>>().join("; ");
            return ApiError::Refused {
                request,
                status,
                message: cut(&message, MESSAGE_BYTES_MAX).to_owned(),
            };
        }
    }
    let number = |name| header(name).and_then(|value| value.trim().parse::<u64>().ok());
    let reset = number("x-ratelimit-reset").filter(|_| spent).map(|at_s| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs(at_s).saturating_sub(now)
    });
    let retry_after = number("retry-after").map(Duration::from_secs).or(reset).unwrap_or(LIMIT_PAUSE);
    ApiError::Limited { request, retry_after }
}

/// An error with what caused it, down to the system's own word.
fn causes(error: &octocrab::Error) -> String {
    let mut text = String::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}
