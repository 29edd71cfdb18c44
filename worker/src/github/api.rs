//! One request to GitHub's REST API, judged, and never repeated unseen.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use http_body_util::{BodyExt, Limited};
use octocrab::Octocrab;
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use shared::{Failure, config::GithubConfig, task::cut};
use tokio::time::timeout;

use super::{error::ApiError, patience::Patience};

/// Largest answer, in bytes: a hundred comments of the longest kind.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Of a refusal's text that is shown, in bytes.
const MESSAGE_BYTES_MAX: usize = 600;

/// How long GitHub is left alone that names no time: what its documentation asks for.
const LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// Entries of one page, the most that GitHub gives.
pub(super) const PAGE_ENTRIES: usize = 100;

/// The API as one token sees it.
pub(super) struct Api {
    crab: Octocrab,
    request_max: Duration,
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Get,
    Post(&'a Value),
    Patch(&'a Value),
}

/// An answer whose status is below 400.
pub(super) struct Answer {
    request: String,
    status: u16,
    /// Where it is now, in an answer of 3xx.
    pub location: Option<String>,
    /// GitHub's own clock, in seconds since the Unix epoch.
    pub date_s: Option<i64>,
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
    pub(super) fn new(config: &GithubConfig, token: &SecretString) -> Result<Self, Failure> {
        let refuse = |error: octocrab::Error| {
            Failure::configuration(format!("github.base_url {}: {}", config.base_url, causes(&error)))
        };
        let builder = Octocrab::builder().base_uri(config.base_url.as_str()).map_err(refuse)?;
        let crab = builder.personal_token(token.clone()).build().map_err(refuse)?;
        Ok(Self { crab, request_max: Duration::from_millis(config.timeout_ms) })
    }

    /// Reads, again and again for as long as patience lasts. A redirect is an error.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        patience: &mut Patience,
    ) -> Result<T, ApiError> {
        self.get(path, patience).await?.decode()
    }

    /// As [`Api::read`], and hands redirects out.
    pub(super) async fn get(&self, path: &str, patience: &mut Patience) -> Result<Answer, ApiError> {
        loop {
            match self.once("GET", path, Ask::Get).await {
                Ok(answer) => return Ok(answer),
                Err(error) => patience.wait_after(error).await?,
            }
        }
    }

    /// Creates, in one try. After an error that passes, nobody knows whether it was done: look before the next.
    pub(super) async fn create<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, ApiError> {
        self.once("POST", path, Ask::Post(body)).await?.decode()
    }

    /// Changes, in one try.
    pub(super) async fn change<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, ApiError> {
        self.once("PATCH", path, Ask::Patch(body)).await?.decode()
    }

    async fn once(&self, method: &str, path: &str, ask: Ask<'_>) -> Result<Answer, ApiError> {
        let request = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let no_answer = |detail: String| ApiError::NoAnswer { request: request.clone(), detail };
        let exchange = async {
            let response = match ask {
                Ask::Get => self.crab._get(path).await,
                Ask::Post(body) => self.crab._post(path, Some(body)).await,
                Ask::Patch(body) => self.crab._patch(path, Some(body)).await,
            };
            let (parts, body) = response.map_err(|error| no_answer(causes(&error)))?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| no_answer(format!("the answer broke off: {error}")))?;
            Ok((parts, body.to_bytes().to_vec()))
        };
        let (parts, body) = timeout(self.request_max, exchange)
            .await
            .map_err(|_| no_answer(format!("no answer within {} ms", self.request_max.as_millis())))??;
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let status = parts.status.as_u16();
        if status >= 400 {
            return Err(judge(request, status, &body, header));
        }
        let date = header("date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        Ok(Answer {
            request,
            status,
            location: header("location").map(str::to_owned),
            date_s: date.map(|date| date.timestamp()),
            body,
        })
    }
}

impl Answer {
    pub(super) fn is_redirect(&self) -> bool {
        self.status >= 300
    }

    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let request = self.request.clone();
        if self.is_redirect() {
            let message = format!("moved to {}", self.location.as_deref().unwrap_or("an unknown place"));
            return Err(ApiError::Refused { request, status: self.status, message });
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::Unreadable { request, detail: error.to_string() })
    }
}

fn judge<'h>(
    request: String,
    status: u16,
    body: &[u8],
    header: impl Fn(&str) -> Option<&'h str>,
) -> ApiError {
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
    let number = |name: &str| header(name).and_then(|value| value.trim().parse::<u64>().ok());
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
