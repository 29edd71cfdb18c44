//! Webhooks that come twice, late or never.

use testkit::faults::Fault;

use crate::{
    pc::until,
    team::{CHANGE_PULL, MAKE_COMMENT, Setup, Team},
};

const POLLING: &[(&str, &str)] = &[
    ("CLAUDE_CLUSTER__POLL__ENABLED", "true"),
    ("CLAUDE_CLUSTER__POLL__REPOSITORIES", "octo/cat"),
    ("CLAUDE_CLUSTER__POLL__INTERVAL_MS", "200"),
    ("CLAUDE_CLUSTER__POLL__JITTER_MS", "0"),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn a_delivery_that_comes_many_times_at_once_makes_one_task() {
    let team = Team::with(Setup { ingester: false, ..Setup::default() }).await;
    let (_one, first) = team.start_ingester("ingester-1", &[]).await;
    let (_two, second) = team.start_ingester("ingester-2", &[]).await;
    team.mailbox.send_to(&[&first, &second, &first, &second]);
    team.open_issue().await;
    let answers = until("it is answered", || async { team.mailbox.answers().pop() }).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("an answer")).collect();
    let created = answers.iter().filter(|(status, _)| *status == 202).count();
    let duplicates = answers.iter().filter(|(_, answer)| answer["status"] == "duplicate").count();
    assert_eq!((created, duplicates), (1, 3), "{answers:#?}");
    assert!(answers.iter().all(|(_, answer)| answer["task_id"] == answers[0].1["task_id"]), "{answers:#?}");
    team.says("**Queued**").await;
    let pc = team.worker();
    team.done(&pc).await;
    team.assert_one_of_each().await;
    let (_, again) = team.mailbox.redeliver(0).await.unwrap();
    assert_eq!(again["status"], "duplicate", "also when the task has ended");
    assert_eq!(team.tasks("completed").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn what_an_ingester_had_enqueued_that_died_before_its_answer_is_delivered_again_into_the_same_task() {
    for point in ["IssueEnqueued", "DeliveryKept"] {
        let team = Team::with(Setup { ingester: false, ..Setup::default() }).await;
        let (mut dying, url) =
            team.start_ingester("ingester-1", &[("CLAUDE_CLUSTER_CRASH_POINT", point)]).await;
        team.mailbox.send_to(&[&url]);
        team.open_issue().await;
        assert_eq!(dying.ended().await, None, "{point}");
        let answers = until("the delivery has failed", || async { team.mailbox.answers().pop() }).await;
        assert_eq!(answers, [None], "{point}");
        let id = team.task("pending").await.id;
        let (_ingester, url) = team.start_ingester("ingester-2", &[]).await;
        team.mailbox.send_to(&[&url]);
        let (status, answer) = team.mailbox.redeliver(0).await.unwrap();
        assert_eq!(
            (status, &answer["status"], &answer["task_id"]),
            (200, &"duplicate".into(), &id.as_str().into())
        );
        team.says("**Queued**").await;
        let pc = team.worker();
        team.done(&pc).await;
        team.assert_one_of_each().await;
        assert_eq!(team.tasks("completed").await.len(), 1, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn without_a_webhook_polling_finds_issues_labels_and_commands() {
    let team = Team::with(Setup { webhook: false, variables: POLLING, ..Setup::default() }).await;
    team.asked("GET /api/v3/repos/octo/cat/issues/comments", 1).await;
    team.open_issue().await;
    team.says("**Queued**").await;
    team.comment("/claude cancel").await;
    team.says("**Cancelled** before a worker took it").await;
    team.label("claude").await;
    team.says("**Queued**").await;
    let pc = team.worker();
    team.done(&pc).await;
    let first = team.assert_one_of_each().await;
    team.comment("/claude retry").await;
    team.asked(CHANGE_PULL, 1).await;
    until("both are done", || async { (team.tasks("completed").await.len() == 2).then_some(()) }).await;
    team.done(&pc).await;
    assert_eq!(team.assert_one_of_each().await["number"], first["number"]);
    assert!(team.mailbox.answers().is_empty());
    // Looked at again, what was found makes nothing again.
    let looks = team.github.faults().count("GET /api/v3/repos/octo/cat/issues/comments");
    team.asked("GET /api/v3/repos/octo/cat/issues/comments", looks + 3).await;
    assert_eq!(team.tasks("completed").await.len() + team.tasks("pending").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the GitHub emulator: scripts/test --real"]
async fn whatever_goes_wrong_with_the_word_that_a_task_waits_there_is_one_comment() {
    for fault in [Fault::Status(500), Fault::AnswerLost, Fault::Closed, Fault::RateLimited(1)] {
        let team = Team::new().await;
        team.github.faults().add(MAKE_COMMENT, fault);
        team.open_issue().await;
        let (status, _) = team.answered(1).await;
        assert_eq!(status, 202);
        team.says("**Queued**").await;
        let pc = team.worker();
        team.done(&pc).await;
        team.assert_one_of_each().await;
        assert_eq!(team.github.faults().left(), 0, "{fault:?}");
    }
}
