//! One request to the API; every part can be changed.

use std::net::SocketAddr;

use serde_json::Value;

use crate::{
    client::{Answer, exchange},
    ingester::TOKEN,
};

#[derive(Clone)]
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub host: String,
    pub token: Option<String>,
    pub content_type: Option<&'static str>,
    /// Whole lines, each with its line end.
    pub more_headers: String,
    pub body: Vec<u8>,
}

impl Call {
    /// A read without the token.
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            host: "localhost".to_owned(),
            token: None,
            content_type: None,
            more_headers: String::new(),
            body: Vec::new(),
        }
    }

    /// A write as it should be.
    pub fn post(path: &str, body: &Value) -> Self {
        Self {
            method: "POST",
            token: Some(TOKEN.to_owned()),
            content_type: Some("application/json"),
            body: body.to_string().into_bytes(),
            ..Self::get(path)
        }
    }

    pub async fn send(&self, address: SocketAddr) -> Answer {
        let line = |name: &str, value: Option<&str>| {
            value.map_or(String::new(), |value| format!("{name}: {value}\r\n"))
        };
        let token = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}{}{}Content-Length: {}\r\n\r\n",
            self.method,
            self.path,
            self.host,
            line("Authorization", token.as_deref()),
            line("Content-Type", self.content_type),
            self.more_headers,
            self.body.len()
        );
        exchange(address, &[head.as_bytes(), &self.body].concat()).await
    }
}
