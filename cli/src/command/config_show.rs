//! `config show`: what is in effect, and who set it.

use clap::{Args, Subcommand};
use shared::config;

use crate::{args::Global, environment::Environment, error::CommandError, render, session::sources};

#[derive(Debug, Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print every effective value and where it comes from; secrets are masked.
    Show {
        /// As a list of {key, value, origin}.
        #[arg(long)]
        json: bool,
    },
}

impl ConfigCommand {
    pub fn run(self, global: &Global) -> Result<(), CommandError> {
        let Action::Show { json } = self.action;
        let loaded = config::load(&sources(global, &Environment::capture(), Vec::new()))?;
        if json {
            return render::json(&loaded.settings);
        }
        for warning in &loaded.warnings {
            render::line(format!("# warning: {warning}"))?;
        }
        for setting in &loaded.settings {
            render::line(format!("{} = {}  # {}", setting.key, setting.value, setting.origin))?;
        }
        Ok(())
    }
}
