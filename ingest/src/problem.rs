//! What went wrong with a request, as problem details (RFC 9457) in JSON.

use std::fmt;

use serde::Serialize;
use warp::{
    Reply,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    reply::Response,
};

/// Characters of a parser's message that are repeated.
const DETAIL_CHARS_MAX: usize = 200;

/// When to come again after a 503, in seconds.
const RETRY_AFTER_S: &str = "10";

#[derive(Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
}

/// What a parser says, as far as it is repeated: it may quote the payload, and heeds no precision of a format.
pub fn detail(message: &impl fmt::Display) -> String {
    message.to_string().chars().take(DETAIL_CHARS_MAX).collect()
}

/// The answer for a problem; `kind` is the last part of its type. A 503 says when to come again.
pub fn response(status: StatusCode, kind: &str, detail: String) -> Response {
    let problem = Problem {
        kind: format!("urn:claude-cluster:{kind}"),
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail,
    };
    let mut response = warp::reply::with_status(warp::reply::json(&problem), status).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parsers_message_is_cut_however_much_of_the_payload_it_quotes() {
        let error = serde_json::from_str::<u8>(&format!("\"{}\"", "é".repeat(10_000))).unwrap_err();
        assert_eq!(detail(&error).chars().count(), DETAIL_CHARS_MAX);
    }
}
