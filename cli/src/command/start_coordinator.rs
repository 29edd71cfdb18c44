//! `start-coordinator`: another name of `ingest`, as the project's first documents have it.

use std::net::SocketAddr;

use clap::Args;
use shared::config::Override;

use super::ingest;
use crate::{
    args::Global,
    coordinator_args::listen_address,
    error::CommandError,
    session::{Log, Session},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  REDIS_URL=redis://:password@192.168.1.100:6379 claude-cluster start-coordinator --host 0.0.0.0 --port 8001

The same as: claude-cluster ingest --api-listen HOST:PORT. Nothing coordinates: workers find their tasks through Redis, \
which must be one that they reach.")]
pub struct StartCoordinator {
    /// Address of the HTTP API.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: String,
    /// Port of the HTTP API.
    #[arg(long, value_name = "PORT", default_value_t = 8001)]
    port: u16,
    /// Address and port for webhooks; ingest.listen.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl StartCoordinator {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let api = listen_address(&self.host, self.port).map_err(CommandError::Usage)?;
        let mut flags = vec![Override::text("--host", "api.listen", api.to_string())];
        flags.extend(self.listen.map(|at| Override::text("--listen", "ingest.listen", at.to_string())));
        let session = Session::start(global, flags, Log::Service)?;
        if !api.ip().is_loopback() && !session.config().redis.names_a_server() {
            tracing::warn!(
                "workers on other machines cannot reach the private redis-server of this one; run a Redis that they reach, and set REDIS_URL here"
            );
        }
        ingest::serve(global, session).await
    }
}
