//! Accepts connections and ends them in order.
//!
//! The accept loop is our own because the framework's has no limit of connections and no time limit for a
//! request's head: this port faces the internet.

use std::{io, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use warp::{filters::BoxedFilter, reply::Response};

/// Connections at a time; the next one waits to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// How long the head of a request may take, and how long a connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(15);

/// Headers of a request, and bytes of its head.
const HEADERS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 64 * 1_024;

/// How long requests under way may go on after a shutdown began: a little more than the longest may take.
const DRAIN_TIME: Duration = Duration::from_secs(20);

/// Wait after an accept that failed because the process is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `shutdown`, then finishes what is under way.
pub async fn serve(listener: TcpListener, routes: BoxedFilter<(Response,)>, shutdown: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The permit comes first: without one a connection stays in the kernel's backlog.
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = shutdown.cancelled() => break,
        };
        observe_ended(&mut connections);
        match accepted {
            Ok((stream, _)) => {
                let service = TowerToHyperService::new(warp::service(routes.clone()));
                let connection = graceful.watch(protocol.serve_connection(TokioIo::new(stream), service));
                connections.spawn(async move {
                    // Clients hang up and send nonsense as they like; that is not worth more than this.
                    if let Err(error) = connection.await {
                        debug!(%error, "connection ended early");
                    }
                    drop(permit);
                });
            }
            Err(error) if is_clients_fault(&error) => {
                debug!(%error, "connection lost before it was accepted");
            }
            Err(error) => {
                warn!(%error, "cannot accept connections; check the limit of open files");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if timeout(DRAIN_TIME, graceful.shutdown()).await.is_err() {
        warn!(seconds = DRAIN_TIME.as_secs(), "requests under way were cut off");
    }
    connections.shutdown().await;
}

fn observe_ended(connections: &mut JoinSet<()>) {
    while let Some(ended) = connections.try_join_next() {
        if let Err(error) = ended {
            error!(%error, "a connection's task panicked");
        }
    }
}

fn is_clients_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
