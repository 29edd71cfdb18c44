//! Whose event may start a task: a run costs money and executes what the text asks for.

use shared::{config::Rules, task::Trigger};

use crate::{
    event::IssueEvent,
    payload::Account,
    permission::{Permissions, Unanswered},
    trigger::{Ignored, Step, Stop, short},
};

/// What the owner of a repository is to it; `author_association` uses the same word.
const OWNER: &str = "OWNER";

/// Why an event is not acted upon.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    #[error(transparent)]
    Ignored(#[from] Ignored),
    /// It may be trusted, and nobody can tell now.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

/// Refuses what was caused by ourselves, by bots, and by people without a say in the repository.
///
/// To open or reopen, the author has to be trusted as well as whoever did it. A label or a command of somebody
/// trusted vouches for a stranger's text, as it stands then. An edit enters only by somebody trusted. Closing an issue
/// and removing its label need no trust: GitHub lets only its author and those do it who may label, and ending a task
/// harms nobody.
pub async fn check(
    step: &Step<'_>,
    event: &IssueEvent,
    rules: &Rules<'_>,
    permissions: &Permissions,
) -> Result<(), Distrust> {
    let actor = &event.actor;
    if rules.is_own_login(&actor.login) {
        return Err(Ignored::OwnEvent(short(&actor.login)).into());
    }
    if let Step::Stop(Stop::Closed | Stop::Unlabeled) = step {
        return Ok(());
    }
    for account in [Some(actor), event.issue.user.as_ref()].into_iter().flatten() {
        if rules.is_own_login(&account.login) {
            return Err(Ignored::OwnEvent(short(&account.login)).into());
        }
        if account.is_bot() {
            return Err(Ignored::Bot(short(&account.login)).into());
        }
    }
    let opens = matches!(step, Step::Start { trigger: Trigger::IssueOpened, .. });
    let trust = Trust { event, rules, permissions };
    if let Some(author) = event.issue.user.as_ref().filter(|author| opens && !actor.is(&author.login)) {
        trust.check(author, event.issue.author_association.as_deref()).await?;
    } else if opens && event.issue.user.is_none() {
        return Err(trust.untrusted_author("(deleted account)", "gone").into());
    }
    trust.check(actor, event.actors_association()).await
}

struct Trust<'a> {
    event: &'a IssueEvent,
    rules: &'a Rules<'a>,
    permissions: &'a Permissions,
}

impl Trust<'_> {
    /// What the event says of `account` comes first: asking costs a request.
    async fn check(&self, account: &Account, association: Option<&str>) -> Result<(), Distrust> {
        let login = &account.login;
        if self.rules.denies_login(login) {
            return Err(Ignored::Denied(short(login)).into());
        }
        let owner = self.event.repository.forge().is_some_and(|(owner, _)| account.is(owner));
        if self.rules.trusts_login(login)
            || association.is_some_and(|association| self.rules.trusts_association(association))
            || (owner && self.rules.trusts_association(OWNER))
        {
            return Ok(());
        }
        let asked = if self.rules.trusted_permissions().is_empty() {
            None
        } else {
            self.permissions.of(&self.event.repository, login).await?
        };
        match (asked, association) {
            (Some(permission), _) if self.rules.trusts_permission(permission) => Ok(()),
            (Some(permission), _) => Err(self.untrusted(login, format!("has the permission {permission}"))),
            (None, Some(association)) => Err(self.untrusted_author(login, association).into()),
            (None, None) => {
                Err(self.untrusted(login, "may do what nobody can look up without github.token".to_owned()))
            }
        }
    }

    fn untrusted_author(&self, login: &str, association: &str) -> Ignored {
        Ignored::UntrustedAuthor {
            login: short(login),
            association: short(association),
            trusted: self.trusted(),
        }
    }

    fn untrusted(&self, login: &str, may: String) -> Distrust {
        Ignored::UntrustedActor { login: short(login), may, trusted: self.trusted() }.into()
    }

    fn trusted(&self) -> String {
        [self.rules.trusted_associations(), self.rules.trusted_permissions()].concat().join(", ")
    }
}

#[cfg(test)]
mod tests;
