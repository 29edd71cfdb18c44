//! `start-node`: another name of `worker`, as the project's first documents have it.

use clap::Args;
use shared::config::Override;

use super::worker::{self, WorkerOptions};
use crate::{
    args::Global,
    coordinator_args::CoordinatorArgs,
    error::CommandError,
    render,
    session::{Log, Session},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  REDIS_PASSWORD=... claude-cluster start-node --coordinator-host 192.168.1.100 --agent-port 8002 \\
    --specialties backend,api,database --max-tasks 2 --node-id backend-node-001

The same as `claude-cluster worker` with redis.url, worker.health_listen and worker.node_id set. It registers nowhere: \
Redis at the coordinator's address is all that it needs.")]
pub struct StartNode {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Serves this worker's /health and /ready on this port of every address; worker.health_listen.
    #[arg(long, value_name = "PORT")]
    agent_port: Option<u16>,
    #[command(flatten)]
    options: WorkerOptions,
    /// This worker's name in the cluster; worker.node_id. Default: the host name.
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
}

impl StartNode {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let mut flags = self.options.overrides()?;
        flags.extend(self.node_id.iter().map(|id| Override::text("--node-id", "worker.node_id", id)));
        let health = self.agent_port.map(|port| format!("0.0.0.0:{port}"));
        flags.extend(health.map(|address| Override::text("--agent-port", "worker.health_listen", address)));
        let mut session = Session::start(global, flags, Log::Service)?;
        if let Some(url) = self.coordinator.apply(&mut session) {
            render::line(format!("cluster: {url}/status"))?;
        }
        worker::work(global, session).await
    }
}
