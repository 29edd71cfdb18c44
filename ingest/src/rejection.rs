//! Requests that are not served, each answered as problem details (RFC 9457) in JSON.

use std::fmt;

use serde::Serialize;
use warp::{
    Reply,
    http::{
        HeaderValue, StatusCode,
        header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
    },
    reply::Response,
};

use crate::signature::SignatureError;

/// When to come again after a 503, in seconds.
const RETRY_AFTER_S: &str = "10";

/// Characters of a parser's message that are repeated; it may quote the payload.
const DETAIL_CHARS_MAX: usize = 200;

/// Why a request is refused. Nothing here is a 500: what is not the client's fault passes by itself.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    #[error("the body is larger than ingest.body_bytes_max, {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the body did not arrive within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("the body broke off")]
    BrokenOff,
    #[error("too many requests are being received at once")]
    Busy,
    #[error(transparent)]
    Unsigned(#[from] SignatureError),
    #[error("unsigned webhooks are not taken from a browser")]
    FromBrowser,
    #[error("choose application/json as the webhook's content type")]
    NotJson,
    #[error("{0}")]
    Malformed(String),
    #[error("the queue cannot take the task now: {0}")]
    QueueDown(String),
    #[error("there is nothing at this path; webhooks go to /webhook/github")]
    NoSuchPath,
    #[error("this path takes {allow}")]
    NoSuchMethod { allow: &'static str },
}

#[derive(Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
}

impl Rejection {
    /// A body that is not what GitHub sends.
    pub fn malformed(detail: impl fmt::Display) -> Self {
        Self::Malformed(format!("{detail:.DETAIL_CHARS_MAX$}"))
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Busy | Self::QueueDown(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unsigned(_) => StatusCode::UNAUTHORIZED,
            Self::FromBrowser => StatusCode::FORBIDDEN,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NoSuchMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "body-too-large",
            Self::TooSlow { .. } => "body-too-slow",
            Self::BrokenOff => "body-broken-off",
            Self::Busy => "busy",
            Self::Unsigned(_) => "bad-signature",
            Self::FromBrowser => "from-browser",
            Self::NotJson => "not-json",
            Self::Malformed(_) => "malformed",
            Self::QueueDown(_) => "queue-down",
            Self::NoSuchPath => "no-such-path",
            Self::NoSuchMethod { .. } => "no-such-method",
        }
    }
}

impl Reply for Rejection {
    fn into_response(self) -> Response {
        let status = self.status();
        let problem = Problem {
            kind: format!("urn:claude-cluster:{}", self.kind()),
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.to_string(),
        };
        let mut response = warp::reply::with_status(warp::reply::json(&problem), status).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if let Self::NoSuchMethod { allow } = self {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}
