//! git: without it nothing is cloned and nothing is published.

use super::{Check, version_of};
use crate::{environment::Environment, program};

const INSTALL: &str = "install it (Debian, Ubuntu: apt-get install git)";

pub(super) async fn check(environment: &Environment) -> Check {
    let Some(program) = program::find("git", environment.path()) else {
        return Check::missing("git", "not on PATH", INSTALL);
    };
    match version_of(&program, &[]).await {
        Ok(version) => {
            Check::ok("git", format!("{} at {}", version.replace("git version ", ""), program.display()))
        }
        Err(problem) => Check::missing("git", format!("{}: {problem}", program.display()), INSTALL),
    }
}
