//! A webhook as GitHub sends it.

use anyhow::{Result, anyhow};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::http_client;

/// Somebody with a say in `repository` has opened an issue in it.
#[derive(Clone, Debug)]
pub struct Opened<'a> {
    /// `owner/name`
    pub repository: &'a str,
    pub issue: u64,
    pub title: &'a str,
    /// The delivery's GUID.
    pub guid: &'a str,
}

impl Opened<'_> {
    /// Delivers it to `url`, signed with `secret`; the status and body of the answer.
    pub async fn deliver(&self, url: &str, secret: &str) -> Result<(u16, Value)> {
        let owner = self.repository.split('/').next().unwrap_or_default();
        let person = json!({"login": "ann", "type": "User"});
        let body = json!({
            "action": "opened",
            "issue": {
                "number": self.issue, "title": self.title, "body": "It must be 42.", "labels": [],
                "user": person, "author_association": "OWNER", "state": "open"
            },
            "repository": {"full_name": self.repository, "owner": {"login": owner}},
            "sender": person
        })
        .to_string();
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|error| anyhow!("{error}"))?;
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", "issues"),
            ("x-github-delivery", self.guid),
            ("x-hub-signature-256", &signature),
        ];
        let answered = http_client::send("POST", url, &headers, body.into()).await?;
        Ok((answered.status, serde_json::from_slice(&answered.body).unwrap_or_default()))
    }
}
