//! Redis over TLS: an authority of one's own, certificates of clients, and what is said of bad ones.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use shared::{
    TaskSpec,
    config::{Config, RedisConfig},
    queue::{Queue, QueueError, Waited},
};
use testkit::{RedisCluster, RedisSentinels, RedisServer, redis_sentinels::SERVICE};

/// How long a failover may take.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// What a server is told that shows this certificate; `clients`: whether it asks for one.
fn told(dir: &Path, certificate: &str, clients: &str) -> [(&'static str, String); 4] {
    let file = |name: &str| dir.join(name).display().to_string();
    [
        ("tls-auth-clients", clients.to_owned()),
        ("tls-ca-cert-file", file("ca.pem")),
        ("tls-cert-file", file(certificate)),
        ("tls-key-file", file("server.key")),
    ]
}

fn arguments(told: &[(&str, String)]) -> Vec<String> {
    told.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect()
}

fn server(dir: &Path, certificate: &str, clients: &str) -> RedisServer {
    let arguments = arguments(&told(dir, certificate, clients));
    RedisServer::start_with_tls(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
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

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_their_servers_are_spoken_to_over_tls_and_a_failover_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (here, elsewhere) = (dir.path().join("here"), dir.path().join("elsewhere"));
    certificates(&here);
    certificates(&elsewhere);
    let files = told(&here, "server.pem", "no");
    let files = files.each_ref().map(|(name, value)| (*name, value.as_str()));
    let group = RedisSentinels::start_with_tls(&files).unwrap();
    let ca = |dir: &Path| fs::read_to_string(dir.join("ca.pem")).unwrap();
    let named = |redis: &mut RedisConfig| {
        (redis.sentinels, redis.service) = (group.addresses(), SERVICE.to_owned());
        (redis.tls, redis.sentinel_tls) = (true, true);
    };
    let there = queue("", &ca(&here), named).unwrap();
    works(&there, "t-1").await;
    refused(queue("", &ca(&elsewhere), named), "set redis.ca").await;
    tokio::task::block_in_place(|| group.fail_over()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = there.check().await {
        assert!(error.is_passing() && Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    works(&there, "t-2").await;
    assert!(there.task(&"t-1".parse().unwrap()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_a_cluster_are_spoken_to_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (here, elsewhere) = (dir.path().join("here"), dir.path().join("elsewhere"));
    certificates(&here);
    certificates(&elsewhere);
    let arguments = arguments(&told(&here, "server.pem", "no"));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let authority = here.join("ca.pem").display().to_string();
    let cluster = RedisCluster::start_with_tls(&arguments, &authority).unwrap();
    let ca = |dir: &Path| fs::read_to_string(dir.join("ca.pem")).unwrap();
    let named = |redis: &mut RedisConfig| (redis.cluster, redis.tls) = (cluster.addresses(), true);
    let there = queue("", &ca(&here), named).unwrap();
    works(&there, "t-1").await;
    // A second specialty, on another node.
    let others = ["backend", "frontend", "testing", "devops"];
    let owner = |name: &str| cluster.owner(&format!("{{{name}}}")).unwrap().port();
    let other = others.into_iter().find(|name| owner(name) != owner("general")).unwrap();
    let spec = TaskSpec {
        specialty: other.parse().unwrap(),
        ..TaskSpec::new("t-2".parse().unwrap(), "o/n".parse().unwrap(), "over TLS")
    };
    there.enqueue(&spec).await.unwrap();
    assert!(there.task(&spec.id).await.unwrap().is_some());
    refused(queue("", &ca(&elsewhere), named), "set redis.ca").await;
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
