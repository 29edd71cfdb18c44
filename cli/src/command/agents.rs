//! `agents`: who works, on what, and how they are.

use std::collections::BTreeMap;

use clap::Args;
use ingest::classify::Classifier;
use shared::{
    Specialty,
    lifecycle::UnixMs,
    queue::{QueueError, Stopped},
    worker_info::WorkerState,
};

use crate::{
    args::Global,
    clock,
    embedded_redis::Need,
    error::CommandError,
    render,
    session::{Log, Session},
};

#[derive(Debug, Args)]
pub struct Agents {
    #[arg(long)]
    json: bool,
}

impl Agents {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let session = Session::start(global, Vec::new(), Log::OneShot)?;
        let connection = session.connect(Need::Read)?;
        let read =
            async { Ok((connection.queue.workers().await?, connection.queue.drained_workers().await?)) };
        let read: Result<_, QueueError> = read.await;
        connection.close();
        let (workers, drained) = read?;
        if self.json {
            return render::json(&workers);
        }
        let known = Classifier::load(&session.config().classify)?;
        let names: Vec<&str> = known.specialties().iter().map(Specialty::as_str).collect();
        render::line(format!("specialties: {}", names.join(", ")))?;
        print_table(&workers)?;
        for worker in &workers {
            if let Some(why) = worker.unready() {
                render::line(format!("{} claims nothing: {why}", worker.id()))?;
            }
        }
        for line in accounts(&workers) {
            render::line(line)?;
        }
        for (node, stopped) in &drained {
            render::line(told(node, stopped))?;
        }
        Ok(())
    }
}

/// What has been spent today from each account, as whoever looked last saw it; once for each budget.
fn accounts(workers: &[WorkerState]) -> Vec<String> {
    let mut spent: BTreeMap<(&str, Option<u64>), u64> = BTreeMap::new();
    for worker in workers {
        let WorkerState::Online(info) = worker else { continue };
        for account in &info.accounts {
            let sum = spent.entry((&account.name, account.micro_usd_per_day)).or_default();
            *sum = account.micro_usd_today.max(*sum);
        }
    }
    let told = |((name, budget), spent): ((&str, Option<u64>), u64)| match budget {
        Some(budget) => {
            format!(
                "account {name}: {} of {} spent since midnight UTC",
                render::usd(spent),
                render::usd(budget)
            )
        }
        None => format!("account {name}: {} spent since midnight UTC", render::usd(spent)),
    };
    spent.into_iter().map(told).collect()
}

/// Who drained a worker, which may be offline, and why.
fn told(node: &str, stopped: &Stopped) -> String {
    let why = if stopped.reason.is_empty() { String::new() } else { format!(": {}", stopped.reason) };
    format!("{node} was drained by {} {}{why}", stopped.by, render::ago(stopped.at, clock::now()))
}

/// A line for each worker.
pub fn print_table(workers: &[WorkerState]) -> Result<(), CommandError> {
    if workers.is_empty() {
        return render::line("no worker has been here within a day; start one with `claude-cluster worker`");
    }
    let heading = ["WORKER", "STATUS", "SLOTS", "SPECIALTIES", "AGENT", "SANDBOX", "LAST BEAT"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(workers.iter().map(|worker| row(worker, clock::now())));
    render::table(&rows)
}

fn row(worker: &WorkerState, now: UnixMs) -> Vec<String> {
    match worker {
        WorkerState::Online(info) => {
            let status = match info.suspended_until {
                Some(until) if until > now => format!("suspended until {} UTC", render::clock(until)),
                _ if info.draining => "draining".to_owned(),
                _ if info.unready.is_some() => "unready".to_owned(),
                _ => "online".to_owned(),
            };
            let specialties: Vec<&str> = info.specialties.iter().map(shared::Specialty::as_str).collect();
            vec![
                info.id.clone(),
                status,
                format!("{}/{}", info.running.len(), info.slots),
                specialties.join(","),
                info.agent.clone(),
                info.sandbox.clone(),
                render::ago(info.beat_at, now),
            ]
        }
        WorkerState::Offline { id, last_beat_at } => {
            let unknown = || "-".to_owned();
            vec![
                id.clone(),
                "offline".to_owned(),
                unknown(),
                unknown(),
                unknown(),
                unknown(),
                render::ago(*last_beat_at, now),
            ]
        }
    }
}
