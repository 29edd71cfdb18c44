//! The HTTP API: what the cluster does, tasks in, what becomes of them. `docs/api.md` shows every answer.
//!
//! A request passes, in this order: path and method, then (except for the three that tell nothing) host and
//! origin, and token; then the size and form of its body. What it asks for is then one call on the queue.

mod access;
mod agents;
mod alter;
mod cluster;
mod control;
mod follow;
mod listing;
mod new_task;
mod refusal;
mod route;
mod task_view;
mod tasks;
mod timestamp;

use std::{net::SocketAddr, sync::Arc};

use futures_util::Stream;
use secrecy::SecretString;
use serde::Serialize;
use shared::{
    config::{ApiConfig, Config},
    queue::Queue,
    state_dir::StateDir,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use warp::{
    Buf, Filter, Reply,
    filters::BoxedFilter,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    path::FullPath,
    reply::Response,
};

pub use cluster::{ClusterStatus, cluster_status};

use self::{
    access::Access,
    refusal::Refusal,
    route::{Endpoint, Read, Write},
};
use crate::{
    body::{Bodies, is_json},
    bounded_queue::BoundedQueue,
    classify::Classifier,
    health,
    secret::{self, SecretError},
};

/// Largest body of a request. A description has 262,144 bytes at most, which JSON may escape to six times that;
/// what people write is far shorter.
const BODY_BYTES_MAX: u64 = 1 << 20;

const OPENAPI: &str = include_str!("api/openapi.json");

/// What requests are judged by and where they go.
pub struct Api {
    access: Access,
    bodies: Bodies,
    config: Arc<Config>,
    classifier: Arc<Classifier>,
    queue: BoundedQueue,
    /// Permits of event streams, and what ends them: they would never end by themselves.
    streams: Arc<Semaphore>,
    closing: CancellationToken,
}

/// An answer that is no refusal.
type Answer = Result<Response, Refusal>;

impl Api {
    /// The API for requests to `address`. Makes the token where none is configured or kept.
    pub fn open(
        config: Arc<Config>,
        classifier: Arc<Classifier>,
        queue: Queue,
        address: SocketAddr,
        state_dir: &StateDir,
        closing: CancellationToken,
    ) -> Result<Self, SecretError> {
        let token = token(&config.api, state_dir)?;
        Ok(Self {
            access: Access::new(&config.api, address, &token),
            bodies: Bodies::new(BODY_BYTES_MAX),
            config,
            classifier,
            // Of its own: however many requests wait here, webhooks find room.
            queue: BoundedQueue::new(queue),
            streams: Arc::new(Semaphore::new(follow::STREAMS_MAX)),
            closing,
        })
    }

    /// Waits for calls on the queue that outlived their requests.
    pub async fn finish(&self) {
        self.queue.finish().await;
    }

    async fn answer<B: Buf, E>(&self, request: &Request, body: impl Stream<Item = Result<B, E>>) -> Response {
        match self.judge(request, body).await {
            Ok(mut response) => {
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            Err(refusal) => {
                let (method, path) = (&request.method, request.path.as_str());
                match refusal.status() {
                    status if status.is_server_error() => error!(%method, path, %refusal, "request failed"),
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => {
                        warn!(%method, path, %refusal, "request refused");
                    }
                    _ => debug!(%method, path, %refusal, "request refused"),
                }
                refusal.into_response()
            }
        }
    }

    async fn judge<B: Buf, E>(&self, request: &Request, body: impl Stream<Item = Result<B, E>>) -> Answer {
        let found = route::find(&request.method, request.path.as_str())?;
        if let Err(refusal) = self.access.check(found.guard, &request.headers) {
            self.bodies.discard(body).await;
            return Err(refusal);
        }
        let endpoint = match found.endpoint {
            Endpoint::Read(endpoint) => return self.look(endpoint, found.id, request).await,
            Endpoint::Write(endpoint) => endpoint,
        };
        let body = self.bodies.read(&request.headers, body, |_| ()).await?;
        if !body.bytes().is_empty() && !is_json(&request.headers) {
            return Err(Refusal::NotJson);
        }
        let (id, body) = (found.id, body.bytes());
        match endpoint {
            Write::NewTask => self.new_task(body).await,
            Write::Cancel => self.cancel(id, body).await,
            Write::Retry => self.retry(id, body).await,
            Write::Priority => self.set_priority(id, body).await,
            Write::Specialty => self.set_specialty(id, body).await,
            Write::Change => self.change_task(id, body).await,
            Write::Delete => self.delete_task(id, body).await,
            Write::Pause => self.pause(id, body).await,
            Write::Resume => self.resume(id, body).await,
            Write::Drain => self.drain(id, body).await,
            Write::Undrain => self.undrain(id, body).await,
        }
    }

    async fn look(&self, endpoint: Read, id: &str, request: &Request) -> Answer {
        match endpoint {
            Read::Health => Ok(health::health()),
            Read::Ready => Ok(health::ready(self.queue.clone(), None).await),
            Read::OpenApi => Ok(written(OPENAPI)),
            Read::Status => self.status().await,
            Read::ClusterStatus => self.cluster_status().await,
            Read::QueueStatus => self.queue_status().await,
            Read::Agents => self.agents().await,
            Read::Task => self.task(id).await,
            Read::Tasks => self.tasks(&request.query).await,
            Read::Logs => self.logs(id, &request.query).await,
            Read::Events => self.events(&request.query, &request.headers).await,
        }
    }
}

/// What of a request is looked at, besides its body.
struct Request {
    method: Method,
    path: FullPath,
    query: String,
    headers: HeaderMap,
}

/// Everything goes to one place, so that nothing is served that was not checked.
pub fn routes(api: Arc<Api>) -> BoxedFilter<(Response,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path, query, headers, body| {
            let api = Arc::clone(&api);
            async move { api.answer(&Request { method, path, query, headers }, body).await }
        })
        .boxed()
}

fn token(config: &ApiConfig, state_dir: &StateDir) -> Result<SecretString, SecretError> {
    secret::load_or_make("API token", &config.token, &state_dir.api_token())
}

/// JSON that is text already.
fn written(text: impl Reply) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    warp::reply::with_status(warp::reply::json(value), status).into_response()
}
