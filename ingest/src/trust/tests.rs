use serde_json::json;
use shared::config::{Config, RepositoryConfig};

use super::*;
use crate::{command::Wishes, event::What, trigger::Parts};

const OPENED: Step<'static> = start(Trigger::IssueOpened);
const LABELED: Step<'static> = start(Trigger::Labeled);
const COMMENTED: Step<'static> = start(Trigger::Comment);
const EDITED: Step<'static> = Step::Change(Parts { title: true, body: true, labels: false });
const ASKED_TO_STOP: Step<'static> = Step::Stop(Stop::Asked);

const fn start(trigger: Trigger) -> Step<'static> {
    Step::Start { trigger, wishes: Wishes { specialty: None, priority: None }, text: "" }
}

fn config() -> Config {
    let mut config = Config::defaults().unwrap();
    config.github.own_login = "claude-worker".to_owned();
    config
}

/// An event on `acme/app` whose issue `author` wrote and that `actor` caused.
fn event(author: &str, association: &str, actor: &str) -> IssueEvent {
    let issue = json!({
        "number": 1, "title": "t", "body": null, "user": {"login": author, "type": "User"},
        "author_association": association
    });
    IssueEvent {
        repository: "acme/app".parse().unwrap(),
        issue: serde_json::from_value(issue).unwrap(),
        actor: serde_json::from_value(json!({"login": actor, "type": "User"})).unwrap(),
        what: What::Opened,
        delivery: None,
    }
}

async fn judge(step: &Step<'_>, event: &IssueEvent, config: &Config) -> Result<(), Ignored> {
    let rules = config.rules(&event.repository).unwrap();
    match check(step, event, &rules, &Permissions::new(None)).await {
        Ok(()) => Ok(()),
        Err(Distrust::Ignored(ignored)) => Err(ignored),
        Err(Distrust::Unanswered(unanswered)) => panic!("{unanswered}"),
    }
}

#[tokio::test]
async fn a_trusted_author_may_do_everything() {
    for association in ["OWNER", "MEMBER", "COLLABORATOR"] {
        let event = event("ann", association, "Ann");
        for step in [OPENED, LABELED, COMMENTED, EDITED, ASKED_TO_STOP] {
            assert_eq!(judge(&step, &event, &config()).await, Ok(()), "{step:?}");
        }
    }
}

#[tokio::test]
async fn a_stranger_starts_and_changes_nothing() {
    for association in ["NONE", "CONTRIBUTOR", "FIRST_TIMER", "FIRST_TIME_CONTRIBUTOR", "MANNEQUIN", ""] {
        let event = event("eve", association, "eve");
        for step in [OPENED, LABELED, COMMENTED, EDITED, ASKED_TO_STOP] {
            let answer = judge(&step, &event, &config()).await;
            assert!(matches!(answer, Err(Ignored::UntrustedAuthor { .. })), "{association}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn whoever_can_close_an_issue_or_take_its_label_away_ends_its_task() {
    for actor in ["eve", "stale[bot]"] {
        let event = event("eve", "NONE", actor);
        for stop in [Stop::Closed, Stop::Unlabeled] {
            assert_eq!(judge(&Step::Stop(stop), &event, &config()).await, Ok(()));
        }
    }
    let own = event("ann", "OWNER", "claude-worker");
    assert!(matches!(judge(&Step::Stop(Stop::Closed), &own, &config()).await, Err(Ignored::OwnEvent(_))));
}

#[tokio::test]
async fn the_owner_vouches_for_a_strangers_text_by_label_and_comment_and_not_by_reopening() {
    let event = event("eve", "NONE", "acme");
    for step in [LABELED, COMMENTED] {
        assert_eq!(judge(&step, &event, &config()).await, Ok(()));
    }
    let reopened = judge(&OPENED, &event, &config()).await;
    assert!(matches!(reopened, Err(Ignored::UntrustedAuthor { .. })), "{reopened:?}");
}

#[tokio::test]
async fn of_somebody_else_than_the_author_the_issue_says_nothing() {
    let event = event("ann", "MEMBER", "eve");
    for step in [OPENED, LABELED, COMMENTED, EDITED] {
        let answer = judge(&step, &event, &config()).await;
        assert!(matches!(answer, Err(Ignored::UntrustedActor { .. })), "{step:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_comment_says_what_its_own_author_is() {
    let by = |commenter: &str, actor: &str| {
        let comment = json!({"user": {"login": commenter}, "author_association": "MEMBER"});
        let what = What::Commented(serde_json::from_value(comment).unwrap());
        IssueEvent { what, ..event("eve", "NONE", actor) }
    };
    assert_eq!(judge(&COMMENTED, &by("ann", "ann"), &config()).await, Ok(()));
    assert!(judge(&COMMENTED, &by("ann", "bob"), &config()).await.is_err());
}

#[tokio::test]
async fn lists_of_people_come_before_what_they_are_to_the_repository() {
    let mut config = config();
    config.github.denied_logins = vec!["Mallory".to_owned()];
    config.repository.push(RepositoryConfig {
        pattern: "acme/*".to_owned(),
        trusted_logins: Some(vec!["bob".to_owned(), "mallory".to_owned()]),
        ..Default::default()
    });
    assert_eq!(judge(&OPENED, &event("bob", "NONE", "bob"), &config).await, Ok(()));
    let denied = judge(&OPENED, &event("mallory", "OWNER", "mallory"), &config).await;
    assert!(matches!(denied, Err(Ignored::Denied(_))), "{denied:?}");
}

#[tokio::test]
async fn an_owner_who_is_not_on_the_list_is_not_trusted() {
    let mut config = config();
    config.github.trusted_associations = vec!["MEMBER".to_owned()];
    assert!(judge(&LABELED, &event("eve", "NONE", "acme"), &config).await.is_err());
    config.github.trusted_associations = Vec::new();
    assert!(judge(&OPENED, &event("ann", "MEMBER", "ann"), &config).await.is_err());
}

#[tokio::test]
async fn own_events_and_bots_never_trigger() {
    let own = event("Claude-Worker", "OWNER", "Claude-Worker");
    assert!(matches!(judge(&OPENED, &own, &config()).await, Err(Ignored::OwnEvent(_))));
    let by_us = event("Claude-Worker", "OWNER", "acme");
    for step in [OPENED, LABELED, COMMENTED] {
        assert!(matches!(judge(&step, &by_us, &config()).await, Err(Ignored::OwnEvent(_))));
    }
    for (author, actor) in [("dependabot[bot]", "ann"), ("ann", "helper[bot]")] {
        for step in [LABELED, COMMENTED, EDITED, ASKED_TO_STOP] {
            let answer = judge(&step, &event(author, "MEMBER", actor), &config()).await;
            assert!(matches!(answer, Err(Ignored::Bot(_))), "{answer:?}");
        }
    }
    let mut by_type = event("ann", "MEMBER", "ann");
    by_type.actor.kind = Some("Bot".to_owned());
    assert!(matches!(judge(&OPENED, &by_type, &config()).await, Err(Ignored::Bot(_))));
}

#[tokio::test]
async fn an_issue_of_a_deleted_account_needs_the_owners_label() {
    let mut event = event("ann", "OWNER", "acme");
    event.issue.user = None;
    assert!(judge(&OPENED, &event, &config()).await.is_err());
    assert_eq!(judge(&LABELED, &event, &config()).await, Ok(()));
}
