//! What is refused although its tests are green.

use shared::FailureClass;

use crate::stage::{Run, Stage};

/// The agent solves the task, and then does `script`.
async fn run(script: &str) -> (Stage, Run) {
    let mut stage = Stage::new().agent(&format!("cat >/dev/null; echo 42 > answer\n{script}"));
    stage.config.agent.anthropic_api_key = "sk-real-key-of-the-worker".into();
    let run = stage.run(stage.task("x")).await;
    (stage, run)
}

async fn refused(script: &str, why: &str) {
    let (stage, run) = run(script).await;
    let failure = run.failure();
    assert!(failure.message.contains(why), "{script}: {failure:?}");
    assert_eq!(failure.class, FailureClass::Task);
    assert_eq!(stage.remote.branches().unwrap(), ["main"], "{script}");
    assert!(stage.workspaces().is_empty());
}

#[tokio::test]
async fn protected_paths_are_refused_in_whatever_commit_they_are_touched() {
    let workflow = "mkdir -p .github/workflows; echo 'on: push' > .github/workflows/ci.yml";
    refused(workflow, ".github/workflows/ci.yml, which publish.protected_paths protects").await;
    refused(&workflow.replace(".github/workflows", ".GitHub/Workflows"), "protects").await;
    // Quoted by git, because of the tab.
    refused(
        &format!("{workflow}; mv .github/workflows/ci.yml \".github/workflows/a$(printf '\\t')b\""),
        "protects",
    )
    .await;
    let taken_back =
        format!("{workflow}; git add -A; git commit -qm a; git rm -rq .github; git commit -qm b");
    refused(&taken_back, "protects").await;
    refused("git config -f .gitmodules submodule.x.url https://evil.example/x", ".gitmodules").await;
    let link = "git init -q sub; git -C sub commit -q --allow-empty -m x; git add -f sub 2>/dev/null";
    refused(link, "makes sub a submodule").await;
}

#[tokio::test]
async fn links_that_lead_out_are_refused_and_others_are_not() {
    refused("ln -s /etc/passwd passwd", "the link passwd leads out").await;
    refused("mkdir -p a; ln -s ../../x a/b", "the link a/b leads out").await;
    refused("ln -s .git/config config", "the link config leads out").await;
    let (stage, run) = run("mkdir -p a; ln -s ../answer a/link").await;
    assert_eq!(stage.remote.read(run.branch(), "a/link").unwrap(), "../answer");
}

#[tokio::test]
async fn secrets_are_refused_in_files_names_and_messages_also_of_earlier_commits() {
    let key = "sk-real-key-of-the-worker";
    refused(&format!("printf %s {key} > notes"), "one of the worker's own secrets").await;
    refused(&format!("printf '\\0%s' {key} | base64 > notes"), "own secrets").await;
    refused(&format!("printf %s {key} | od -An -tx1 | tr -d ' \\n' > notes"), "own secrets").await;
    refused(&format!("touch {key}"), "own secrets").await;
    refused(&format!("git commit -qam 'note {key}'"), "own secrets").await;
    let taken_back = format!("echo {key} > n; git add -A; git commit -qm a; git rm -q n; git commit -qm b");
    refused(&taken_back, "own secrets").await;
    refused(&format!("echo ghp_{} > notes", "a1".repeat(18)), "looks like a token of GitHub").await;
}

#[tokio::test]
async fn more_than_the_limit_is_refused_also_when_it_was_taken_back() {
    let mut stage = Stage::new().agent(
        "cat >/dev/null; echo 42 > answer; head -c 300000 /dev/zero > big; git add -A; git commit -qm a\n\
         git rm -q big; git commit -qm b",
    );
    stage.config.publish.change_bytes_max = 200_000;
    let run = stage.run(stage.task("x")).await;
    assert!(run.failure().message.contains("publish.change_bytes_max is 200000"), "{run:#?}");
}
