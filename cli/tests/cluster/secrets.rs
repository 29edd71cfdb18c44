//! An agent that looks for secrets finds none, and none stands where others could read it.

use std::fs;

use shared::Status;

use crate::pc::{Cluster, LONG, agents, let_go, until};

/// Prints whatever it can reach, then waits so that the test can look at it from outside.
const LOOKING_AGENT: &str = r#"#!/bin/sh
cat > prompt
touch begun
while ! test -e go; do sleep 0.05; done
rm begun go
{
  env
  cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\0' '\n'
  cat "$HOME"/.gitconfig "$HOME"/.git-credentials .git/config 2>/dev/null
  git config --list 2>/dev/null
  ls -laR / 2>/dev/null | grep -E 'redis.sock|webhook-secret|config.toml'
  find / -xdev \( -name 'webhook-secret' -o -name 'redis.sock' -o -name 'appendonly*' \) 2>/dev/null
  find / -xdev -name '*.log' -path '*pc-1*' 2>/dev/null
} > found.txt 2>&1
echo "looked" >> README
"#;

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_reach_of_an_agent_nor_in_arguments_logs_workspace_or_git_configuration() {
    let cluster = Cluster::with_agent(LONG, LOOKING_AGENT);
    let state = cluster.dir.path().join("pc-1");
    fs::create_dir_all(state.join("claude-cluster")).unwrap();
    fs::write(state.join("claude-cluster/webhook-secret"), "canary-secret-file").unwrap();
    let pc = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    let tree = cluster.begun(&pc, &id).await;
    for pid in agents(&cluster.marker) {
        for file in ["cmdline", "environ"] {
            let text = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default())
                .into_owned();
            assert!(!has_secret(&text, &cluster), "{file} of {pid}: {text}");
        }
    }
    let config = fs::read_to_string(tree.join(".git/config")).unwrap();
    assert!(!has_secret(&config, &cluster), "{config}");
    let_go(&tree);
    let record = cluster.settled(&id).await;
    assert!(matches!(record.status, Status::Completed { .. }), "{record:?}\n{}", pc.log());
    let found = cluster.remote.read(&Cluster::branch_of(&record), "found.txt").unwrap();
    assert!(found.contains("HOME="), "it did look");
    assert!(!has_secret(&found, &cluster), "{found}");
    let log =
        until("the log is there", || async { Some(pc.log()).filter(|log| log.contains("completed")) }).await;
    assert!(!has_secret(&log, &cluster), "{log}");
    for entry in cluster.queue.read_log(&id, None, 1_000).await.unwrap() {
        assert!(!has_secret(&entry.line.text, &cluster), "{entry:?}");
    }
}

/// The canaries, and the way to Redis.
fn has_secret(text: &str, cluster: &Cluster) -> bool {
    let socket = cluster.redis.socket().display().to_string();
    ["ghp_canary", "canary-webhook", "canary-secret-file", "webhook-secret", "redis.sock", &socket]
        .iter()
        .any(|secret| text.contains(secret))
}
