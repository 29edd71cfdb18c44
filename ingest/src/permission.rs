//! What somebody may do in a repository, asked of GitHub and remembered for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use shared::{
    RepositoryName,
    github::{GitHub, Patience, Permission, Rate},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

/// How long an answer holds. Whoever was just let in should not wait long for it to be known.
const TRUSTED_TIME: Duration = Duration::from_secs(300);
const UNTRUSTED_TIME: Duration = Duration::from_secs(60);

/// Answers that are remembered.
const REMEMBERED_MAX: usize = 1_000;

/// Questions under way at a time.
const QUESTIONS_MAX: usize = 8;

/// How long a question may take, repetitions included: a webhook has ten seconds in all, and the queue needs some.
const ANSWER_TIME: Duration = Duration::from_secs(4);

/// GitHub could not be asked: nobody knows whether the event may be acted upon.
#[derive(Debug, thiserror::Error)]
#[error("cannot ask GitHub what {login} may do in {repository}: {detail}")]
pub struct Unanswered {
    login: String,
    repository: RepositoryName,
    detail: String,
}

type Asked = (RepositoryName, String);

/// Looks permissions up, where there is a token to do so.
pub struct Permissions {
    github: Option<Arc<GitHub>>,
    remembered: Mutex<HashMap<Asked, (Permission, Instant)>>,
    questions: Semaphore,
}

impl Permissions {
    /// `None`: nobody is asked.
    pub fn new(github: Option<Arc<GitHub>>) -> Self {
        Self { github, remembered: Mutex::default(), questions: Semaphore::new(QUESTIONS_MAX) }
    }

    /// What GitHub's last answer said is left of the rate limit.
    pub fn rate(&self) -> Option<Rate> {
        self.github.as_ref()?.rate()
    }

    /// The word for what `login` may do; `None` where nobody can be asked for want of a token.
    pub async fn of(
        &self,
        repository: &RepositoryName,
        login: &str,
    ) -> Result<Option<&'static str>, Unanswered> {
        let Some(place) = self.github.as_ref().and_then(|github| github.repository(repository)) else {
            return Ok(None);
        };
        let asked = (repository.clone(), login.to_ascii_lowercase());
        if let Some(permission) = self.remembered(&asked) {
            return Ok(Some(word(permission)));
        }
        let unanswered = |detail: String| {
            let login = login.chars().take(60).collect();
            Unanswered { login, repository: repository.clone(), detail }
        };
        let Ok(_permit) = self.questions.try_acquire() else {
            return Err(unanswered(format!("{QUESTIONS_MAX} questions are under way")));
        };
        let mut patience = Patience::new(ANSWER_TIME);
        match timeout(ANSWER_TIME, place.permission(login, &mut patience)).await {
            Ok(Ok(permission)) => {
                self.remember(asked, permission);
                Ok(Some(word(permission)))
            }
            Ok(Err(error)) => Err(unanswered(error.to_string())),
            Err(_) => Err(unanswered(format!("no answer within {} s", ANSWER_TIME.as_secs()))),
        }
    }

    fn remembered(&self, asked: &Asked) -> Option<Permission> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(asked).filter(|(_, until)| Instant::now() < *until).map(|(permission, _)| *permission)
    }

    fn remember(&self, asked: Asked, permission: Permission) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, (_, until)| now < *until);
        }
        if remembered.len() >= REMEMBERED_MAX {
            // Many strangers at once: what is forgotten is asked again.
            remembered.clear();
        }
        let time = if permission >= Permission::Write { TRUSTED_TIME } else { UNTRUSTED_TIME };
        remembered.insert(asked, (permission, now + time));
    }
}

/// As `github.trusted_permissions` spells it.
fn word(permission: Permission) -> &'static str {
    match permission {
        Permission::None => "none",
        Permission::Read => "read",
        Permission::Triage => "triage",
        Permission::Write => "write",
        Permission::Maintain => "maintain",
        Permission::Admin => "admin",
    }
}
