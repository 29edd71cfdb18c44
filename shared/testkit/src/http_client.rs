//! One HTTP request, for tests that ask and for servers that pass on.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// What came back.
pub struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Sends a request to `http://HOST:PORT/...` on a connection of its own.
pub async fn send(method: &str, url: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Answered> {
    let rest = url.strip_prefix("http://").context("the URL begins with http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let stream = TcpStream::connect(host).await.with_context(|| format!("{host} is not reached"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let talking = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, body) = sender.send_request(request.body(Full::new(body))?).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    talking.abort();
    Ok(Answered { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// Sends JSON with a bearer token and returns the JSON of an answer that says yes.
pub async fn json(method: &str, url: &str, token: &str, body: &Value) -> Result<Value> {
    let token = format!("Bearer {token}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let answered = send(method, url, &headers, body).await?;
    let text = String::from_utf8_lossy(&answered.body);
    ensure!(answered.status < 300, "{method} {url}: {} {text}", answered.status);
    Ok(serde_json::from_slice(&answered.body).unwrap_or_default())
}
