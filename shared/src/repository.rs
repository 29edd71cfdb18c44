//! What a task names as its repository.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A repository as a task names it. What it is cloned from and pushed to, a worker decides by its own
/// configuration; a webhook's clone URL is never used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RepositoryName {
    /// `owner/name` on the forge.
    Forge { owner: String, name: String },
    /// An absolute path on the worker's machine.
    Path(String),
    /// A git URL: `https://`, `http://`, `ssh://`, `git://`, `file://` or `user@host:path`.
    Url(String),
}

/// The text names no repository.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{text}' is not a repository: {reason}")]
pub struct InvalidRepository {
    text: String,
    reason: &'static str,
}

/// Longest repository name, path or URL, in bytes.
pub const REPOSITORY_BYTES_MAX: usize = 1_024;

const SCHEMES: [&str; 5] = ["https://", "http://", "ssh://", "git://", "file://"];

impl RepositoryName {
    /// `owner/name` where the name has this form.
    pub fn forge(&self) -> Option<(&str, &str)> {
        match self {
            Self::Forge { owner, name } => Some((owner, name)),
            Self::Path(_) | Self::Url(_) => None,
        }
    }

    /// Whether `pattern` matches: exact, or with `*` for any run of characters. GitHub's names do not
    /// differ by case, paths and URLs do.
    pub fn matches(&self, pattern: &str) -> bool {
        let text = self.to_string();
        match self {
            Self::Forge { .. } => wildcard(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase()),
            Self::Path(_) | Self::Url(_) => wildcard(pattern, &text),
        }
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any run of characters.
pub fn wildcard(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len()).filter(|&i| tail.is_char_boundary(i)).any(|i| wildcard(rest, &tail[i..]))
        }),
    }
}

fn is_name_part(part: &str) -> bool {
    let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    (1..=100).contains(&part.len()) && plain && !part.starts_with(['.', '-']) && part != ".git"
}

impl FromStr for RepositoryName {
    type Err = InvalidRepository;

    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        let refuse = |reason| Err(InvalidRepository { text: text.chars().take(120).collect(), reason });
        if text.is_empty() || text.len() > REPOSITORY_BYTES_MAX {
            return refuse("it must be 1 to 1,024 bytes long");
        }
        if text.chars().any(char::is_control) {
            return refuse("it contains a control character");
        }
        if text.starts_with('-') {
            return refuse("it begins with '-' and would be read as an option");
        }
        if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            let authority =
                text.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(""));
            if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
                return refuse("it contains a password; configure credentials apart from the URL");
            }
            return Ok(Self::Url(text.to_owned()));
        }
        if text.starts_with('/') {
            return Ok(Self::Path(text.to_owned()));
        }
        if let Some((host, path)) = text.split_once(':') {
            // "ext::sh -c ..." and its like run commands.
            if path.starts_with(':') || !host.contains('@') || host.contains('/') {
                return refuse("use owner/name, an absolute path, or a git URL");
            }
            return Ok(Self::Url(text.to_owned()));
        }
        match text.split_once('/') {
            Some((owner, name)) if is_name_part(owner) && is_name_part(name) => {
                Ok(Self::Forge { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => refuse("use owner/name, an absolute path, or a git URL"),
        }
    }
}

impl TryFrom<String> for RepositoryName {
    type Error = InvalidRepository;

    fn try_from(text: String) -> Result<Self, InvalidRepository> {
        text.parse()
    }
}

impl From<RepositoryName> for String {
    fn from(name: RepositoryName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forge { owner, name } => write!(f, "{owner}/{name}"),
            Self::Path(text) | Self::Url(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        assert!(matches!("octo/cat".parse(), Ok(RepositoryName::Forge { .. })));
        assert!(matches!("/srv/git/x.git".parse(), Ok(RepositoryName::Path(_))));
        assert!(matches!("git@github.com:octo/cat.git".parse(), Ok(RepositoryName::Url(_))));
        assert!(matches!("https://example.org/x.git".parse(), Ok(RepositoryName::Url(_))));
    }

    #[test]
    fn what_git_would_run_or_read_as_an_option_is_refused() {
        for bad in [
            "ext::sh -c x",
            "--upload-pack=x/y",
            "a/b/c",
            "../x",
            "octo/",
            "octo/..",
            "https://u:p@h/x",
            "a\nb/c",
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_match_names_regardless_of_case() {
        let name: RepositoryName = "Octo/Cat".parse().unwrap();
        for pattern in ["octo/cat", "octo/*", "*/cat", "*", "o*o/c*t"] {
            assert!(name.matches(pattern), "{pattern}");
        }
        for pattern in ["octo/ca", "oct/*", "", "octo"] {
            assert!(!name.matches(pattern), "{pattern}");
        }
    }
}
