//! `ingest`: takes GitHub's webhooks, puts tasks into the queue, and serves the HTTP API.

use std::net::SocketAddr;

use clap::Args;
use ingest::Listeners;
use shared::config::given;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    args::Global,
    embedded_redis::Need,
    error::CommandError,
    listen_args::ListenArgs,
    render,
    session::{Log, Session},
    signals::{Signals, Urgency},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  claude-cluster ingest --listen 0.0.0.0:8000

Answers POST /webhook/github on one port and the HTTP API on another; each has GET /health and GET /ready. SIGTERM \
ends it after the requests under way.")]
pub struct Ingest {
    #[command(flatten)]
    listen: ListenArgs,
}

impl Ingest {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        serve(global, Session::start(global, self.listen.overrides(), Log::Service)?).await
    }
}

/// Serves what the session's configuration says until told to end.
pub async fn serve(global: &Global, session: Session) -> Result<(), CommandError> {
    let mut signals = Signals::listen(global.part_of).map_err(CommandError::io("handle signals"))?;
    let config = session.config();
    let listeners = bind(&session).await?;
    let connection = session.connect(Need::Serve)?;
    announce(&session, &listeners)?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let watch = tokio::spawn(async move {
        signals.wait(Urgency::Drain).await;
        stop.cancel();
    });
    let served = ingest::run(config, connection.queue.clone(), listeners, &session.state_dir, shutdown).await;
    watch.abort();
    connection.close();
    Ok(served?)
}

async fn bind(session: &Session) -> Result<Listeners, CommandError> {
    let config = session.config();
    let webhook = listen(config.ingest.listen, "listen", "ingest.listen").await?;
    let api = match config.api.listen {
        Some(address) => Some(listen(address, "api-listen", "api.listen").await?),
        None => None,
    };
    Ok(Listeners { webhook, api })
}

async fn listen(
    address: SocketAddr,
    flag: &'static str,
    key: &'static str,
) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).await.map_err(|source| CommandError::Listen { address, flag, key, source })
}

/// Says where everything is, and where the secrets are that a caller needs.
fn announce(session: &Session, listeners: &Listeners) -> Result<(), CommandError> {
    let bound = |listener: &TcpListener| listener.local_addr().map_err(CommandError::io("read an address"));
    let config = session.config();
    render::line(format!("webhooks: http://{}/webhook/github", bound(&listeners.webhook)?))?;
    if given(&config.github.webhook_secret).is_none() && !config.ingest.insecure_webhooks {
        render::line(format!("webhook secret: cat {}", session.state_dir.webhook_secret().display()))?;
    }
    let Some(api) = &listeners.api else { return Ok(()) };
    render::line(format!("api: http://{}/status", bound(api)?))?;
    if given(&config.api.token).is_none() {
        render::line(format!("api token: cat {}", session.state_dir.api_token().display()))?;
    }
    Ok(())
}
