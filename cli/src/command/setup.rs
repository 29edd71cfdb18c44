//! `setup`: how this machine stands, and how to mend what is missing.

mod agent;
mod git;
mod github;
mod machine;
mod redis;

use clap::Args;
use serde::Serialize;

use crate::{
    args::Global,
    error::CommandError,
    render,
    session::{Log, Session},
};

#[derive(Debug, Args)]
pub struct Setup {
    /// As a list of {name, standing, found, mend}.
    #[arg(long)]
    json: bool,
}

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Standing {
    Ok,
    /// Works, and could be better.
    Warn,
    /// Nothing runs without it.
    Missing,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
struct Check {
    name: &'static str,
    standing: Standing,
    found: String,
    /// What to do about it.
    mend: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, standing: Standing::Ok, found: found.into(), mend: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, standing: Standing::Warn, found: found.into(), mend: Some(mend.into()) }
    }

    fn missing(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, standing: Standing::Missing, found: found.into(), mend: Some(mend.into()) }
    }
}

impl Setup {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let session = Session::start(global, Vec::new(), Log::OneShot)?;
        let mut checks = vec![git::check(&session.environment).await];
        checks.extend(redis::check(&session).await);
        checks.extend(agent::check(&session).await?);
        checks.push(github::check(session.config()).await);
        checks.push(machine::disk(&session));
        checks.push(machine::state_dir(&session));
        checks.push(machine::repositories(session.config()));
        if self.json {
            render::json(&checks)?;
        } else {
            for check in &checks {
                print(check)?;
            }
        }
        let missing: Vec<&str> = checks
            .iter()
            .filter(|check| check.standing == Standing::Missing)
            .map(|check| check.name)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(CommandError::MissingTool(format!("not ready: {}", missing.join(", "))))
    }
}

fn print(check: &Check) -> Result<(), CommandError> {
    let standing = match check.standing {
        Standing::Ok => "ok",
        Standing::Warn => "warn",
        Standing::Missing => "missing",
    };
    render::line(format!("{standing:<8} {:<12} {}", check.name, check.found))?;
    check.mend.as_ref().map_or(Ok(()), |mend| render::line(format!("{:<8} {:<12} -> {mend}", "", "")))
}
