//! What somebody may do in a repository.

use serde::Deserialize;

use super::{Patience, Repository, error::ApiError};

/// What an account may do, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    None,
    Read,
    /// Labels and closes issues.
    Triage,
    /// Pushes.
    Write,
    Maintain,
    Admin,
}

#[derive(Deserialize)]
struct Answer {
    permission: String,
    /// Tells triage from read and maintain from write.
    role_name: Option<String>,
}

impl Permission {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "admin" => Self::Admin,
            "maintain" => Self::Maintain,
            "write" | "push" => Self::Write,
            "triage" => Self::Triage,
            "read" | "pull" => Self::Read,
            "none" => Self::None,
            _ => return None,
        })
    }
}

impl Permission {
    /// GitHub's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }
}

impl Repository {
    /// What `login` may do here. Nothing, where GitHub knows nobody of that name. A role that the organisation has
    /// made itself counts as the permission that it builds on.
    pub async fn permission(&self, login: &str, patience: &mut Patience) -> Result<Permission, ApiError> {
        // A login is letters, digits and hyphens, and "[bot]" for an app: nothing else goes into a path.
        let plain =
            login.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'[' | b']'));
        if login.is_empty() || !plain {
            return Ok(Permission::None);
        }
        let login = login.replace('[', "%5B").replace(']', "%5D");
        match self.read::<Answer>(&format!("collaborators/{login}/permission"), patience).await {
            Ok(answer) => {
                let role = answer.role_name.as_deref().and_then(Permission::of);
                Ok(role.or_else(|| Permission::of(&answer.permission)).unwrap_or(Permission::None))
            }
            Err(error) if error.status() == Some(404) => Ok(Permission::None),
            Err(error) => Err(error),
        }
    }
}
