//! `pause` and `resume`: nobody claims of a specialty for a while.

use std::time::Duration;

use clap::Args;

use super::{known_specialty, on_queue};
use crate::{args::Global, environment, error::CommandError, render, span};

#[derive(Debug, Args)]
pub struct Pause {
    /// The specialty, or an alias of it.
    #[arg(value_name = "SPECIALTY")]
    specialty: String,
    /// Shown to whoever asks why tasks wait.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Resume by itself after this: 90s, 30m, 2h, 7d.
    #[arg(long = "for", value_name = "SPAN", value_parser = span::parse)]
    life: Option<Duration>,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Resume {
    /// The specialty, or an alias of it.
    #[arg(value_name = "SPECIALTY")]
    specialty: String,
    #[arg(long)]
    json: bool,
}

impl Pause {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let by = environment::user();
        let (specialty, new) = on_queue(global, async |session, queue| {
            let specialty = known_specialty(session, queue, &self.specialty).await?;
            let new = queue.pause(&specialty, &by, &self.reason, self.life).await?;
            Ok((specialty, new))
        })
        .await?;
        if self.json {
            return render::json(
                &serde_json::json!({ "specialty": specialty, "paused": true, "was_paused": !new }),
            );
        }
        render::line(format!(
            "{specialty}: paused; what runs goes on, `claude-cluster resume {specialty}` ends it"
        ))
    }
}

impl Resume {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let by = environment::user();
        let (specialty, was) = on_queue(global, async |session, queue| {
            let specialty = known_specialty(session, queue, &self.specialty).await?;
            let was = queue.resume(&specialty, &by).await?;
            Ok((specialty, was))
        })
        .await?;
        if self.json {
            return render::json(
                &serde_json::json!({ "specialty": specialty, "paused": false, "was_paused": was }),
            );
        }
        render::line(format!("{specialty}: {}", if was { "resumed" } else { "was not paused" }))
    }
}
