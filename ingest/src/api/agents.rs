//! `GET /api/agents`: the workers.

use serde::Serialize;
use shared::{
    Specialty, TaskId,
    worker_info::{AccountInfo, SystemInfo, WorkerInfo, WorkerState},
};
use warp::http::StatusCode;

use super::{Answer, Api, control::StoppedView, json, timestamp::Timestamp};

#[derive(Serialize)]
struct Agents {
    agents: Vec<AgentView>,
}

/// The fields of the data model, then those that say more. Of a worker that is offline only its name and its last
/// beat are known.
#[derive(Serialize)]
struct AgentView {
    id: String,
    hostname: Option<String>,
    specialties: Vec<Specialty>,
    status: &'static str,
    current_tasks: usize,
    max_concurrent_tasks: u32,
    last_heartbeat: Timestamp,
    system_info: Option<SystemInfo>,
    claude_code_version: Option<String>,
    workspace_root: Option<String>,
    port: Option<u16>,
    running: Vec<TaskId>,
    draining: bool,
    /// Who drained it, also when it is offline.
    drained: Option<StoppedView>,
    suspended_until: Option<Timestamp>,
    unready: Option<String>,
    accounts: Vec<AccountView>,
    agent: Option<String>,
    sandbox: Option<String>,
    version: Option<String>,
    started_at: Option<Timestamp>,
}

/// What has been spent from an account since midnight UTC, by all workers.
#[derive(Serialize)]
struct AccountView {
    name: String,
    spent_usd_today: f64,
    budget_usd_per_day: Option<f64>,
}

impl From<AccountInfo> for AccountView {
    fn from(account: AccountInfo) -> Self {
        let usd = |micro_usd: u64| micro_usd as f64 / 1_000_000.0;
        Self {
            name: account.name,
            spent_usd_today: usd(account.micro_usd_today),
            budget_usd_per_day: account.micro_usd_per_day.map(usd),
        }
    }
}

impl From<WorkerState> for AgentView {
    fn from(worker: WorkerState) -> Self {
        match worker {
            WorkerState::Online(info) => online(*info),
            WorkerState::Offline { id, last_beat_at } => Self {
                id,
                hostname: None,
                specialties: Vec::new(),
                status: "offline",
                current_tasks: 0,
                max_concurrent_tasks: 0,
                last_heartbeat: Timestamp(last_beat_at),
                system_info: None,
                claude_code_version: None,
                workspace_root: None,
                port: None,
                running: Vec::new(),
                draining: false,
                drained: None,
                suspended_until: None,
                unready: None,
                accounts: Vec::new(),
                agent: None,
                sandbox: None,
                version: None,
                started_at: None,
            },
        }
    }
}

fn online(info: WorkerInfo) -> AgentView {
    AgentView {
        id: info.id,
        hostname: Some(info.hostname),
        specialties: info.specialties,
        status: "online",
        current_tasks: info.running.len(),
        max_concurrent_tasks: info.slots,
        last_heartbeat: Timestamp(info.beat_at),
        system_info: Some(info.system),
        claude_code_version: info.agent.strip_prefix("claude ").map(str::to_owned),
        workspace_root: Some(info.workspace_root),
        port: info.port,
        running: info.running,
        draining: info.draining,
        drained: None,
        suspended_until: info.suspended_until.map(Timestamp),
        unready: info.unready,
        accounts: info.accounts.into_iter().map(AccountView::from).collect(),
        agent: Some(info.agent),
        sandbox: Some(info.sandbox),
        version: Some(info.version),
        started_at: Some(Timestamp(info.started_at)),
    }
}

impl Api {
    pub(super) async fn agents(&self) -> Answer {
        let read = self
            .queue
            .look(|queue| async move { Ok((queue.workers().await?, queue.drained_workers().await?)) });
        let (workers, mut drained) = read.await?;
        let view = |worker: WorkerState| {
            let stopped = drained.remove(worker.id());
            AgentView { drained: stopped.map(StoppedView::from), ..worker.into() }
        };
        let agents = workers.into_iter().map(view).collect();
        Ok(json(StatusCode::OK, &Agents { agents }))
    }
}
