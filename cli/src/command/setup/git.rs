//! git: without it nothing is cloned and nothing is published.

use std::time::Duration;

use tokio::{process::Command, time::timeout};

use super::Check;
use crate::{environment::Environment, program};

/// How long it may take to tell its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(20);

const INSTALL: &str = "install it (Debian, Ubuntu: apt-get install git)";

pub(super) async fn check(environment: &Environment) -> Check {
    let Some(program) = program::find("git", environment.path()) else {
        return Check::missing("git", "not on PATH", INSTALL);
    };
    let mut command = Command::new(&program);
    command.arg("--version").env_clear().kill_on_drop(true);
    let shown = program.display();
    match timeout(VERSION_TIMEOUT, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout);
            Check::ok("git", format!("{} at {shown}", version.trim().trim_start_matches("git version ")))
        }
        Ok(Ok(output)) => Check::missing("git", format!("{shown} ended with {}", output.status), INSTALL),
        Ok(Err(error)) => Check::missing("git", format!("{shown}: {error}"), INSTALL),
        Err(_) => Check::missing("git", format!("{shown} does not answer"), INSTALL),
    }
}
