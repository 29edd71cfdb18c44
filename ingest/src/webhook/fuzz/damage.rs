//! Deliveries with something wrong in them: in what is read, anywhere in the payload, in bytes, headers and pieces.

use fastrand::Rng;
use serde_json::{Value, json};
use warp::http::{HeaderName, HeaderValue};

use super::Delivery;

/// Places of the fields that are read; half of the damage goes there.
const READ: [&str; 24] = [
    "/action",
    "/issue",
    "/issue/number",
    "/issue/title",
    "/issue/body",
    "/issue/labels",
    "/issue/labels/0/name",
    "/issue/user",
    "/issue/user/login",
    "/issue/user/type",
    "/issue/author_association",
    "/issue/state",
    "/issue/updated_at",
    "/issue/pull_request",
    "/label",
    "/label/name",
    "/comment",
    "/comment/body",
    "/comment/user/login",
    "/comment/author_association",
    "/changes",
    "/repository/full_name",
    "/sender",
    "/sender/login",
];

/// Words that mean something somewhere.
const WORDS: [&str; 36] = [
    "opened",
    "reopened",
    "labeled",
    "unlabeled",
    "closed",
    "edited",
    "created",
    "deleted",
    "transferred",
    "claude",
    "CLAUDE",
    "bug",
    "area/frontend",
    "P1",
    "OWNER",
    "MEMBER",
    "NONE",
    "CONTRIBUTOR",
    "ann-dev",
    "acme",
    "eve",
    "shop-claude",
    "helper[bot]",
    "Bot",
    "acme/shop",
    "other/shop",
    "/claude",
    "/claude cancel",
    "/claude retry",
    "/claude frontend priority low\nmore",
    "/claude what",
    "2025-03-03T09:12:43Z",
    "2026-01-01T00:00:00Z",
    "yesterday",
    "",
    "[a](b \"c\") <!-- d --> ```",
];

const HEADERS: [&str; 6] = [
    "x-github-event",
    "x-github-delivery",
    "x-hub-signature-256",
    "content-type",
    "content-length",
    "x-hub-signature",
];

/// One of `examples`, with damage.
pub fn delivery(rng: &mut Rng, examples: &[(String, Value)]) -> Delivery {
    let (event, payload) = rng.choice(examples).unwrap();
    let mut payload = payload.clone();
    for _ in 0..rng.usize(0..5) {
        wound(rng, &mut payload);
    }
    // Most are issues of their own, or the first would make duplicates of all others.
    if let Some(number) = payload.pointer_mut("/issue/number").filter(|_| rng.u8(..4) > 0) {
        *number = json!(rng.u32(..2_000));
    }
    let mut body = payload.to_string().into_bytes();
    if rng.u8(..6) == 0 {
        bytes(rng, &mut body);
    }
    let event = if rng.u8(..12) == 0 {
        *rng.choice(&["issues", "issue_comment", "ping", "x"]).unwrap()
    } else {
        event
    };
    let mut delivery = Delivery::signed(event, &body);
    if rng.bool() {
        let guid = format!("{:032x}", rng.u64(..5_000));
        delivery.headers.insert("x-github-delivery", HeaderValue::from_str(&guid).unwrap());
    }
    if rng.u8(..10) == 0 {
        header(rng, &mut delivery);
    }
    if rng.u8(..4) == 0 {
        let size = rng.usize(1..2_000);
        delivery.chunks = body.chunks(size.max(1)).map(<[u8]>::to_vec).collect();
    }
    delivery
}

fn wound(rng: &mut Rng, payload: &mut Value) {
    let place = if rng.bool() { (*rng.choice(&READ).unwrap()).to_owned() } else { somewhere(rng, payload) };
    if rng.u8(..6) == 0
        && let Some((parent, key)) = place.rsplit_once('/')
        && let Some(Value::Object(fields)) = payload.pointer_mut(parent)
    {
        fields.remove(key);
        return;
    }
    if let Some(value) = payload.pointer_mut(&place) {
        *value = instead(rng, value);
    }
}

fn instead(rng: &mut Rng, value: &Value) -> Value {
    match rng.u8(..16) {
        0 => Value::Null,
        1 => json!(rng.i64(..)),
        2 => json!(rng.f64() * 1e300),
        3 => json!(rng.bool()),
        4 => json!([value, value]),
        5 => json!({"name": value, "login": value, "type": "Bot"}),
        6 => json!("\u{0}\u{202E}<!--```\n-->日本語 ".repeat(rng.usize(..200))),
        7 => json!("x".repeat(rng.usize(..130_000))),
        8 => json!(format!("{value}{value}")),
        9 => (0..rng.usize(..60)).fold(value.clone(), |inner, _| json!([inner])),
        _ => json!(rng.choice(&WORDS).unwrap()),
    }
}

/// A pointer to something in `value`, by going down at random.
fn somewhere(rng: &mut Rng, mut value: &Value) -> String {
    let mut place = String::new();
    while rng.u8(..5) > 0 {
        let next = match value {
            Value::Object(fields) => {
                let at = rng.usize(..fields.len().max(1));
                fields.iter().nth(at).map(|(key, field)| (key.replace('~', "~0").replace('/', "~1"), field))
            }
            Value::Array(items) => {
                let at = rng.usize(..items.len().max(1));
                items.get(at).map(|item| (at.to_string(), item))
            }
            _ => None,
        };
        let Some((key, inner)) = next else { break };
        place.extend(["/", &key]);
        value = inner;
    }
    place
}

fn bytes(rng: &mut Rng, body: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..body.len().max(1));
        match rng.u8(..5) {
            0 => body.truncate(at),
            1 => body.insert(at.min(body.len()), rng.u8(..)),
            2 if !body.is_empty() => drop(body.remove(at.min(body.len() - 1))),
            3 => body.extend_from_within(at.min(body.len())..),
            _ => {
                if let Some(byte) = body.get_mut(at) {
                    *byte = rng.u8(..);
                }
            }
        }
    }
}

fn header(rng: &mut Rng, delivery: &mut Delivery) {
    let name = HeaderName::from_static(rng.choice(&HEADERS).unwrap());
    let mut value = delivery.headers.get(&name).map_or_else(Vec::new, |value| value.as_bytes().to_vec());
    match rng.u8(..4) {
        0 => {
            delivery.headers.remove(&name);
            return;
        }
        1 => value = (0..rng.usize(..200)).map(|_| rng.u8(..)).collect(),
        2 => value = rng.choice(&WORDS).unwrap().as_bytes().to_vec(),
        _ => bytes(rng, &mut value),
    }
    if let Ok(value) = HeaderValue::from_bytes(&value) {
        if rng.bool() {
            delivery.headers.append(name, value);
        } else {
            delivery.headers.insert(name, value);
        }
    }
}
