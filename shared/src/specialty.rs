//! The field a task belongs to; each has streams of its own.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The specialties that exist without any configuration.
pub const BUILT_IN: [&str; 5] = ["backend", "frontend", "testing", "devops", "general"];

/// A specialty's name: `[a-z][a-z0-9-]{0,31}`, safe inside a Redis hash tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Specialty(String);

/// The text is not the name of a specialty.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a specialty: a lower-case letter, then at most 31 of a-z 0-9 -")]
pub struct InvalidSpecialty(String);

impl Specialty {
    /// The stream for whatever fits no other.
    pub fn general() -> Self {
        Self("general".to_owned())
    }

    /// The five that always exist.
    pub fn built_in() -> Vec<Self> {
        BUILT_IN.iter().map(|name| Self((*name).to_owned())).collect()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Specialty {
    type Err = InvalidSpecialty;

    fn from_str(text: &str) -> Result<Self, InvalidSpecialty> {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if starts && plain && text.len() <= 32 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSpecialty(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for Specialty {
    type Error = InvalidSpecialty;

    fn try_from(text: String) -> Result<Self, InvalidSpecialty> {
        text.parse()
    }
}

impl From<Specialty> for String {
    fn from(specialty: Specialty) -> Self {
        specialty.0
    }
}

impl fmt::Display for Specialty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_hash_tag_are_refused() {
        for bad in ["", "Backend", "back end", "a}b", "1st", "-x", &"a".repeat(33)] {
            assert!(bad.parse::<Specialty>().is_err(), "{bad}");
        }
        assert_eq!(Specialty::built_in().len(), 5);
        assert!("data-science".parse::<Specialty>().is_ok());
    }
}
