//! An ingester says on an issue that its task waits, and dies or freezes over it while a worker goes on.

use nix::sys::signal::Signal;
use shared::{crash_point::CrashPoint, github::MARKER};
use testkit::github::LOGIN;

use crate::{
    crash::{TELLING, VARIABLE, each},
    forge::Forge,
    pc::until,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_ingester_that_dies_over_its_words_on_an_issue_leaves_one_comment() {
    each(&TELLING, |point| async move {
        let forge = Forge::new().await;
        let (mut first, url) = forge.ingester("ingest-1", &[(VARIABLE, &format!("{point:?}"))]).await;
        let (status, answer) = Forge::deliver(&url, "g").await.unwrap();
        assert_eq!(status, 202, "{answer}");
        assert_eq!(first.ended().await, None);
        let id = answer["task_id"].as_str().unwrap().parse().unwrap();
        let (_second, url) = forge.ingester("ingest-2", &[]).await;
        let (_, again) = Forge::deliver(&url, "g").await.unwrap();
        assert_eq!(again["status"], "duplicate");
        until("the issue says that its task waits", || async {
            let state = forge.github.state();
            assert!(state.comments.len() <= 1, "{:#?}", state.comments);
            state.comments.first()?.body.contains("**Queued**").then_some(())
        })
        .await;
        let _worker = forge.cluster.start("pc-1", "w1");
        let record = forge.cluster.settled(&id).await;
        forge.assert_published_once(&record).await;
        forge.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_ingester_says_that_froze_over_it_does_not_stand_beside_nor_over_what_the_worker_said() {
    // Whether there is a comment already, of an earlier task.
    each(&[false, true], |has_comment| async move {
        let forge = Forge::new().await;
        if has_comment {
            let earlier = format!("{MARKER}\n**Done:** earlier");
            forge.github.state().comment(LOGIN, "COLLABORATOR", &earlier, "2030-01-01T00:00:00Z");
        }
        let variables =
            [(VARIABLE, format!("{:?}:freeze", CrashPoint::WaitingAsked)), ("LOG_LEVEL", "debug".to_owned())];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let (frozen, url) = forge.ingester("ingest-1", &variables).await;
        let (_, answer) = Forge::deliver(&url, "g").await.unwrap();
        let id = answer["task_id"].as_str().unwrap().parse().unwrap();
        frozen.frozen().await;
        let _worker = forge.cluster.start("pc-1", "w1");
        let record = forge.cluster.settled(&id).await;
        forge.assert_published_once(&record).await;
        frozen.signal(Signal::SIGCONT);
        until("it has put right what it said too late", || async {
            frozen.log().contains("the issue is told how its task stands").then_some(())
        })
        .await;
        forge.assert_published_once(&record).await;
        forge.assert_nothing_left().await;
    })
    .await;
}
