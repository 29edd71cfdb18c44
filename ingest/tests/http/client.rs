//! An HTTP client that sends exactly what it is told, however wrong.

use std::{net::SocketAddr, time::Duration};

use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What all test ingesters sign with.
pub const SECRET: &str = "a secret of the tests alone";

/// How long an answer may take before a test fails; the documented bound is ten seconds.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    /// `Null` where there is none.
    pub json: Value,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// The last part of a problem's type.
    pub fn problem(&self) -> &str {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.json["status"], self.status, "{self:?}");
        assert!(!self.text("title").is_empty() && !self.text("detail").is_empty(), "{self:?}");
        self.text("type").strip_prefix("urn:claude-cluster:").unwrap()
    }

    pub fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }
}

/// `sha256=` and the digest, as GitHub computes it.
pub fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A request for `POST /webhook/github` as GitHub sends it; every part can be changed.
#[derive(Clone)]
pub struct Delivery {
    pub event: String,
    pub guid: String,
    pub signature: Option<String>,
    pub content_type: String,
    /// Whole lines, each with its line end.
    pub more_headers: String,
    pub body: Vec<u8>,
}

impl Delivery {
    pub fn new(event: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self {
            event: event.to_owned(),
            guid: format!("{:032x}", fastrand::u128(..)),
            signature: Some(signature(&body)),
            content_type: "application/json".to_owned(),
            more_headers: String::new(),
            body,
        }
    }

    pub fn json(event: &str, payload: &Value) -> Self {
        Self::new(event, payload.to_string())
    }

    pub fn head(&self, length: &str) -> String {
        let signature =
            self.signature.as_ref().map_or(String::new(), |text| format!("X-Hub-Signature-256: {text}\r\n"));
        format!(
            "POST /webhook/github HTTP/1.1\r\nHost: localhost\r\nUser-Agent: GitHub-Hookshot/1a2b3c4\r\n\
             Connection: close\r\nX-GitHub-Event: {}\r\nX-GitHub-Delivery: {}\r\nX-GitHub-Hook-ID: 530011223\r\n\
             Content-Type: {}\r\n{signature}{}{length}\r\n\r\n",
            self.event, self.guid, self.content_type, self.more_headers
        )
    }

    pub async fn post(&self, address: SocketAddr) -> Answer {
        let head = self.head(&format!("Content-Length: {}", self.body.len()));
        exchange(address, &[head.as_bytes(), &self.body].concat()).await
    }

    pub async fn post_chunked(&self, address: SocketAddr, chunk_bytes: usize) -> Answer {
        let mut request = self.head("Transfer-Encoding: chunked").into_bytes();
        for chunk in self.body.chunks(chunk_bytes) {
            request.extend(format!("{:x}\r\n", chunk.len()).bytes());
            request.extend(chunk);
            request.extend(b"\r\n");
        }
        request.extend(b"0\r\n\r\n");
        exchange(address, &request).await
    }
}

pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path).await
}

pub async fn request(address: SocketAddr, method: &str, path: &str) -> Answer {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    exchange(address, head.as_bytes()).await
}

/// Sends the bytes and reads to the end of the connection, both at once: a server may answer early.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let talk = async {
        let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
        let mut answer = Vec::new();
        // A server that has seen enough may close while we still send.
        let (_, read) = tokio::join!(writer.write_all(bytes), reader.read_to_end(&mut answer));
        assert!(read.is_ok() || !answer.is_empty(), "the connection was reset without an answer");
        parse(&answer)
    };
    timeout(PATIENCE, talk).await.expect("an answer comes in time")
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let json = serde_json::from_str(body).unwrap_or(Value::Null);
    Answer { status, head: head.to_owned(), json, body: body.to_owned() }
}
