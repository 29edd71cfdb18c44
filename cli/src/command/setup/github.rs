//! GitHub: whether the token is accepted, and whose it is.

use shared::{FailureClass, config::Config};

use super::Check;

const NAME: &str = "github";

pub(super) async fn check(config: &Config) -> Check {
    match shared::github::check_token(config).await {
        Ok(Some(owner)) => Check::ok(NAME, format!("the token is {owner}'s at {}", config.github.base_url)),
        Ok(None) => Check::ok(NAME, "no token (GITHUB_TOKEN): repositories by path or git URL only"),
        Err(failure) if failure.class == FailureClass::Transient => {
            Check::warn(NAME, failure.message, "look at the network, then try again")
        }
        Err(failure) => match failure.message.split_once("; ") {
            Some((found, mend)) => Check::missing(NAME, found, mend),
            None => Check::missing(NAME, failure.message, "see docs/github.md"),
        },
    }
}
