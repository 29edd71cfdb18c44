//! What GitHub said instead of what was asked for, and what follows from it.

use std::time::Duration;

use crate::{Failure, FailureClass};

/// A request that was not answered as it should have been. `request` is its method and path.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody knows whether it was carried out.
    #[error("{request}: {detail}")]
    NoAnswer { request: String, detail: String },
    #[error("{request}: GitHub answered {status}")]
    Server { request: String, status: u16 },
    #[error("{request}: GitHub's rate limit is used up")]
    Limited { request: String, retry_after: Duration },
    #[error("{request}: GitHub answered {status}: {message}")]
    Refused { request: String, status: u16, message: String },
    /// Something that is not GitHub's API answered, or a version of it that is not known here.
    #[error("{request}: the answer cannot be read ({detail})")]
    Unreadable { request: String, detail: String },
    /// The credentials cannot do it, whatever is asked.
    #[error("{0}")]
    Unusable(String),
}

impl ApiError {
    /// Whether the same request may succeed later. A write that is to be repeated must be looked for first.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } | Self::Server { .. } | Self::Limited { .. } => true,
            Self::Refused { .. } | Self::Unreadable { .. } | Self::Unusable(_) => false,
        }
    }

    /// How long GitHub asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Server { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The failure of `doing`, such as "cannot read octo/cat".
    pub fn into_failure(self, doing: &str) -> Failure {
        let class = if self.is_passing() {
            FailureClass::Transient
        } else if self.status() == Some(422) {
            FailureClass::Task
        } else {
            FailureClass::Configuration
        };
        let remedy = match self.status() {
            Some(401) => {
                "; the token is not accepted: set GITHUB_TOKEN, or an app's github.app_id and github.app_key_file, to \
                 what is valid"
            }
            Some(403) => {
                "; the token lacks a permission (Contents, Pull requests and Issues: read and write; see docs/github.md)"
            }
            Some(404) => {
                "; it does not exist, or the token may not see it: check the name and the token's repositories"
            }
            Some(301 | 302 | 307 | 308 | 410) => "; it was moved or deleted: use its present name",
            _ if matches!(self, Self::Unusable(_)) => "",
            _ if class == FailureClass::Configuration => "; check github.base_url",
            _ => "",
        };
        Failure { retry_after: self.retry_after(), ..Failure::new(class, format!("{doing}: {self}{remedy}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_class_and_says_what_to_do() {
        let refused = |status| ApiError::Refused { request: "GET /x".into(), status, message: "no".into() };
        for (status, class, told) in [
            (401, FailureClass::Configuration, "GITHUB_TOKEN"),
            (403, FailureClass::Configuration, "permission"),
            (404, FailureClass::Configuration, "does not exist"),
            (410, FailureClass::Configuration, "deleted"),
            (422, FailureClass::Task, "answered 422"),
        ] {
            let failure = refused(status).into_failure("cannot read o/n");
            assert_eq!(failure.class, class, "{status}");
            assert!(failure.message.contains(told), "{}", failure.message);
        }
        let limited = ApiError::Limited { request: "GET /x".into(), retry_after: Duration::from_secs(9) };
        let failure = limited.into_failure("cannot read o/n");
        assert_eq!(
            (failure.class, failure.retry_after),
            (FailureClass::Transient, Some(Duration::from_secs(9)))
        );
    }
}
