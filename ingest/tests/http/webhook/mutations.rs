//! Thousands of damaged payloads, from a fixed seed.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::{client::Delivery, ingester::Ingester, webhook::payload};

const SEED: u64 = 20_250_303;
const ROUNDS: usize = 3_000;

/// Places of the fields that are read; half of the damage goes there.
const READ: [&str; 15] = [
    "/action",
    "/issue",
    "/issue/number",
    "/issue/title",
    "/issue/body",
    "/issue/labels",
    "/issue/labels/0/name",
    "/issue/user",
    "/issue/user/login",
    "/issue/author_association",
    "/label",
    "/repository",
    "/repository/full_name",
    "/repository/owner/login",
    "/sender",
];

/// Deliveries that are under way at a time.
const AT_ONCE: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_payloads_never_bring_it_down_and_never_get_an_unforeseen_answer() {
    let ingester = Ingester::start().await;
    let mut rng = Rng::with_seed(SEED);
    let seeds =
        [payload::opened(), payload::reopened(), payload::labeled(), payload::ping(), payload::push()];
    let mut tally = [0_usize; 600];
    for _ in 0..ROUNDS / AT_ONCE {
        let batch: Vec<Delivery> = (0..AT_ONCE).map(|_| damaged(&mut rng, &seeds)).collect();
        let posts = batch.into_iter().map(|delivery| {
            let address = ingester.address;
            tokio::spawn(async move { (delivery.post(address).await, delivery) })
        });
        for post in posts.collect::<Vec<_>>() {
            let (answer, delivery) = post.await.unwrap();
            let body = String::from_utf8_lossy(&delivery.body);
            assert!(matches!(answer.status, 200 | 202 | 400), "{}: {body}", answer.status);
            tally[usize::from(answer.status)] += 1;
        }
    }
    assert!(
        tally[200] > 100 && tally[202] > 10 && tally[400] > 100,
        "the damage is neither total nor absent"
    );
    assert_eq!(ingester.pending().await, tally[202] as u64, "every 202 is a task and nothing else is");
    ingester.stop().await;
}

fn damaged(rng: &mut Rng, seeds: &[Value]) -> Delivery {
    let mut payload = rng.choice(seeds).unwrap().clone();
    let event = rng.choice(["issues", "issues", "issues", "ping", "push"]).unwrap();
    for _ in 0..rng.usize(0..4) {
        let anywhere = places(&payload, String::new());
        let read = READ.map(str::to_owned);
        let places = if rng.bool() { &read[..] } else { &anywhere[..] };
        let place = rng.choice(places).unwrap();
        if let Some(value) = payload.pointer_mut(place) {
            *value = damage(rng, value);
        }
    }
    // Most are issues of their own, or the first would make duplicates of all others.
    if let Some(number) = payload.pointer_mut("/issue/number").filter(|_| rng.u8(..4) > 0) {
        *number = json!(rng.u64(..));
    }
    let mut body = payload.to_string().into_bytes();
    if rng.u8(..4) == 0 {
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..body.len());
            body[at] = rng.u8(..);
        }
    }
    if rng.u8(..16) == 0 {
        body.truncate(rng.usize(..body.len()));
    }
    Delivery::new(event, body)
}

/// Pointers to everything in `value`, itself included.
fn places(value: &Value, place: String) -> Vec<String> {
    let mut found = Vec::new();
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                found.extend(places(field, format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"))));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                found.extend(places(item, format!("{place}/{index}")));
            }
        }
        _ => {}
    }
    found.push(place);
    found
}

fn damage(rng: &mut Rng, value: &Value) -> Value {
    match rng.u8(..10) {
        0 => Value::Null,
        1 => json!(rng.i64(..)),
        2 => json!(rng.f64() * 1e300),
        3 => json!(rng.bool()),
        4 => json!([value, value]),
        5 => json!({"name": value, "login": value, "type": "Bot"}),
        6 => json!("\u{0}\u{202E}<!--```\n-->日本語 ".repeat(rng.usize(..200))),
        7 => json!("x".repeat(rng.usize(..100_000))),
        8 => json!(""),
        _ => json!(format!("{value}{value}")),
    }
}
