//! Requests that the API does not serve.

use shared::{TaskId, queue::QueueError};
use warp::{
    Reply,
    http::{
        HeaderValue, StatusCode,
        header::{ALLOW, WWW_AUTHENTICATE},
    },
    reply::Response,
};

use crate::{body::BodyError, bounded_queue::Unavailable, problem};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("there is nothing at this path; /openapi.json lists what there is")]
    NoSuchPath,
    #[error("this path takes {0}")]
    NoSuchMethod(String),
    #[error("the request names no host it is meant for, or several")]
    NoHost,
    #[error("requests for {0} are not taken here; if this server goes by that name, add it to api.hosts")]
    OtherHost(String),
    #[error("requests from pages of another site are not taken")]
    OtherOrigin,
    #[error(
        "send the header 'Authorization: Bearer TOKEN'; the token is what api.token says, else in the file api-token of the state directory"
    )]
    NoToken,
    #[error("the token is not the right one")]
    WrongToken,
    #[error("send the body with 'Content-Type: application/json'")]
    NotJson,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the body is not JSON: {0}")]
    Malformed(String),
    #[error("{0}")]
    BadQuery(String),
    /// Well-formed, and yet no task can be made of it.
    #[error("{0}")]
    Unprocessable(String),
    #[error("there is no task {0}")]
    NoSuchTask(String),
    #[error("issue {issue} has an unsettled task already: {task}")]
    IssueTaken { issue: String, task: TaskId },
    #[error("the task is {0} and cannot be cancelled any more")]
    Settled(&'static str),
    #[error("the task is {status} and cannot be {what}")]
    WrongState { status: &'static str, what: &'static str },
    #[error("what the task was to do is not kept any more")]
    NoSpec,
    #[error("there is no {what} '{name}'")]
    NoSuch { what: &'static str, name: String },
    #[error("the queue does not answer now: {0}")]
    QueueDown(Unavailable),
    /// A defect, or keys that were changed by hand.
    #[error("{0}")]
    Defect(QueueError),
}

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Queue(defect @ (QueueError::Unexpected { .. } | QueueError::Spec { .. })) => {
                Self::Defect(defect)
            }
            other => Self::QueueDown(other),
        }
    }
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath | Self::NoSuchTask(_) | Self::NoSuch { .. } => StatusCode::NOT_FOUND,
            Self::NoSuchMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoHost | Self::Malformed(_) | Self::BadQuery(_) => StatusCode::BAD_REQUEST,
            Self::OtherHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::OtherOrigin => StatusCode::FORBIDDEN,
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(error) => error.status(),
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::IssueTaken { .. } | Self::Settled(_) | Self::WrongState { .. } | Self::NoSpec => {
                StatusCode::CONFLICT
            }
            Self::QueueDown(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Defect(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::NoSuchPath => "no-such-path",
            Self::NoSuchMethod(_) => "no-such-method",
            Self::NoHost => "no-host",
            Self::OtherHost(_) => "other-host",
            Self::OtherOrigin => "other-origin",
            Self::NoToken => "no-token",
            Self::WrongToken => "wrong-token",
            Self::NotJson => "not-json",
            Self::Body(error) => error.kind(),
            Self::Malformed(_) => "malformed",
            Self::BadQuery(_) => "bad-query",
            Self::Unprocessable(_) => "unprocessable",
            Self::NoSuchTask(_) => "no-such-task",
            Self::IssueTaken { .. } => "issue-taken",
            Self::Settled(_) => "settled",
            Self::WrongState { .. } => "wrong-state",
            Self::NoSpec => "no-specification",
            Self::NoSuch { .. } => "no-such-name",
            Self::QueueDown(_) => "queue-down",
            Self::Defect(_) => "defect",
        }
    }

    /// The header that this status asks for, besides what every problem has.
    fn challenge(&self) -> Option<(warp::http::HeaderName, HeaderValue)> {
        match self {
            Self::NoSuchMethod(allow) => Some((ALLOW, HeaderValue::from_str(allow).ok()?)),
            Self::NoToken => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"claude-cluster\"")))
            }
            Self::WrongToken => Some((
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"claude-cluster\", error=\"invalid_token\""),
            )),
            _ => None,
        }
    }
}

impl Reply for Refusal {
    fn into_response(self) -> Response {
        let mut response = problem::response(self.status(), self.kind(), self.to_string());
        if let Some((name, value)) = self.challenge() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
