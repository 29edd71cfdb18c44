//! How long a run takes to have its workspace, beside a bare `git worktree add` of the same commit in the same mirror:
//! `cargo bench -p worker --bench workspace`. The repository has 50,000 files and 5,000 commits. One table on stdout.
//! Machines are noisy: compare the ratios of a run.

#[path = "workspace/bed.rs"]
mod bed;
#[path = "workspace/repository.rs"]
mod repository;

use std::{io::Write as _, time::Duration};

use anyhow::Result;
use bed::Bed;

/// Times that each is measured; the median counts.
const ROUNDS: usize = 7;

/// What a warm workspace may take, as a multiple of `git worktree add`.
const RATIO_MAX: f64 = 1.3;

#[tokio::main]
async fn main() -> Result<()> {
    let bed = Bed::new().await?;
    eprintln!("the repository: {} files, {} commits", repository::FILES, repository::COMMITS);
    let cold = bed.cold().await?;
    let clone = bed.clone_bare()?;
    let (mut warm, mut worktree, mut removal) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let ours = bed.warm().await?;
        warm.push(ours.ready);
        removal.push(ours.removed);
        worktree.push(bed.worktree_add()?);
        eprintln!("{round}: {:?} against {:?}", ours.ready, worktree[round - 1]);
    }
    let (warm, worktree, removal) = (median(warm), median(worktree), median(removal));
    let ratio = warm.as_secs_f64() / worktree.as_secs_f64();
    let verdict = if ratio <= RATIO_MAX { "reached" } else { "MISSED" };
    let rows = [
        ("git worktree add", worktree, String::new()),
        ("workspace, mirror warm", warm, format!("{ratio:.2} x, at most {RATIO_MAX}: {verdict}")),
        ("its removal", removal, String::new()),
        ("git clone --bare", clone, String::new()),
        (
            "workspace, no mirror yet",
            cold,
            format!("{:.2} x clone and worktree", over(cold, clone + worktree)),
        ),
    ];
    let mut out = std::io::stdout().lock();
    writeln!(out, "| What | Median of {ROUNDS} | Ratio |\n|---|---|---|")?;
    for (what, time, ratio) in rows {
        writeln!(out, "| {what} | {} ms | {ratio} |", time.as_millis())?;
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn over(ours: Duration, theirs: Duration) -> f64 {
    ours.as_secs_f64() / theirs.as_secs_f64()
}
