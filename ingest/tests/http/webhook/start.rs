//! What is decided before the first request.

use ingest::{IngestError, Listeners};
use secrecy::SecretString;
use shared::{config::Config, queue::Queue, state_dir::StateDir};
use testkit::RedisServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    client::Delivery,
    ingester::{self, Ingester},
    webhook::payload,
};

#[tokio::test]
async fn unsigned_webhooks_are_taken_on_loopback_only_when_asked_and_never_from_a_browser() {
    let ingester = Ingester::start_with(|config| config.ingest.insecure_webhooks = true).await;
    let unsigned = Delivery { signature: None, ..Delivery::json("issues", &payload::opened()) };
    let browser = Delivery { more_headers: "Origin: http://localhost\r\n".to_owned(), ..unsigned.clone() };
    assert_eq!(browser.post(ingester.address).await.status, 403);
    assert_eq!(unsigned.post(ingester.address).await.status, 202);
    ingester.stop().await;
}

#[tokio::test]
async fn unsigned_webhooks_are_refused_on_any_other_address() {
    let redis = RedisServer::start().unwrap();
    let mut config = ingester::config(&redis);
    config.ingest.insecure_webhooks = true;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = run(&config, listener).await.unwrap_err();
    assert!(matches!(error, IngestError::InsecureOffLoopback(_)), "{error}");
}

#[tokio::test]
async fn without_a_configured_secret_one_is_made_and_checked() {
    let redis = RedisServer::start().unwrap();
    let mut config = ingester::config(&redis);
    config.github.webhook_secret = SecretString::default();
    let state = tempfile::tempdir().unwrap();
    let state_dir = StateDir::create(state.path()).unwrap();
    let queue = Queue::open(&config.redis, &config.queue).unwrap();
    let (listeners, address, _) = ingester::listeners().await;
    let shutdown = CancellationToken::new();
    let test = async {
        let delivery = Delivery::json("issues", &payload::opened());
        let answer = delivery.post(address).await;
        shutdown.cancel();
        answer
    };
    let (ran, answer) =
        tokio::join!(ingest::run(&config, queue, listeners, &state_dir, shutdown.clone()), test);
    ran.unwrap();
    assert_eq!(answer.status, 401, "signed with another secret");
    assert_eq!(std::fs::read_to_string(state_dir.webhook_secret()).unwrap().trim().len(), 64);
}

#[tokio::test]
async fn a_broken_terms_file_stops_the_start_and_names_file_and_key() {
    let redis = RedisServer::start().unwrap();
    let mut config = ingester::config(&redis);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[specialty.Data]\naliases = [\"ml\"]\n").unwrap();
    file.path().clone_into(&mut config.classify.terms_file);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let message = run(&config, listener).await.unwrap_err().to_string();
    assert!(
        message.contains(&*file.path().to_string_lossy()) && message.contains("specialty.Data"),
        "{message}"
    );
}

async fn run(config: &Config, webhook: TcpListener) -> Result<(), IngestError> {
    let listeners = Listeners { webhook, api: None };
    let state = tempfile::tempdir().unwrap();
    let state_dir = StateDir::create(state.path()).unwrap();
    let queue = Queue::open(&config.redis, &config.queue).unwrap();
    ingest::run(config, queue, listeners, &state_dir, CancellationToken::new()).await
}
