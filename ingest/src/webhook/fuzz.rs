//! Damaged deliveries by the thousand, from a fixed seed, and real ones of every kind.

mod damage;
mod oracle;

use std::{collections::HashSet, convert::Infallible, env, fs, sync::Arc};

use fastrand::Rng;
use futures_util::{future::join_all, stream};
use hmac::{Hmac, Mac};
use http_body_util::BodyExt;
use secrecy::SecretString;
use serde_json::Value;
use sha2::Sha256;
use shared::{TaskId, config::Config, queue::Queue};
use testkit::RedisServer;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::*;
use crate::{bounded_queue::BoundedQueue, classify::Classifier, permission::Permissions, teller::teller};

const SEED: u64 = 20_250_303;
const ROUNDS: usize = 5_000;
const SECRET: &str = "a secret of the tests alone";
const BODY_BYTES_MAX: u64 = 96 * 1_024;

/// Deliveries that are under way at a time.
const AT_ONCE: usize = 32;

/// A file of `[{"name": event, "examples": [payload ...]} ...]`, as `scripts/test --fuzz` fetches it.
const EXAMPLES: &str = "CLAUDE_CLUSTER_TEST_WEBHOOKS";

/// How many rounds instead of [`ROUNDS`].
const MORE: &str = "CLAUDE_CLUSTER_FUZZ_ROUNDS";

/// A delivery as it would arrive.
struct Delivery {
    headers: HeaderMap,
    chunks: Vec<Vec<u8>>,
}

impl Delivery {
    /// As GitHub would send it.
    fn signed(event: &str, body: &[u8]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-github-event", event),
            ("x-hub-signature-256", &signature),
            ("content-type", "application/json"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Self { headers, chunks: vec![body.to_vec()] }
    }
}

struct Stage {
    webhook: Webhook,
    _redis: RedisServer,
}

impl Stage {
    fn new(patterns: &[&str]) -> Self {
        let redis = RedisServer::start().unwrap();
        let mut config = Config::defaults().unwrap();
        config.redis.url = SecretString::from(redis.url());
        config.github.own_login = "shop-claude".to_owned();
        for pattern in patterns {
            config.repository.push(toml::from_str(&format!("match = '{pattern}'")).unwrap());
        }
        let queue = Queue::open(&config.redis, &config.queue).unwrap();
        let config = Arc::new(config);
        let gate = Arc::new(Gate {
            classifier: Arc::new(Classifier::load(&config.classify).unwrap()),
            teller: teller(&config, None, &queue).0,
            queue: BoundedQueue::new(queue),
            permissions: Permissions::new(None),
            config,
        });
        let key = SigningKey::new(&SecretString::from(SECRET)).unwrap();
        let webhook = Webhook { proof: Proof::Signed(key), bodies: Bodies::new(BODY_BYTES_MAX), gate };
        Self { webhook, _redis: redis }
    }

    async fn post(&self, delivery: &Delivery) -> (StatusCode, Value) {
        let chunks = delivery.chunks.iter().map(|chunk| Ok::<_, Infallible>(chunk.as_slice()));
        let response: Response<_> = self.webhook.receive(&delivery.headers, stream::iter(chunks)).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() < 4_096, "{status}: {} bytes", body.len());
        (status, serde_json::from_slice(&body).unwrap())
    }
}

fn own_examples() -> Vec<(String, Value)> {
    let parse = |text: &str| serde_json::from_str(text).unwrap();
    let mut comment: Value = parse(include_str!("../../tests/http/webhook/payloads/issues_opened.json"));
    comment["action"] = json!("created");
    comment["comment"] = json!({
        "body": "/claude backend priority high\nand more", "user": comment["sender"], "author_association": "MEMBER",
        "created_at": "2025-03-03T09:13:44Z"
    });
    let mut edited: Value = parse(include_str!("../../tests/http/webhook/payloads/issues_opened.json"));
    edited["action"] = json!("edited");
    edited["changes"] = json!({"title": {"from": "x"}, "body": {"from": "y"}});
    [
        ("issues", parse(include_str!("../../tests/http/webhook/payloads/issues_opened.json"))),
        ("issues", parse(include_str!("../../tests/http/webhook/payloads/issues_reopened.json"))),
        ("issues", parse(include_str!("../../tests/http/webhook/payloads/issues_labeled.json"))),
        ("issues", edited),
        ("issue_comment", comment),
        ("ping", parse(include_str!("../../tests/http/webhook/payloads/ping.json"))),
        ("push", parse(include_str!("../../tests/http/webhook/payloads/push.json"))),
    ]
    .map(|(event, payload)| (event.to_owned(), without_addresses(payload)))
    .into()
}

/// Two thirds of a payload are addresses, which nobody reads: without them there is time for more damage.
fn without_addresses(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(key, _)| !key.ends_with("url"));
            kept.map(|(key, field)| (key, without_addresses(field))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_addresses).collect(),
        plain => plain,
    }
}

/// Those of the files that [`EXAMPLES`] names, apart by colons.
fn real_examples() -> Vec<(String, Value)> {
    let files = env::var(EXAMPLES).unwrap_or_default();
    let mut found = Vec::new();
    for file in files.split(':').filter(|file| !file.is_empty()) {
        let events: Vec<Value> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        for event in events {
            let name = event["name"].as_str().unwrap();
            found.extend(
                event["examples"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|payload| (name.to_owned(), payload.clone())),
            );
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_deliveries_never_bring_it_down_and_start_nothing_that_was_not_meant_to() {
    let rounds = env::var(MORE).map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let stage = Stage::new(&["acme/*", "Codertocat/*", "octo-org/*"]);
    let (own, real) = (own_examples(), real_examples());
    let mut rng = Rng::with_seed(SEED);
    let mut tally = [0_usize; 600];
    let mut created: HashSet<TaskId> = HashSet::new();
    for _ in 0..rounds.div_ceil(AT_ONCE) {
        let batch: Vec<Delivery> = (0..AT_ONCE)
            .map(|_| {
                // Of the real ones few are of issues.
                let examples = if real.is_empty() || rng.bool() { &own } else { &real };
                damage::delivery(&mut rng, examples)
            })
            .collect();
        let answers = join_all(batch.iter().map(|delivery| stage.post(delivery))).await;
        for (delivery, (status, answer)) in batch.iter().zip(answers) {
            let body = String::from_utf8_lossy(&delivery.chunks.concat()).into_owned();
            let told = || format!("{status} {answer} to {:?} {body}", delivery.headers);
            assert!(matches!(status.as_u16(), 200 | 202 | 400 | 401 | 413 | 415), "{}", told());
            tally[usize::from(status.as_u16())] += 1;
            if status == StatusCode::ACCEPTED {
                assert!(oracle::may_start(delivery), "{}", told());
                assert!(created.insert(answer["task_id"].as_str().unwrap().parse().unwrap()), "{}", told());
            }
        }
    }
    let seen =
        |status: usize, share: usize| assert!(tally[status] * share > rounds, "{status}: {}", tally[status]);
    seen(200, 10);
    // An issue has one task at a time, and here none ends: of many rounds the later ones find few without.
    assert!(tally[202] * 100 > rounds.min(100_000), "202: {}", tally[202]);
    seen(400, 20);
    seen(401, 300);
    seen(413, 2_500);
    seen(415, 2_500);
}

/// Run by `scripts/test --real`: the examples are fetched, not part of this repository.
#[tokio::test]
#[ignore = "needs CLAUDE_CLUSTER_TEST_WEBHOOKS: run scripts/test --real"]
async fn real_deliveries_of_every_kind_are_answered_and_only_new_issues_become_tasks() {
    let examples = real_examples();
    assert!(examples.len() > 300, "{EXAMPLES} names no examples");
    let stage = Stage::new(&[]);
    for (number, (event, mut payload)) in examples.into_iter().enumerate() {
        // Each an issue of its own, which has one task at a time.
        if let Some(own) = payload.pointer_mut("/issue/number") {
            *own = json!(number + 1);
        }
        let (status, answer) = stage.post(&Delivery::signed(&event, payload.to_string().as_bytes())).await;
        let action = payload["action"].as_str().unwrap_or_default();
        let starts = event == "issues" && matches!(action, "opened" | "reopened");
        let expected = if starts { StatusCode::ACCEPTED } else { StatusCode::OK };
        let short: String = payload.to_string().chars().take(300).collect();
        assert_eq!(status, expected, "{event} {action}: {answer} {short}");
    }
}
