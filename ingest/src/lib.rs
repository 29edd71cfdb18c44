//! GitHub webhooks become tasks on the queue.
//!
//! A delivery passes, in this order: size limit, signature over the raw bytes, event and action, allowed
//! repository, not our own event and not a bot's, trust of who caused it. Then the text is kept as
//! it is at this moment, classified, and enqueued, or a task that is there already is changed or ended. `docs/webhooks.md` lists every answer.
//!
//! The HTTP API tells what the cluster does and takes tasks and cancels from those who have its token.
//! `docs/api.md` shows it.
//!
//! Where webhooks do not reach, or were missed, a poller finds what has changed and hands it to the same gate.
//!
//! Nothing here executes a task. The forge is asked for permissions and for what has changed; all that is written there
//! is one comment on an issue whose task waits.

mod api;
mod body;
mod bounded_queue;
pub mod classify;
mod command;
mod event;
mod gate;
mod health;
mod payload;
mod permission;
mod poll;
mod problem;
mod rejection;
mod routes;
mod secret;
mod server;
mod signature;
mod snapshot;
mod teller;
mod trigger;
mod trust;
mod webhook;

use std::{io, net::SocketAddr, sync::Arc};

use secrecy::SecretString;
use shared::{Failure, config::Config, github::GitHub, queue::Queue, state_dir::StateDir};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use api::{ClusterStatus, cluster_status};

use self::{
    api::Api,
    body::Bodies,
    bounded_queue::BoundedQueue,
    classify::{Classifier, ClassifyError},
    gate::Gate,
    permission::Permissions,
    poll::Poller,
    secret::SecretError,
    signature::SigningKey,
    teller::{Telling, teller},
    webhook::{Proof, Webhook},
};

/// Why the ingester does not start. Once it runs, nothing but `shutdown` ends it.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("cannot tell the listener's address: {0}")]
    Listener(io::Error),
    #[error(
        "ingest.insecure_webhooks takes unsigned webhooks and is refused on {0}; listen on 127.0.0.1, or switch it off"
    )]
    InsecureOffLoopback(SocketAddr),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the webhook secret cannot be used: {0}")]
    Key(String),
    #[error(transparent)]
    Classify(#[from] ClassifyError),
    #[error("{}", .0.message)]
    Github(Failure),
}

/// Where requests come in. Whoever starts the ingester has bound them.
#[derive(Debug)]
pub struct Listeners {
    pub webhook: TcpListener,
    /// `None`: the HTTP API is not served.
    pub api: Option<TcpListener>,
}

/// Serves webhooks and the HTTP API until `shutdown`; requests under way are finished.
///
/// Redis need not be there, neither at the start nor later: meanwhile what needs it is answered with 503.
pub async fn run(
    config: &Config,
    queue: Queue,
    listeners: Listeners,
    state_dir: &StateDir,
    shutdown: CancellationToken,
) -> Result<(), IngestError> {
    let config = Arc::new(config.clone());
    let classifier = Arc::new(Classifier::load(&config.classify)?);
    let address = listeners.webhook.local_addr().map_err(IngestError::Listener)?;
    let github = GitHub::open(&config.github).map_err(IngestError::Github)?;
    let (teller, telling) = teller(&config, github.as_ref(), &queue);
    let gate = Arc::new(Gate {
        classifier: Arc::clone(&classifier),
        queue: BoundedQueue::new(queue.clone()),
        permissions: Permissions::new(github.clone()),
        config: Arc::clone(&config),
        teller,
    });
    let poller = Poller::new(&config, github, &gate, queue.clone());
    let webhook = Arc::new(Webhook {
        proof: proof(&config, address, state_dir)?,
        bodies: Bodies::new(config.ingest.body_bytes_max),
        gate,
    });
    let api = match listeners.api {
        None => None,
        Some(listener) => {
            let address = listener.local_addr().map_err(IngestError::Listener)?;
            let api = Api::open(config, classifier, queue, address, state_dir, shutdown.clone())?;
            info!(%address, "serving the HTTP API");
            Some((listener, Arc::new(api)))
        }
    };
    info!(%address, "waiting for webhooks at /webhook/github");
    tokio::join!(
        serve_webhooks(listeners.webhook, &webhook, shutdown.clone()),
        serve_api(api, shutdown.clone()),
        poll(poller, shutdown.clone()),
        tell(telling, shutdown),
        tell_of_redis(&webhook.gate.queue)
    );
    Ok(())
}

async fn serve_webhooks(listener: TcpListener, webhook: &Arc<Webhook>, shutdown: CancellationToken) {
    server::serve(listener, routes::routes(Arc::clone(webhook)), shutdown).await;
    webhook.gate.queue.finish().await;
}

async fn serve_api(api: Option<(TcpListener, Arc<Api>)>, shutdown: CancellationToken) {
    let Some((listener, api)) = api else { return };
    server::serve(listener, api::routes(Arc::clone(&api)), shutdown).await;
    api.finish().await;
}

async fn poll(poller: Option<Poller>, shutdown: CancellationToken) {
    if let Some(poller) = poller {
        poller.run(shutdown).await;
    }
}

async fn tell(telling: Option<Telling>, shutdown: CancellationToken) {
    if let Some(telling) = telling {
        Box::pin(telling.run(shutdown)).await;
    }
}

/// What GitHub signs webhooks with: as configured, else kept in the state directory and made at the first call.
pub fn webhook_secret(config: &Config, state_dir: &StateDir) -> Result<SecretString, IngestError> {
    let kept = state_dir.webhook_secret();
    Ok(secret::load_or_make("webhook secret", &config.github.webhook_secret, &kept)?)
}

fn proof(config: &Config, address: SocketAddr, state_dir: &StateDir) -> Result<Proof, IngestError> {
    if config.ingest.insecure_webhooks {
        if !address.ip().is_loopback() {
            return Err(IngestError::InsecureOffLoopback(address));
        }
        warn!(%address, "UNSIGNED WEBHOOKS ARE ACCEPTED: whoever reaches this port starts tasks; never put a tunnel or proxy before it");
        return Ok(Proof::Unsigned);
    }
    let secret = webhook_secret(config, state_dir)?;
    SigningKey::new(&secret).map(Proof::Signed).map_err(|error| IngestError::Key(error.to_string()))
}

/// Says at the start what an operator would otherwise learn from lost tasks.
async fn tell_of_redis(queue: &BoundedQueue) {
    match queue.check().await {
        Ok(facts) => {
            if facts.version.is_none() {
                warn!(
                    "could not check whether redis keeps what it is given: its user lacks the right to INFO"
                );
            }
            if facts.aof == Some(false) {
                warn!("redis keeps no append-only file: a crash of it loses tasks; set appendonly yes");
            }
            if let Some(policy) = facts.eviction.filter(|policy| policy != "noeviction") {
                warn!(policy, "redis throws tasks away when it is full; set maxmemory-policy noeviction");
            }
        }
        Err(error) => warn!(%error, "redis does not answer; webhooks get 503 until it does"),
    }
}
