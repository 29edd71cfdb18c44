//! An emulator of GitHub that others have made, with one repository `octo/cat`.

use std::{
    env, fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use testkit::{
    github::{APP_ID, LOGIN, TOKEN},
    http_client,
};

use crate::pc::until;

/// The token of `octo`, who owns the repository.
const OWNER_TOKEN: &str = "ghp_owner0123456789abcdef";

/// The token of `carl`, who has no say in it.
pub const STRANGER_TOKEN: &str = "ghp_stranger0123456789abcdef";

/// The emulator's process; ends when dropped.
pub struct Emulator {
    child: Child,
    url: String,
}

impl Emulator {
    /// Starts it with its seed in `dir`, and with this key's app installed where there is one.
    pub async fn start(dir: &Path, app_key: Option<&str>) -> Self {
        let program = |name: &str| {
            env::var(name).unwrap_or_else(|_| panic!("{name} names no program; run scripts/test --real"))
        };
        let mut seed = json!({
            "tokens": {
                TOKEN: {"login": LOGIN, "scopes": ["repo"]}, OWNER_TOKEN: {"login": "octo", "scopes": ["repo"]},
                STRANGER_TOKEN: {"login": "carl", "scopes": ["repo"]}
            },
            "github": {
                "users": [{"login": "octo", "name": "Octo"}, {"login": LOGIN, "name": "Bot"}, {"login": "carl", "name": "Carl"}],
                "repos": [{"owner": "octo", "name": "cat", "auto_init": true}]
            }
        });
        if let Some(key) = app_key {
            let permissions = json!({
                "contents": "write", "issues": "write", "pull_requests": "write", "metadata": "read"
            });
            let installation = json!({
                "installation_id": 99, "account": "octo", "repository_selection": "all", "permissions": permissions
            });
            seed["github"]["apps"] = json!([{
                "app_id": APP_ID, "slug": "cluster-app", "name": "Cluster", "private_key": key,
                "permissions": permissions, "events": ["issues"], "installations": [installation]
            }]);
        }
        let seed_file = dir.join("seed.json");
        fs::write(&seed_file, seed.to_string()).unwrap();
        // It cannot choose a port by itself.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(dir.join("emulator.log")).unwrap();
        let child = Command::new(program("CLAUDE_CLUSTER_TEST_NODE"))
            .arg(program("CLAUDE_CLUSTER_TEST_EMULATE"))
            .args(["start", "--service", "github", "--port", &port.to_string(), "--seed"])
            .arg(&seed_file)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let emulator = Self { child, url: format!("http://127.0.0.1:{port}") };
        until("the emulator answers", || emulator.try_get("")).await;
        let collaborator = format!("collaborators/{LOGIN}");
        emulator.ask("PUT", &collaborator, &json!({"permission": "push"})).await;
        emulator
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the owner reads at `octo/cat/PATH`; `None` while nothing answers.
    pub async fn try_get(&self, path: &str) -> Option<Value> {
        http_client::json("GET", &self.at(path), OWNER_TOKEN, &Value::Null).await.ok()
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).await
    }

    /// What the owner asks for at `octo/cat/PATH`.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask_as(OWNER_TOKEN, method, path, body).await
    }

    /// The same by whomever this token belongs to.
    pub async fn ask_as(&self, token: &str, method: &str, path: &str, body: &Value) -> Value {
        http_client::json(method, &self.at(path), token, body).await.unwrap()
    }

    fn at(&self, path: &str) -> String {
        format!("{}/repos/octo/cat/{path}", self.url).trim_end_matches('/').to_owned()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
