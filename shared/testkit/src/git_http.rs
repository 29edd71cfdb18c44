//! Git over HTTP, as a forge serves it: git's own CGI program behind a check of the token.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

use crate::http_server::{Asked, Reply};

/// Answers `asked`, whose path is `path` below the directory `root` of repositories, to somebody who was let in.
pub async fn answer(root: &Path, path: &str, asked: &Asked) -> Result<Reply> {
    let mut backend = start(root, path, asked)?;
    let mut stdin = backend.stdin.take().context("it has a standard input")?;
    let body = asked.body.clone();
    let feed = tokio::spawn(async move {
        // A request that is refused is not read to its end.
        let _ = stdin.write_all(&body).await;
    });
    let output = backend.wait_with_output().await?;
    feed.await?;
    let end = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.with_context(|| format!("no header: {}", String::from_utf8_lossy(&output.stderr)))?;
    let mut status = 200;
    let mut headers = Vec::new();
    for line in std::str::from_utf8(&output.stdout[..end])?.lines() {
        let (name, value) = line.split_once(':').context("a header has a colon")?;
        match name {
            "Status" => status = value.trim().split(' ').next().unwrap_or_default().parse()?,
            name => headers.push((name.to_owned(), value.trim().to_owned())),
        }
    }
    ensure!(status < 500, "git http-backend: {}", String::from_utf8_lossy(&output.stderr));
    let body = output.stdout[end + 4..].to_vec().into();
    Ok(Reply::Answer { status, headers, body })
}

fn start(root: &Path, path: &str, asked: &Asked) -> Result<Child> {
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("GIT_PROJECT_ROOT", root)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", &asked.query)
        .env("REQUEST_METHOD", &asked.method)
        .env("CONTENT_TYPE", asked.header("content-type"))
        .env("CONTENT_LENGTH", asked.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", asked.header("content-encoding"))
        .env("GIT_PROTOCOL", asked.header("git-protocol"))
        // Who is let in may push.
        .envs([("GIT_HTTP_EXPORT_ALL", "1"), ("REMOTE_USER", "test"), ("GIT_CONFIG_NOSYSTEM", "1")])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    command.spawn().context("git cannot be run; on Debian: apt-get install git")
}
