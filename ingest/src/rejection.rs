//! Webhooks that are not taken.

use std::fmt;

use warp::{
    Reply,
    http::{HeaderValue, StatusCode, header::ALLOW},
    reply::Response,
};

use crate::{body::BodyError, gate::NotNow, problem, signature::SignatureError};

/// Why a request is refused. Nothing here is a 500: what is not the client's fault passes by itself.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    #[error(transparent)]
    Body(#[from] BodyError),
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
    #[error("{0}")]
    GithubDown(String),
    #[error("there is nothing at this path; webhooks go to /webhook/github")]
    NoSuchPath,
    #[error("this path takes {allow}")]
    NoSuchMethod { allow: &'static str },
}

impl Rejection {
    /// A body that is not what GitHub sends.
    pub fn malformed(detail: impl fmt::Display) -> Self {
        Self::Malformed(problem::detail(&detail))
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::Body(error) => error.status(),
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::QueueDown(_) | Self::GithubDown(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unsigned(_) => StatusCode::UNAUTHORIZED,
            Self::FromBrowser => StatusCode::FORBIDDEN,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NoSuchMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Body(error) => error.kind(),
            Self::Unsigned(_) => "bad-signature",
            Self::FromBrowser => "from-browser",
            Self::NotJson => "not-json",
            Self::Malformed(_) => "malformed",
            Self::QueueDown(_) => "queue-down",
            Self::GithubDown(_) => "github-down",
            Self::NoSuchPath => "no-such-path",
            Self::NoSuchMethod { .. } => "no-such-method",
        }
    }
}

impl From<NotNow> for Rejection {
    fn from(not_now: NotNow) -> Self {
        match not_now {
            NotNow::Queue(error) => Self::QueueDown(error.to_string()),
            NotNow::Trust(error) => Self::GithubDown(error.to_string()),
        }
    }
}

impl Reply for Rejection {
    fn into_response(self) -> Response {
        let mut response = problem::response(self.status(), self.kind(), self.to_string());
        if let Self::NoSuchMethod { allow } = self {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}
