//! `tasks trim`: forget many tasks that have ended.

use std::time::Duration;

use clap::Args;
use shared::queue::{self, Ended};

use crate::{
    args::Global,
    command::{known_specialty, on_queue},
    error::CommandError,
    render, span,
};

#[derive(Debug, Args)]
#[group(id = "limit", required = true, multiple = true)]
pub struct Trim {
    /// Only those that ended so, by commas: completed, failed, cancelled. All of them otherwise.
    #[arg(long, value_delimiter = ',', value_parser = ["completed", "failed", "cancelled"], group = "which")]
    status: Vec<String>,
    /// Only of this specialty.
    #[arg(long, value_name = "NAME", group = "which_specialty")]
    specialty: Option<String>,
    /// What ended longer ago goes: 90s, 30m, 2h, 7d.
    #[arg(long, value_name = "SPAN", value_parser = span::parse, group = "limit")]
    older_than: Option<Duration>,
    /// So many of the newest stay, of each specialty and status.
    #[arg(long, value_name = "N", group = "limit")]
    keep: Option<u64>,
    #[arg(long)]
    json: bool,
}

impl Trim {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let trim = queue::Trim { keep: self.keep, older_than: self.older_than };
        let wanted =
            |ended: &Ended| self.status.is_empty() || self.status.iter().any(|s| s == ended.as_str());
        let removed = on_queue(global, async |session, queue| {
            let specialties = match &self.specialty {
                Some(name) => vec![known_specialty(session, queue, name).await?],
                None => queue.specialties().await?,
            };
            let mut removed = 0;
            for specialty in &specialties {
                for ended in Ended::ALL.into_iter().filter(wanted) {
                    removed += queue.trim(specialty, ended, trim).await?;
                }
            }
            Ok(removed)
        });
        let removed = removed.await?;
        if self.json {
            return render::json(&serde_json::json!({ "removed": removed }));
        }
        render::line(format!("{removed} tasks removed"))
    }
}
