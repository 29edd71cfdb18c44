//! Payloads of the shape that GitHub documents, with far more fields than are read.

use serde_json::{Value, json};

/// Ann, a member, opens issue 42 of `acme/shop`.
pub fn opened() -> Value {
    parse(include_str!("payloads/issues_opened.json"))
}

/// Ann reopens it.
pub fn reopened() -> Value {
    parse(include_str!("payloads/issues_reopened.json"))
}

/// Ann sets the label `claude` on it.
pub fn labeled() -> Value {
    parse(include_str!("payloads/issues_labeled.json"))
}

/// Ann writes `text` below it, a minute later.
pub fn commented(text: &str) -> Value {
    let mut payload = with(opened(), &[("/action", json!("created"))]);
    payload["comment"] = json!({
        "id": 1, "body": text, "user": {"login": "ann-dev", "type": "User"}, "author_association": "MEMBER",
        "created_at": "2025-03-03T09:13:44Z", "updated_at": "2025-03-03T09:13:44Z"
    });
    payload
}

/// Something else happens to it an hour later.
pub fn later(action: &str) -> Value {
    with(opened(), &[("/action", json!(action)), ("/issue/updated_at", json!("2025-03-03T10:12:44Z"))])
}

pub fn ping() -> Value {
    parse(include_str!("payloads/ping.json"))
}

pub fn push() -> Value {
    parse(include_str!("payloads/push.json"))
}

/// `payload` with other values at the given places, such as `/issue/number`; objects gain missing keys.
pub fn with(mut payload: Value, changes: &[(&str, Value)]) -> Value {
    for (place, value) in changes {
        let (parent, key) = place.rsplit_once('/').unwrap();
        payload.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    payload
}

/// The issue as if `login` had written it and caused the event.
pub fn by(payload: Value, login: &str, association: &str) -> Value {
    let changes = [
        ("/issue/user/login", json!(login)),
        ("/sender/login", json!(login)),
        ("/issue/author_association", json!(association)),
    ];
    with(payload, &changes)
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
