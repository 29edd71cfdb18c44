//! Agent accounts that meet their limit, seen from the workers that share one.

use std::os::unix::fs::PermissionsExt;

use shared::Status;

use crate::pc::{Cluster, LONG, Pc, until};

/// Stands in for Claude Code: meets the limit of its account once, for six seconds, and works afterwards.
const LIMITED_ONCE: &str = r#"#!/bin/sh
case $* in *--version) echo '2.1.328 (Claude Code)'; exit;; esac
cat > /dev/null
init='{"type":"system","subtype":"init","session_id":"s","model":"m","claude_code_version":"2.1.328"}'
echo "$init"
if mkdir "$(dirname "$0")/met" 2> /dev/null; then
    echo "{\"type\":\"rate_limit_event\",\"rate_limit_info\":{\"status\":\"rejected\",\"resetsAt\":$(($(date +%s) + 6)),\"rateLimitType\":\"five_hour\"}}"
    echo '{"type":"assistant","error":"rate_limit","message":{"content":[]}}'
    echo '{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"limit"}'
    exit 1
fi
echo again >> README
echo '{"type":"result","subtype":"success","is_error":false,"result":"done"}'
"#;

/// A cluster whose workers share the account `team`.
fn sharing() -> Cluster {
    let mut cluster = Cluster::with_agent(LONG, LIMITED_ONCE);
    cluster.settings = [
        ("CLAUDE_CLUSTER__AGENT__DRIVER", "claude"),
        ("CLAUDE_CLUSTER__AGENT__ACCOUNT", "team"),
        // The stand-in remembers beside itself that it met the limit.
        ("CLAUDE_CLUSTER__SANDBOX__MODE", "process"),
        ("CLAUDE_CLUSTER__SANDBOX__ALLOW_SAME_USER", "true"),
        ("CLAUDE_CLUSTER__WORKER__MAX_TASKS", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    cluster
}

async fn ready(pc: &Pc) {
    until("it is ready", || async { pc.log().contains("worker is ready").then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_share_an_account_claim_nothing_until_its_limit_resets_and_go_on_then() {
    let cluster = sharing();
    // Whatever user agents run as has to be able to leave the mark.
    std::fs::set_permissions(cluster.dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let workers = [cluster.start("pc-1", "w1"), cluster.start("pc-2", "w2")];
    for pc in &workers {
        ready(pc).await;
    }
    let first = cluster.enqueue("a").await;
    let limited =
        until("the account rests", || async { cluster.queue.account_suspended_until("team").await.unwrap() })
            .await;
    let second = cluster.enqueue("b").await;
    // Both beats tell it, and with them whoever looks: nobody is left who could claim.
    for node in ["w1", "w2"] {
        until("the beat tells the rest", || async {
            let info = cluster.queue.worker(node).await.unwrap()?;
            (info.suspended_until == Some(limited) && info.running.is_empty()).then_some(())
        })
        .await;
    }
    for id in [&first, &second] {
        let record = cluster.record(id).await;
        assert!(matches!(record.status, Status::Pending), "{record:?}");
        assert_eq!((record.attempts, record.lost), (0, 0), "it costs no attempt");
    }
    let said = |arguments: &[&str]| {
        let output = cluster.command(cluster.dir.path()).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(said(&["agents"]).matches("suspended until").count(), 2, "{}", said(&["agents"]));
    for arguments in [&["status"][..], &["status", "--task-id", "b"]] {
        let text = said(arguments);
        assert!(text.contains("the agent account of its workers rests until"), "{text}");
    }
    for id in [&first, &second] {
        let record = cluster.settled(id).await;
        assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
        assert_eq!(record.attempts, 0);
        assert!(record.last_run.unwrap().claimed_at >= limited, "claimed before the reset");
    }
}

/// Stands in for Claude Code: each call costs three quarters of a dollar.
const PAID: &str = r#"#!/bin/sh
case $* in *--version) echo '2.1.328 (Claude Code)'; exit;; esac
cat > /dev/null
echo again >> README
echo '{"type":"system","subtype":"init","session_id":"s","model":"m","claude_code_version":"2.1.328"}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"done","total_cost_usd":0.75}'
"#;

#[tokio::test(flavor = "multi_thread")]
async fn workers_whose_account_has_spent_its_day_claim_nothing_more_and_one_with_a_larger_budget_does() {
    let mut cluster = Cluster::with_agent(LONG, PAID);
    let setting = |name: &str, value: &str| (format!("CLAUDE_CLUSTER__AGENT__{name}"), value.to_owned());
    cluster.settings = vec![
        setting("DRIVER", "claude"),
        setting("ACCOUNT", "team"),
        setting("BUDGET_USD_PER_DAY", "1.5"),
        ("CLAUDE_CLUSTER__WORKER__MAX_TASKS".to_owned(), "1".to_owned()),
    ];
    let workers = [cluster.start("pc-1", "w1"), cluster.start("pc-2", "w2")];
    for pc in &workers {
        ready(pc).await;
    }
    for id in ["a", "b"] {
        let record = cluster.settled(&cluster.enqueue(id).await).await;
        assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
        assert_eq!(record.micro_usd, 750_000);
    }
    let third = cluster.enqueue("c").await;
    let midnight = cluster.queue.account_standing("team").await.unwrap().day_ends_at;
    for node in ["w1", "w2"] {
        until("the beat tells the rest", || async {
            let info = cluster.queue.worker(node).await.unwrap()?;
            (info.suspended_until == Some(midnight)).then_some(())
        })
        .await;
    }
    let record = cluster.record(&third).await;
    assert!(matches!(record.status, Status::Pending), "{record:?}");
    assert_eq!((record.attempts, record.lost), (0, 0), "it costs no attempt");
    let output = cluster.command(cluster.dir.path()).arg("agents").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("account team: $1.50 of $1.50 spent since midnight UTC"), "{told}");
    let _richer = cluster.start_with("pc-3", "w3", &[("CLAUDE_CLUSTER__AGENT__BUDGET_USD_PER_DAY", "2.25")]);
    let record = cluster.settled(&third).await;
    assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
    assert_eq!(record.last_run.unwrap().worker, "w3");
}
