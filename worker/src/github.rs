//! What only a worker does on GitHub: it reads what people wrote below an issue, and publishes. Requests go by
//! [`shared::github`].
//!
//! What is written there, and which permissions that takes: `docs/github.md`.

mod pull_request;
mod told;

use std::time::Duration;

pub(crate) use self::{
    pull_request::{Content, Published, PullRequests, Standing},
    told::{Below, Comment},
};

/// How long a finished run waits to be published: the work is paid for.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(300);
