//! Runs tasks in workspaces: the part that follows.
#![expect(clippy::unused_async, clippy::unused_self, clippy::unnecessary_literal_bound, reason = "seam")]

use std::path::PathBuf;

use shared::{
    Failure,
    config::{AgentConfig, Config},
    state_dir::StateDir,
};

use crate::run::{RunControl, RunEnd, RunInput};

/// Runs one task at a time or several.
pub struct Executor;

impl Executor {
    pub async fn prepare(_: &Config, _: &StateDir, _: PathBuf) -> Result<Self, Failure> {
        Err(Failure::configuration("runs are not built yet"))
    }

    pub async fn run(&self, _: RunInput, _: RunControl) -> RunEnd {
        RunEnd::Failed(Failure::configuration("runs are not built yet"))
    }

    pub fn agent(&self, _: &AgentConfig) -> String {
        String::new()
    }

    pub fn sandbox(&self) -> &str {
        ""
    }
}
