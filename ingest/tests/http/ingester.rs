//! An ingester on free ports, with a Redis and a state directory of its own.

use std::net::SocketAddr;

use ingest::{IngestError, Listeners};
use secrecy::SecretString;
use shared::{
    TaskId, TaskRecord, TaskSpec,
    config::Config,
    queue::{Claim, Holder, Queue},
    state_dir::StateDir,
};
use tempfile::TempDir;
use testkit::RedisServer;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, Delivery, SECRET};

pub struct Ingester {
    /// For webhooks.
    pub address: SocketAddr,
    pub api: SocketAddr,
    pub redis: RedisServer,
    pub queue: Queue,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<Result<(), IngestError>>,
    _state: TempDir,
}

/// What every test's API asks for.
pub const TOKEN: &str = "the-token-of-the-tests-alone";

/// Listeners on free ports, and their addresses.
pub async fn listeners() -> (Listeners, SocketAddr, SocketAddr) {
    let webhook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = (webhook.local_addr().unwrap(), api.local_addr().unwrap());
    (Listeners { webhook, api: Some(api) }, addresses.0, addresses.1)
}

/// The defaults, with the tests' secret and the given server.
pub fn config(redis: &RedisServer) -> Config {
    let mut config = Config::defaults().unwrap();
    config.redis.url = SecretString::from(redis.url());
    config.github.webhook_secret = SecretString::from(SECRET);
    config.api.token = SecretString::from(TOKEN);
    config.github.own_login = "shop-claude".to_owned();
    config
}

impl Ingester {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let redis = RedisServer::start().unwrap();
        let mut config = config(&redis);
        change(&mut config);
        let state = tempfile::tempdir().unwrap();
        let state_dir = StateDir::create(state.path()).unwrap();
        let queue = Queue::open(&config.redis, &config.queue).unwrap();
        let (listeners, address, api) = listeners().await;
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (queue, shutdown) = (queue.clone(), shutdown.clone());
            async move { ingest::run(&config, queue, listeners, &state_dir, shutdown).await }
        });
        Self { address, api, redis, queue, shutdown, running, _state: state }
    }

    /// The record and specification of the task that `answer` names.
    pub async fn task(&self, answer: &Answer) -> (TaskRecord, TaskSpec) {
        let id: TaskId = answer.text("task_id").parse().unwrap();
        (self.queue.task(&id).await.unwrap().unwrap(), self.queue.spec(&id).await.unwrap().unwrap())
    }

    /// What the delivery is answered with 200, and the task it names.
    pub async fn told(&self, delivery: Delivery, status: &str) -> Answer {
        let answer = delivery.post(self.address).await;
        assert_eq!((answer.status, answer.text("status")), (200, status), "{answer:?}");
        answer
    }

    /// The status of the task that `answer` names.
    pub async fn status(&self, answer: &Answer) -> &'static str {
        let id: TaskId = answer.text("task_id").parse().unwrap();
        self.queue.task(&id).await.unwrap().unwrap().status.name()
    }

    /// Claims what waits in `specialty`, as a worker would.
    pub async fn claim(&self, specialty: &str) {
        let holder = Holder { node: "pc-1".to_owned(), incarnation: "one".to_owned() };
        let claim = self.queue.claim(&holder, &specialty.parse().unwrap(), 1, "nonce").await.unwrap();
        assert!(matches!(claim, Claim::Tasks { tasks, .. } if tasks.len() == 1));
    }

    /// Tasks that wait, in all specialties.
    pub async fn pending(&self) -> u64 {
        let mut pending = 0;
        for specialty in self.queue.specialties().await.unwrap() {
            pending += self.queue.counts(&specialty).await.unwrap().pending;
        }
        pending
    }

    /// Ends the ingester as a stop would.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}
