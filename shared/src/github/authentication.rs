//! As whom GitHub is asked.

use secrecy::SecretString;

use super::error::ApiError;

/// What proves who we are.
pub(super) enum Credentials {
    /// A personal token, or one that somebody else has minted.
    Token(SecretString),
}

impl Credentials {
    /// The bearer token of the next request.
    #[expect(clippy::unused_async, reason = "an app's token is asked for")]
    pub(super) async fn bearer(&self) -> Result<SecretString, ApiError> {
        match self {
            Self::Token(token) => Ok(token.clone()),
        }
    }
}
