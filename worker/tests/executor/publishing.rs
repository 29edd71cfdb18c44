//! What is published, by whom, and when it is not.

use std::{os::unix::fs::PermissionsExt, sync::atomic::Ordering};

use shared::FailureClass;
use worker::run::{Phase, RunEnd, StopReason};

use crate::stage::{Stage, Started};

fn solves(stage: Stage) -> Stage {
    stage.agent("cat >/dev/null; echo 42 > answer")
}

#[tokio::test]
async fn a_lost_lease_publishes_nothing() {
    let stage = solves(Stage::new());
    let mut run = Started::new(&stage.executor().await, stage.task("x"));
    run.phase(Phase::Testing { round: 1 }).await;
    run.held.store(false, Ordering::SeqCst);
    assert_eq!(run.end().await.end, RunEnd::Stopped(StopReason::LeaseLost));
    assert_eq!(stage.remote.branches().unwrap(), ["main"]);
    assert!(stage.workspaces().is_empty());
}

#[tokio::test]
async fn a_run_after_a_crash_between_push_and_settlement_replaces_the_branch() {
    let stage = solves(Stage::new());
    let mut spec = stage.task("Old title");
    spec.issue = Some(12);
    let first = stage.run(spec.clone()).await.branch().to_owned();
    let before = stage.remote.git(&["rev-parse", &first]).unwrap();
    stage.remote.commit("main", &[("other", "x\n")]).unwrap();
    // Retitled meanwhile: still the same branch.
    spec.title = "New title".to_owned();
    let second = stage.run(spec).await;
    assert_eq!(second.branch(), first);
    assert_ne!(stage.remote.git(&["rev-parse", &first]).unwrap(), before);
    assert_eq!(stage.remote.read(&first, "other").unwrap(), "x\n");
    assert_eq!(stage.remote.branches().unwrap(), [first.as_str(), "main"]);
}

#[tokio::test]
async fn a_branch_that_moves_during_the_push_is_not_overwritten() {
    let stage = solves(Stage::new());
    let mut spec = stage.task("x");
    spec.issue = Some(3);
    // The remote's hook plays the other worker that pushes between our look and our push.
    let hook = stage.remote.path().join("hooks/pre-receive");
    std::fs::write(
        &hook,
        "#!/bin/sh\nunset GIT_QUARANTINE_PATH\ngit update-ref refs/heads/claude/issue-3-x main\n",
    )
    .unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let main = stage.remote.git(&["rev-parse", "main"]).unwrap();
    let run = stage.run(spec).await;
    assert_eq!(run.failure().class, FailureClass::Transient, "{run:#?}");
    assert_eq!(stage.remote.git(&["rev-parse", "claude/issue-3-x"]).unwrap(), main);
}

#[tokio::test]
async fn a_remote_that_declines_is_not_asked_again() {
    let stage = solves(Stage::new());
    let hook = stage.remote.path().join("hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\necho 'not here' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = stage.run(stage.task("x")).await;
    assert_eq!(run.failure().class, FailureClass::Configuration, "{run:#?}");
}

#[tokio::test]
async fn rewritten_history_is_refused() {
    let script =
        "cat >/dev/null; echo 42 > answer; git checkout -q --orphan new; git add -A; git commit -qm new";
    let stage = Stage::new().agent(script);
    let run = stage.run(stage.task("x")).await;
    assert!(run.failure().message.contains("do not descend"), "{run:#?}");
    assert_eq!(stage.remote.branches().unwrap(), ["main"]);
}

#[tokio::test]
async fn a_configured_base_branch_is_where_work_starts() {
    let mut stage = solves(Stage::new());
    stage.remote.commit("stable", &[("only-here", "x\n")]).unwrap();
    stage.config.repository = vec![shared::config::RepositoryConfig {
        pattern: "octo/*".to_owned(),
        url: format!("file://{}", stage.remote.path().display()),
        base_branch: "stable".to_owned(),
        ..Default::default()
    }];
    let mut spec = stage.task("x");
    spec.repository = "octo/cat".parse().unwrap();
    let run = stage.run(spec).await;
    assert_eq!(stage.remote.read(run.branch(), "only-here").unwrap(), "x\n");
}

#[tokio::test]
async fn runs_share_a_mirror_at_the_same_time_and_leave_nothing_in_it() {
    let stage = Stage::new()
        .agent("cat >/dev/null; echo 42 > answer; echo $$ > \"$(git branch --show-current | tr / -)\"");
    let executor = stage.executor().await;
    let runs: Vec<_> = (1..=4)
        .map(|issue| {
            let mut spec = stage.task("x");
            spec.issue = Some(issue);
            Started::new(&executor, spec)
        })
        .collect();
    for run in runs {
        run.end().await.branch();
    }
    assert_eq!(stage.remote.branches().unwrap().len(), 5);
    let refs = std::process::Command::new("git")
        .args(["for-each-ref"])
        .current_dir(stage.mirror())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(refs.stdout).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn a_broken_mirror_is_made_anew() {
    let stage = solves(Stage::new());
    stage.run(stage.task("first")).await.branch();
    // Its objects are gone, and then its very form.
    std::fs::remove_dir_all(stage.mirror().join("objects")).unwrap();
    std::fs::create_dir(stage.mirror().join("objects")).unwrap();
    stage.run(stage.task("second")).await.branch();
    std::fs::remove_file(stage.mirror().join("HEAD")).unwrap();
    stage.run(stage.task("third")).await.branch();
    // One file's contents are damaged where no look at commits and trees shows it.
    let blob = stage.remote.git(&["rev-parse", "main:answer"]).unwrap();
    let packs = std::fs::read_dir(stage.mirror().join("objects/pack")).unwrap();
    let packed = packs.flatten().map(|entry| entry.path()).filter(|path| path.extension().unwrap() == "pack");
    let loose = stage.mirror().join("objects").join(&blob[..2]).join(&blob[2..]);
    for path in packed.chain([loose]).filter(|path| path.exists()) {
        let length = std::fs::metadata(&path).unwrap().len();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, vec![0; length as usize]).unwrap();
    }
    stage.run(stage.task("fourth")).await.branch();
    assert_eq!(stage.remote.branches().unwrap().len(), 5);
}
