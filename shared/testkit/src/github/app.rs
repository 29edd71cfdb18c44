//! A GitHub App on the fake GitHub: its key, and the tokens that it mints.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What an app's comments and pull requests are by.
pub const APP_LOGIN: &str = "cluster-app[bot]";

/// Id of the app, and of its only installation.
pub const APP_ID: u64 = 4_711;
const INSTALLATION_ID: u64 = 99;

/// The app, installed where `octo/cat` is.
pub struct App {
    dir: TempDir,
    /// The private key in PEM.
    pub key: String,
    /// What the installation was given.
    pub permissions: Value,
    /// What each token was asked to be for.
    pub asked: Vec<Value>,
    /// How long a token lives that is minted next, in seconds.
    pub life_s: u64,
}

impl App {
    /// With a key of its own, made by `openssl`.
    pub fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("app.pem");
        openssl(Command::new("openssl").args(["genrsa", "-traditional", "-out"]).arg(&path).arg("2048"))?;
        let public = dir.path().join("public.pem");
        openssl(Command::new("openssl").args(["rsa", "-pubout", "-in"]).arg(&path).arg("-out").arg(&public))?;
        Ok(Self {
            key: fs::read_to_string(&path)?,
            dir,
            permissions: json!({
                "contents": "write", "issues": "write", "pull_requests": "write", "metadata": "read", "actions": "read"
            }),
            asked: Vec::new(),
            life_s: 3_600,
        })
    }

    /// Whether `token` is signed by the app's key and good now.
    pub(super) fn signed(&self, token: &str) -> bool {
        self.verify(token).is_ok()
    }

    fn verify(&self, token: &str) -> Result<()> {
        let (signed, signature) = token.rsplit_once('.').context("a token has three parts")?;
        let (header, claims) = signed.split_once('.').context("a token has three parts")?;
        let part = |text: &str| -> Result<Value> {
            Ok(serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text)?)?)
        };
        ensure!(part(header)?["alg"] == "RS256");
        let claims = part(claims)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let time = |name: &str| claims[name].as_u64().context("a time");
        let app: u64 = claims["iss"].as_str().context("an app")?.parse()?;
        ensure!(app == APP_ID && time("iat")? <= now && time("exp")? > now);
        ensure!(time("exp")? - time("iat")? <= 600, "GitHub takes ten minutes at most");
        self.check(signed, &BASE64_URL_SAFE_NO_PAD.decode(signature)?)
    }

    fn check(&self, signed: &str, signature: &[u8]) -> Result<()> {
        let path = |name: &str| self.dir.path().join(name);
        fs::write(path("signed"), signed)?;
        fs::write(path("signature"), signature)?;
        let mut command = Command::new("openssl");
        command.args(["dgst", "-sha256", "-verify"]).arg(path("public.pem"));
        openssl(command.arg("-signature").arg(path("signature")).arg(path("signed")))
    }

    pub(super) fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mint = format!("/app/installations/{INSTALLATION_ID}/access_tokens");
        match (method, path) {
            ("GET", "/app") => (200, json!({"id": APP_ID, "slug": "cluster-app"})),
            ("GET", "/repos/octo/cat/installation" | "/orgs/octo/installation") => {
                (200, json!({"id": INSTALLATION_ID, "permissions": self.permissions, "suspended_at": null}))
            }
            ("POST", path) if path == mint => {
                let token = format!("ghs_minted{:08}", self.asked.len() + 1);
                self.asked.push(body.clone());
                let until = (SystemTime::now() + Duration::from_secs(self.life_s)).into();
                let until = DateTime::<Utc>::to_rfc3339(&until);
                (201, json!({"token": token, "expires_at": until, "permissions": body["permissions"]}))
            }
            _ => (404, json!({"message": "Not Found"})),
        }
    }
}

fn openssl(command: &mut Command) -> Result<()> {
    let command = command.stdin(Stdio::null()).env("HOME", Path::new("/nonexistent"));
    let output = command.output().context("openssl cannot be run; on Debian: apt-get install openssl")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
