//! `ingest`: takes GitHub's webhooks and puts tasks into the queue.

use std::net::SocketAddr;

use clap::Args;
use shared::config::{Override, given};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    args::Global,
    embedded_redis::Need,
    error::CommandError,
    render,
    session::{Log, Session},
    signals::{Signals, Urgency},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  claude-cluster ingest --listen 0.0.0.0:8000

Answers POST /webhook/github, GET /health and GET /ready. SIGTERM ends it after the requests under way.")]
pub struct Ingest {
    /// Address and port; ingest.listen.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl Ingest {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let flags =
            self.listen.map(|address| Override::text("--listen", "ingest.listen", address.to_string()));
        let session = Session::start(global, flags.into_iter().collect(), Log::Service)?;
        let mut signals = Signals::listen(global.part_of).map_err(CommandError::io("handle signals"))?;
        let config = session.config();
        let address = config.ingest.listen;
        let refused = |source| CommandError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        let connection = session.connect(Need::Serve)?;
        render::line(format!("webhooks: http://{bound}/webhook/github"))?;
        if given(&config.github.webhook_secret).is_none() && !config.ingest.insecure_webhooks {
            render::line(format!("webhook secret: cat {}", session.state_dir.webhook_secret().display()))?;
        }
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let watch = tokio::spawn(async move {
            signals.wait(Urgency::Drain).await;
            stop.cancel();
        });
        let served =
            ingest::run(config, connection.queue.clone(), listener, &session.state_dir, shutdown).await;
        watch.abort();
        connection.close();
        Ok(served?)
    }
}
