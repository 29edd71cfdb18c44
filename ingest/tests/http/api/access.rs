//! Who gets an answer: tokens, hosts and pages in browsers, over the wire.

use std::os::unix::fs::PermissionsExt;

use ingest::Listeners;
use secrecy::SecretString;
use serde_json::json;
use shared::{queue::Queue, state_dir::StateDir};
use testkit::RedisServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    api::call::Call,
    ingester::{self, Ingester, TOKEN},
};

fn post() -> Call {
    Call::post("/api/tasks", &json!({"repository": "acme/shop"}))
}

#[tokio::test]
async fn writes_need_the_whole_token() {
    let ingester = Ingester::start().await;
    let cancel = Call::post("/api/tasks/x/cancel", &json!({}));
    for call in [post(), cancel] {
        let none = Call { token: None, ..call.clone() }.send(ingester.api).await;
        assert_eq!((none.status, none.problem()), (401, "no-token"));
        assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"claude-cluster\""));
        for wrong in ["", "x", &TOKEN[1..], &format!("{TOKEN}x"), &TOKEN.to_uppercase()] {
            let refused = Call { token: Some(wrong.to_owned()), ..call.clone() }.send(ingester.api).await;
            assert_eq!(refused.status, 401, "{wrong}");
            assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"), "{refused:?}");
        }
    }
    assert_eq!(ingester.pending().await, 0);
    assert_eq!(post().send(ingester.api).await.status, 201);
    ingester.stop().await;
}

#[tokio::test]
async fn a_refused_body_is_heard_out_so_that_its_sender_hears_the_refusal() {
    let ingester = Ingester::start().await;
    let large = Call { token: None, body: vec![b' '; 1 << 20], ..post() };
    assert_eq!(large.send(ingester.api).await.status, 401);
    ingester.stop().await;
}

#[tokio::test]
async fn a_page_in_a_browser_can_neither_write_nor_read() {
    let ingester = Ingester::start().await;
    let page = "Origin: http://evil.example\r\n".to_owned();
    for call in [post(), Call::get("/api/tasks"), Call::get("/status")] {
        let refused = Call { more_headers: page.clone(), ..call }.send(ingester.api).await;
        assert_eq!((refused.status, refused.problem()), (403, "other-origin"));
    }
    for content_type in [Some("text/plain"), Some("application/x-www-form-urlencoded"), None] {
        let refused = Call { content_type, ..post() }.send(ingester.api).await;
        assert_eq!((refused.status, refused.problem()), (415, "not-json"));
    }
    let rebound = Call { host: "evil.example:8001".to_owned(), ..Call::get("/api/tasks") };
    let refused = rebound.send(ingester.api).await;
    assert_eq!((refused.status, refused.problem()), (421, "other-host"));
    let preflight = Call { method: "OPTIONS", more_headers: page, ..Call::get("/api/tasks") };
    let answer = preflight.send(ingester.api).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None));
    assert_eq!(ingester.pending().await, 0);
    ingester.stop().await;
}

#[tokio::test]
async fn behind_a_proxy_reads_need_the_token_too() {
    let ingester = Ingester::start_with(|config| config.api.hosts = vec!["cluster.example".to_owned()]).await;
    let named = Call { host: "cluster.example".to_owned(), ..Call::get("/api/tasks") };
    let forwarded =
        Call { more_headers: "X-Forwarded-For: 10.0.0.9\r\n".to_owned(), ..Call::get("/api/tasks") };
    for call in [named, forwarded] {
        assert_eq!(call.send(ingester.api).await.status, 401);
        let with_token = Call { token: Some(TOKEN.to_owned()), ..call };
        assert_eq!(with_token.send(ingester.api).await.status, 200);
    }
    ingester.stop().await;
}

#[tokio::test]
async fn off_loopback_reads_need_the_token_and_probes_do_not() {
    let redis = RedisServer::start().unwrap();
    let mut config = ingester::config(&redis);
    config.api.token = SecretString::default();
    let state = tempfile::tempdir().unwrap();
    let state_dir = StateDir::create(state.path()).unwrap();
    let queue = Queue::open(&config.redis, &config.queue).unwrap();
    let webhook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = ([127, 0, 0, 1], api.local_addr().unwrap().port()).into();
    let shutdown = CancellationToken::new();
    let test = async {
        for open in ["/health", "/ready", "/openapi.json"] {
            let probe = Call { host: "any.name.at.all".to_owned(), ..Call::get(open) };
            assert_eq!(probe.send(address).await.status, 200, "{open}");
        }
        let path = state_dir.api_token();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let token = std::fs::read_to_string(&path).unwrap().trim().to_owned();
        for read in ["/status", "/api/cluster/status", "/api/queue/status", "/api/agents", "/api/tasks"] {
            assert_eq!(Call::get(read).send(address).await.status, 401, "{read}");
            let call = Call { token: Some(token.clone()), ..Call::get(read) };
            assert_eq!(call.send(address).await.status, 200, "{read}");
        }
        shutdown.cancel();
    };
    let listeners = Listeners { webhook, api: Some(api) };
    let run = ingest::run(&config, queue, listeners, &state_dir, shutdown.clone());
    tokio::join!(run, test).0.unwrap();
}
