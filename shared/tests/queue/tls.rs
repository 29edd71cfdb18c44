//! Redis over TLS: an authority of one's own, certificates of clients, and what is said of bad ones.

use std::{fs, path::Path, process::Command, time::Duration};

use shared::{
    TaskSpec,
    config::{Config, RedisConfig},
    queue::{Queue, QueueError, Waited},
};
use testkit::RedisServer;

/// An authority, and signed by it: certificates of a server at `127.0.0.1`, of the same server as of yesterday, and of
/// a client. All below `dir`.
fn certificates(dir: &Path) {
    fs::create_dir(dir).unwrap();
    let script = "set -e
        curve='ec -pkeyopt ec_paramgen_curve:prime256v1'
        openssl req -x509 -newkey $curve -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority
        printf 'subjectAltName=IP:127.0.0.1' > server.ext
        printf 'extendedKeyUsage=clientAuth' > client.ext
        for name in server client; do
            openssl req -newkey $curve -nodes -keyout $name.key -out $name.csr -subj /CN=$name
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.pem
        done
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days -1 -extfile server.ext -out expired.pem";
    let made = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A server that shows this certificate; `clients`: whether it asks for one.
fn server(dir: &Path, certificate: &str, clients: &str) -> RedisServer {
    let file = |name: &str| dir.join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file(certificate), file("server.key"));
    RedisServer::start_with_tls(&[
        "--tls-auth-clients",
        clients,
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ])
    .unwrap()
}

fn queue(url: &str, ca: &str, change: impl FnOnce(&mut RedisConfig)) -> Result<Queue, QueueError> {
    let mut config = Config::defaults().unwrap();
    config.redis.url = url.into();
    ca.clone_into(&mut config.redis.ca);
    change(&mut config.redis);
    Queue::open(&config.redis, &config.queue)
}

async fn works(queue: &Queue, id: &str) {
    queue.check().await.unwrap();
    let spec = TaskSpec::new(id.parse().unwrap(), "o/n".parse().unwrap(), "over TLS");
    queue.enqueue(&spec).await.unwrap();
    assert!(queue.task(&spec.id).await.unwrap().is_some());
    // The waiting of an idle worker uses a connection of its own.
    let mut waiter = queue.wake_waiter(std::slice::from_ref(&spec.specialty), Duration::from_secs(10));
    assert_eq!(waiter.wait().await.unwrap(), Waited::Woken(spec.specialty));
}

/// The refusal, which says what to do.
async fn refused(queue: Result<Queue, QueueError>, advice: &str) {
    let error = queue.unwrap().check().await.unwrap_err();
    assert!(matches!(&error, QueueError::Unreachable(text) if text.contains(advice)), "{advice}: {error:?}");
}

#[tokio::test]
async fn a_server_is_spoken_to_over_tls_when_the_given_authority_vouches_for_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (here, elsewhere) = (dir.path().join("here"), dir.path().join("elsewhere"));
    certificates(&here);
    certificates(&elsewhere);
    let server = server(&here, "server.pem", "no");
    let ca = fs::read_to_string(here.join("ca.pem")).unwrap();
    let url = format!("rediss://{}/0", server.address());
    works(&queue(&url, &ca, |_| {}).unwrap(), "t-1").await;

    let other = fs::read_to_string(elsewhere.join("ca.pem")).unwrap();
    refused(queue(&url, &other, |_| {}), "set redis.ca").await;
    refused(queue(&url, "", |_| {}), "set redis.ca").await;
    let by_name = format!("rediss://localhost:{}/0", server.port());
    refused(queue(&by_name, &ca, |_| {}), "call the server by a name").await;
    let nonsense = queue(&url, "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", |_| {});
    assert!(matches!(nonsense, Err(QueueError::Address(_))));
}

#[tokio::test]
async fn a_server_whose_certificate_is_out_of_date_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("here");
    certificates(&here);
    let server = server(&here, "expired.pem", "no");
    let ca = fs::read_to_string(here.join("ca.pem")).unwrap();
    refused(queue(&format!("rediss://{}", server.address()), &ca, |_| {}), "renew it").await;
}

#[tokio::test]
async fn a_server_that_demands_certificates_of_its_clients_gets_the_configured_one() {
    let dir = tempfile::tempdir().unwrap();
    let (here, elsewhere) = (dir.path().join("here"), dir.path().join("elsewhere"));
    certificates(&here);
    certificates(&elsewhere);
    let server = server(&here, "server.pem", "yes");
    let ca = fs::read_to_string(here.join("ca.pem")).unwrap();
    let url = format!("rediss://{}/0", server.address());
    let proven_by = |dir: &Path| {
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        let (cert, key) = (read("client.pem"), read("client.key"));
        move |redis: &mut RedisConfig| {
            redis.client_cert = cert;
            redis.client_key = key.into();
        }
    };
    works(&queue(&url, &ca, proven_by(&here)).unwrap(), "t-1").await;
    refused(queue(&url, &ca, |_| {}), "set redis.client_cert and redis.client_key").await;
    refused(queue(&url, &ca, proven_by(&elsewhere)), "does not accept redis.client_cert").await;
    let nonsense = queue(&url, &ca, |redis| {
        redis.client_cert = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n".to_owned();
        redis.client_key = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n".into();
    });
    assert!(matches!(nonsense, Err(QueueError::Address(_))));
}
