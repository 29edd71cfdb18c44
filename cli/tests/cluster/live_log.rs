//! What a running agent prints, followed from another PC.

use std::process::Stdio;

use shared::Status;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

use crate::pc::{Cluster, LONG, PATIENCE, let_go};

/// Prints a secret in two writes, and what would paint over a terminal; then waits to be let go.
const TALKING_AGENT: &str = r#"#!/bin/sh
cat > /dev/null
printf 'token ghp_canary'; sleep 0.3; printf '_token here\n'
printf 'red \033[31mtext\033[0m \033]0;title\007 \033[2J end\n'
touch begun
while ! test -e go; do sleep 0.05; done
rm begun go
echo "made by run" >> README
echo "I improved the README."
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_from_another_pc_line_by_line_and_ends_with_the_task() {
    let cluster = Cluster::with_agent(LONG, TALKING_AGENT);
    let pc = cluster.start("pc-1", "w1");
    let id = cluster.enqueue("a").await;
    let elsewhere = cluster.dir.path().join("pc-2");
    std::fs::create_dir_all(&elsewhere).unwrap();
    let mut follow = cluster.command(&elsewhere);
    follow.args(["logs", "-f", "a"]).stdout(Stdio::piped());
    let mut follow = tokio::process::Command::from(follow).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    let mut next = async |wanted: &str| {
        while let Some(line) = lines.next_line().await.unwrap() {
            seen.push(line);
            if seen.last().is_some_and(|line| line.contains(wanted)) {
                return;
            }
        }
        panic!("the log ended before '{wanted}': {seen:#?}");
    };
    // While the agent is still at work.
    next(" end").await;
    let tree = cluster.begun(&pc, &id).await;
    let_go(&tree);
    next("I improved the README.").await;
    next("completed: branch").await;
    assert!(timeout(PATIENCE, follow.wait()).await.expect("the follower ends").unwrap().success());
    assert!(matches!(cluster.record(&id).await.status, Status::Completed { .. }));
    let all = seen.join("\n");
    assert!(all.contains("token [redacted] here"), "{all}");
    assert!(!all.contains("canary") && !all.contains('\u{1b}') && !all.contains('\u{7}'), "{all}");
    assert!(all.contains(" test "), "the tests' output is in it, too: {all}");
}
