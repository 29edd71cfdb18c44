//! Requests that an emulator of others answers, and the one that it does not know.

use anyhow::Result;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    http_client::{self, Answered},
    http_server::{Asked, Reply},
};

/// The comments of all issues, whose path the emulator takes for the issue called `comments`.
const ALL_COMMENTS: &str = "/repos/octo/cat/issues/comments";

/// Issues and comments that are gathered; no test makes more.
const GATHERED_MAX: usize = 100;

/// Has the emulator at `url` answer what was asked for at `path`.
pub(super) async fn pass_on(url: &str, path: &str, asked: &Asked) -> Result<Reply> {
    if (asked.method.as_str(), path) == ("GET", ALL_COMMENTS) {
        return all_comments(url, asked).await;
    }
    let query = if asked.query.is_empty() { String::new() } else { format!("?{}", asked.query) };
    let answered = send(&asked.method, &format!("{url}{path}{query}"), asked, asked.body.clone()).await?;
    let headers = answered.headers.iter().filter(|(name, _)| {
        // Of the other connection, not of the answer.
        !["transfer-encoding", "connection", "keep-alive", "content-length"].contains(&name.as_str())
    });
    let headers =
        headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    Ok(Reply::Answer { status: answered.status, headers: headers.collect(), body: answered.body })
}

async fn all_comments(url: &str, asked: &Asked) -> Result<Reply> {
    let read = async |path: String| -> Result<Vec<Value>> {
        let answered = send("GET", &format!("{url}/repos/octo/cat/{path}"), asked, Bytes::new()).await?;
        Ok(serde_json::from_slice(&answered.body)?)
    };
    let mut comments = Vec::new();
    for issue in read(format!("issues?state=all&per_page={GATHERED_MAX}")).await? {
        let number = &issue["number"];
        comments.extend(read(format!("issues/{number}/comments?per_page={GATHERED_MAX}")).await?);
    }
    let time = |text: &str| text.parse::<DateTime<Utc>>().ok();
    let changed_at = |comment: &Value| comment["updated_at"].as_str().and_then(time);
    let since = asked.query("since").and_then(time);
    comments.retain(|comment| changed_at(comment) >= since);
    comments.sort_by_key(changed_at);
    Ok(Reply::json(200, &Value::Array(comments)))
}

async fn send(method: &str, url: &str, asked: &Asked, body: Bytes) -> Result<Answered> {
    let headers =
        ["authorization", "accept", "content-type", "user-agent"].map(|name| (name, asked.header(name)));
    http_client::send(method, url, &headers, body).await
}
