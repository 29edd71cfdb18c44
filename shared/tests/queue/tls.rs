//! Redis over TLS, with an authority of one's own.

use std::{fs, net::TcpListener, path::Path, process::Command, time::Duration};

use shared::{
    TaskSpec,
    config::Config,
    queue::{Queue, QueueError, Waited},
};
use testkit::RedisServer;

/// An authority and a server certificate for `127.0.0.1` signed by it, below `dir`.
fn certificates(dir: &Path) {
    let script = "set -e
        curve='ec -pkeyopt ec_paramgen_curve:prime256v1'
        openssl req -x509 -newkey $curve -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority
        openssl req -newkey $curve -nodes -keyout server.key -out server.csr -subj /CN=server
        printf 'subjectAltName=IP:127.0.0.1' > server.ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem";
    let made = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A server that speaks TLS alone on the returned port.
fn server(dir: &Path) -> (RedisServer, u16) {
    let file = |name: &str| dir.join(name).display().to_string();
    // Between finding a free port and using it, another may take it.
    for _ in 0..10 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let started = RedisServer::start_with(&[
            "--bind",
            "127.0.0.1",
            "--tls-port",
            &port.to_string(),
            "--tls-auth-clients",
            "no",
            "--requirepass",
            "",
            "--tls-ca-cert-file",
            &file("ca.pem"),
            "--tls-cert-file",
            &file("server.pem"),
            "--tls-key-file",
            &file("server.key"),
        ]);
        if let Ok(server) = started {
            return (server, port);
        }
    }
    panic!("no port was free");
}

fn queue(url: &str, ca: &str) -> Result<Queue, QueueError> {
    let mut config = Config::defaults().unwrap();
    config.redis.url = url.into();
    ca.clone_into(&mut config.redis.ca);
    Queue::open(&config.redis, &config.queue)
}

#[tokio::test]
async fn a_server_is_spoken_to_over_tls_when_the_given_authority_vouches_for_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (server_dir, other_dir) = (dir.path().join("server"), dir.path().join("other"));
    for authority in [&server_dir, &other_dir] {
        fs::create_dir(authority).unwrap();
        certificates(authority);
    }
    let (_server, port) = server(&server_dir);
    let ca = fs::read_to_string(server_dir.join("ca.pem")).unwrap();
    let url = format!("rediss://127.0.0.1:{port}/0");

    let trusting = queue(&url, &ca).unwrap();
    trusting.check().await.unwrap();
    let spec = TaskSpec::new("t-1".parse().unwrap(), "o/n".parse().unwrap(), "over TLS");
    trusting.enqueue(&spec).await.unwrap();
    assert!(trusting.task(&spec.id).await.unwrap().is_some());
    // The waiting of an idle worker uses a connection of its own.
    let mut waiter = trusting.wake_waiter(std::slice::from_ref(&spec.specialty), Duration::from_secs(10));
    assert_eq!(waiter.wait().await.unwrap(), Waited::Woken(spec.specialty));

    let other = fs::read_to_string(other_dir.join("ca.pem")).unwrap();
    for (why, queue) in [
        ("another authority", queue(&url, &other)),
        ("the system's authorities", queue(&url, "")),
        ("a name that the certificate lacks", queue(&format!("rediss://localhost:{port}/0"), &ca)),
    ] {
        let refused = queue.unwrap().check().await.unwrap_err();
        assert!(matches!(refused, QueueError::Unreachable(_)), "{why}: {refused:?}");
    }
    let nonsense = queue(&url, "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n");
    assert!(matches!(nonsense, Err(QueueError::Address(_))));
}
