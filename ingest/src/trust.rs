//! Whose event may start a task: a run costs money and executes what the text asks for.

use shared::{config::GithubConfig, task::Trigger};

use crate::{
    event::{Account, IssuesEvent},
    trigger::{Ignored, short},
};

/// What the owner of a repository is to it; `author_association` uses the same word.
const OWNER: &str = "OWNER";

/// Refuses what was caused by ourselves, by bots, and by people without a say in the repository.
///
/// The payload tells what the issue's *author* is to the repository, and nothing of the sender, who may be
/// somebody else when an issue is reopened or labelled. So the sender has to be that author, or the
/// repository's owner. To open or reopen, the author has to be trusted as well; a label set by the owner
/// vouches for a stranger's text.
pub fn check(trigger: &Trigger, event: &IssuesEvent, github: &GithubConfig) -> Result<(), Ignored> {
    let sender = &event.sender;
    if !github.own_login.is_empty() && sender.is(&github.own_login) {
        return Err(Ignored::OwnEvent(short(&sender.login)));
    }
    for account in [Some(sender), event.issue.user.as_ref()].into_iter().flatten() {
        if account.is_bot() {
            return Err(Ignored::Bot(short(&account.login)));
        }
    }
    let sent_by_owner = sender.is(&event.repository.owner.login) && is_trusted(github, OWNER);
    if *trigger == Trigger::Labeled && sent_by_owner {
        return Ok(());
    }
    trusted_author(event, github)?;
    let sent_by_author = event.issue.user.as_ref().is_some_and(|author: &Account| sender.is(&author.login));
    if sent_by_author || sent_by_owner { Ok(()) } else { Err(Ignored::UnknownActor(short(&sender.login))) }
}

fn trusted_author(event: &IssuesEvent, github: &GithubConfig) -> Result<(), Ignored> {
    let association = event.issue.author_association.as_deref().unwrap_or("of unknown association");
    if event.issue.user.is_some() && is_trusted(github, association) {
        return Ok(());
    }
    Err(Ignored::UntrustedAuthor {
        login: short(event.issue.user.as_ref().map_or("(deleted account)", |author| &author.login)),
        association: short(association),
        trusted: github.trusted_associations.join(", "),
    })
}

fn is_trusted(github: &GithubConfig, association: &str) -> bool {
    github.trusted_associations.iter().any(|trusted| trusted.eq_ignore_ascii_case(association))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::config::Config;

    use super::*;

    fn github() -> GithubConfig {
        GithubConfig { own_login: "claude-worker".to_owned(), ..Config::defaults().unwrap().github }
    }

    /// An event on `acme/app` whose issue `author` wrote and that `sender` caused.
    fn event(author: &str, association: &str, sender: &str) -> IssuesEvent {
        serde_json::from_value(json!({
            "issue": {
                "number": 1, "title": "t", "body": null, "user": {"login": author, "type": "User"},
                "author_association": association
            },
            "repository": {"full_name": "acme/app", "owner": {"login": "acme"}},
            "sender": {"login": sender, "type": "User"}
        }))
        .unwrap()
    }

    #[test]
    fn a_trusted_author_opens_and_labels() {
        for association in ["OWNER", "MEMBER", "COLLABORATOR"] {
            let event = event("ann", association, "Ann");
            assert_eq!(check(&Trigger::IssueOpened, &event, &github()), Ok(()));
            assert_eq!(check(&Trigger::Labeled, &event, &github()), Ok(()));
        }
    }

    #[test]
    fn a_stranger_does_neither() {
        for association in ["NONE", "CONTRIBUTOR", "FIRST_TIMER", "FIRST_TIME_CONTRIBUTOR", "MANNEQUIN", ""] {
            let event = event("eve", association, "eve");
            for trigger in [Trigger::IssueOpened, Trigger::Labeled] {
                let answer = check(&trigger, &event, &github());
                assert!(matches!(answer, Err(Ignored::UntrustedAuthor { .. })), "{association}");
            }
        }
    }

    #[test]
    fn the_owner_vouches_for_a_strangers_text_by_the_label_alone() {
        let event = event("eve", "NONE", "acme");
        assert_eq!(check(&Trigger::Labeled, &event, &github()), Ok(()));
        let reopened = check(&Trigger::IssueOpened, &event, &github());
        assert!(matches!(reopened, Err(Ignored::UntrustedAuthor { .. })));
    }

    #[test]
    fn a_sender_of_whom_nothing_is_known_starts_nothing_even_on_a_trusted_authors_issue() {
        let event = event("ann", "MEMBER", "eve");
        for trigger in [Trigger::IssueOpened, Trigger::Labeled] {
            assert_eq!(check(&trigger, &event, &github()), Err(Ignored::UnknownActor("eve".to_owned())));
        }
    }

    #[test]
    fn an_owner_who_is_not_on_the_list_is_not_trusted() {
        let github = GithubConfig { trusted_associations: vec!["MEMBER".to_owned()], ..github() };
        assert!(check(&Trigger::Labeled, &event("eve", "NONE", "acme"), &github).is_err());
        let nobody = GithubConfig { trusted_associations: Vec::new(), ..github };
        assert!(check(&Trigger::IssueOpened, &event("ann", "MEMBER", "ann"), &nobody).is_err());
    }

    #[test]
    fn own_events_and_bots_never_trigger() {
        let own = event("Claude-Worker", "OWNER", "Claude-Worker");
        assert!(matches!(check(&Trigger::IssueOpened, &own, &github()), Err(Ignored::OwnEvent(_))));
        for (author, sender) in [("dependabot[bot]", "ann"), ("ann", "helper[bot]")] {
            let event = event(author, "MEMBER", sender);
            assert!(matches!(check(&Trigger::Labeled, &event, &github()), Err(Ignored::Bot(_))));
        }
        let mut by_type = event("ann", "MEMBER", "ann");
        by_type.sender.kind = Some("Bot".to_owned());
        assert!(matches!(check(&Trigger::IssueOpened, &by_type, &github()), Err(Ignored::Bot(_))));
    }

    #[test]
    fn an_issue_of_a_deleted_account_needs_the_owners_label() {
        let mut event = event("ann", "OWNER", "acme");
        event.issue.user = None;
        assert!(check(&Trigger::IssueOpened, &event, &github()).is_err());
        assert_eq!(check(&Trigger::Labeled, &event, &github()), Ok(()));
    }
}
