//! What may not leave this machine, whatever an agent has committed.
//!
//! Looked at are all commits that are not in the base, not only what they come to: an earlier one is published as
//! well. Everything is read from a repository of the worker's own, by git without filters, hooks and text
//! conversion.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use shared::{Failure, repository::wildcard, task::cut};

use crate::{
    git::{Git, GitError},
    mirror::is_object_name,
    redact::Redactor,
};

/// Files that all commits together may touch.
const FILES_MAX: usize = 10_000;

/// Longest target of a symbolic link, in bytes.
const LINK_BYTES_MAX: u64 = 4_096;

/// Git's modes of what is not a plain file.
const LINK: &str = "120000";
const SUBMODULE: &str = "160000";

/// Where submodules are configured; its being protected protects them.
const SUBMODULES_FILE: &str = ".gitmodules";

/// How much of the changes is searched at once, in bytes.
const WINDOW_BYTES: usize = 1024 * 1024;

/// What is refused.
pub(crate) struct Rules<'a> {
    /// Paths that no change may touch; `*` stands for any run of characters.
    pub protected: &'a [String],
    /// What all new content together may come to.
    pub bytes_max: u64,
    pub secrets: &'a Redactor,
}

/// The commits between the base and the result, in a repository of the worker's own.
pub(crate) struct Inspection<'a> {
    pub git: &'a Git,
    pub repository: &'a Path,
    pub base: &'a str,
    pub commit: &'a str,
    pub rules: &'a Rules<'a>,
}

impl Inspection<'_> {
    /// `Err` says what is refused and what to do. `scratch` is a file that can be made and is removed.
    pub(crate) async fn pass(&self, scratch: &Path) -> Result<(), Failure> {
        let range = format!("{}..{}", self.base, self.commit);
        self.measure(&range).await?;
        for change in self.changes(&range).await? {
            self.look_at(&change).await?;
        }
        self.search(&range, scratch).await
    }

    /// Before anything is unpacked to be searched.
    async fn measure(&self, range: &str) -> Result<(), Failure> {
        let listed = ["rev-list", "--objects", "--no-object-names", range];
        let names = self.git.run_in(self.repository, &listed).await.map_err(unreadable)?;
        let ask = ["cat-file", "--batch-check=%(objectsize)"];
        let sizes =
            self.git.run_in_with(self.repository, &ask, names.as_bytes()).await.map_err(unreadable)?;
        let bytes: u64 = sizes.lines().filter_map(|size| size.parse::<u64>().ok()).sum();
        if bytes > self.rules.bytes_max {
            return Err(refused(&format!(
                "it holds {bytes} bytes of new content, and publish.change_bytes_max is {}",
                self.rules.bytes_max
            )));
        }
        Ok(())
    }

    /// What each commit changes, by its modes and paths.
    async fn changes(&self, range: &str) -> Result<Vec<Change>, Failure> {
        let log = ["log", "--format=", "--raw", "--no-abbrev", "--no-renames", "-m", "-r", range];
        let raw = self.git.run_in(self.repository, &log).await.map_err(unreadable)?;
        let mut changes = Vec::new();
        // `:old-mode mode old-object object status<tab>path`
        for line in raw.lines().filter_map(|line| line.strip_prefix(':')) {
            let (facts, path) = line.split_once('\t').ok_or_else(|| unreadable("a change without a path"))?;
            let facts: Vec<&str> = facts.split(' ').collect();
            let [_, mode, _, object, _] = facts.as_slice() else {
                return Err(unreadable("a change that git tells in an unknown form"));
            };
            changes.push(Change {
                mode: (*mode).to_owned(),
                object: (*object).to_owned(),
                path: unquoted(path),
            });
            if changes.len() > FILES_MAX {
                return Err(refused(&format!("it touches more than {FILES_MAX} files")));
            }
        }
        Ok(changes)
    }

    async fn look_at(&self, change: &Change) -> Result<(), Failure> {
        let Change { mode, object, path } = change;
        let shown = cut(path, 200);
        if self.protects(path) {
            return Err(refused(&format!(
                "it touches {shown}, which publish.protected_paths protects; a person has to make this change"
            )));
        }
        if mode == SUBMODULE && self.protects(SUBMODULES_FILE) {
            return Err(refused(&format!(
                "it makes {shown} a submodule, and publish.protected_paths protects {SUBMODULES_FILE}"
            )));
        }
        if mode == LINK && is_object_name(object) {
            let size =
                self.git.run_in(self.repository, &["cat-file", "-s", object]).await.map_err(unreadable)?;
            if size.trim().parse().unwrap_or(u64::MAX) > LINK_BYTES_MAX {
                return Err(refused(&format!("the link {shown} is longer than a path can be")));
            }
            let target = self.git.run_in(self.repository, &["cat-file", "blob", object]).await;
            let target = target.map_err(unreadable)?;
            if leads_out(path, target.trim_end_matches('\n')) {
                return Err(refused(&format!("the link {shown} leads out of the repository")));
            }
        }
        Ok(())
    }

    /// Names on some machines do not differ by case.
    fn protects(&self, path: &str) -> bool {
        let path = path.to_lowercase();
        self.rules.protected.iter().any(|pattern| wildcard(&pattern.to_lowercase(), &path))
    }

    /// Everything that is new, messages and names included, searched for our own secrets and their like.
    async fn search(&self, range: &str, scratch: &Path) -> Result<(), Failure> {
        let output = format!("--output={}", scratch.display());
        let log = [
            "log",
            &output,
            "--format=raw",
            "--patch",
            "--text",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--no-renames",
            "--irreversible-delete",
            "-m",
            range,
        ];
        self.git.run_in(self.repository, &log).await.map_err(unreadable)?;
        let found = File::open(scratch).and_then(|file| find(file, self.rules.secrets));
        let removed = std::fs::remove_file(scratch);
        let local = |error: io::Error| Failure::transient(format!("the change cannot be searched: {error}"));
        removed.map_err(local)?;
        match found.map_err(local)? {
            None => Ok(()),
            Some(what) => Err(refused(&format!(
                "it holds {what}; if the agent has seen a real one, replace it where it was made"
            ))),
        }
    }
}

struct Change {
    mode: String,
    object: String,
    path: String,
}

fn refused(what: &str) -> Failure {
    Failure::task(format!("the change cannot be published: {what}"))
}

fn unreadable(error: impl Into<Unreadable>) -> Failure {
    let Unreadable(what) = error.into();
    Failure::transient(format!("the change cannot be inspected: {what}"))
}

struct Unreadable(String);

impl From<GitError> for Unreadable {
    fn from(error: GitError) -> Self {
        Self(error.to_string())
    }
}

impl From<&str> for Unreadable {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A path as git quotes it where it holds odd characters; what is no UTF-8 is replaced.
fn unquoted(path: &str) -> String {
    let Some(quoted) = path.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return path.to_owned();
    };
    let mut bytes = Vec::new();
    let mut rest = quoted.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap_or(b'\\') {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'v' => 11,
            b'f' => 12,
            // Three octal digits.
            digit @ b'0'..=b'3' => {
                let mut value = digit - b'0';
                for digit in rest.by_ref().take(2) {
                    value = value.wrapping_mul(8).wrapping_add(digit.wrapping_sub(b'0'));
                }
                value
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a link at `path` points to anything but what lies in the repository.
fn leads_out(path: &str, target: &str) -> bool {
    if target.starts_with('/') {
        return true;
    }
    let mut depth = path.split('/').count() - 1;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            // A repository's own metadata is not its content.
            name if depth == 0 && name.eq_ignore_ascii_case(".git") => return true,
            _ => depth += 1,
        }
    }
    false
}

/// The first secret in `text`, as what it is. Read in windows that overlap by more than the longest one.
fn find(mut text: impl Read, secrets: &Redactor) -> io::Result<Option<&'static str>> {
    let overlap = secrets.needle_bytes_max().max(TOKEN_BYTES_MAX);
    let mut window = Vec::new();
    loop {
        let read = text.by_ref().take(WINDOW_BYTES as u64).read_to_end(&mut window)?;
        if let Some(what) = secrets.found_in(&window).or_else(|| token_in(&window)) {
            return Ok(Some(what));
        }
        if read == 0 {
            return Ok(None);
        }
        window.drain(..window.len().saturating_sub(overlap));
    }
}

/// How the tokens that this program works with begin, how many characters follow at least, and what they are.
const TOKENS: [(&str, usize, &str); 7] = [
    ("ghp_", 36, "what looks like a token of GitHub"),
    ("gho_", 36, "what looks like a token of GitHub"),
    ("ghu_", 36, "what looks like a token of GitHub"),
    ("ghs_", 36, "what looks like a token of GitHub"),
    ("ghr_", 36, "what looks like a token of GitHub"),
    ("github_pat_", 60, "what looks like a token of GitHub"),
    ("sk-ant-", 40, "what looks like a key of Anthropic"),
];

/// More than any of them is long.
const TOKEN_BYTES_MAX: usize = 512;

fn token_in(text: &[u8]) -> Option<&'static str> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    TOKENS.into_iter().find_map(|(prefix, length, what)| {
        let prefix = prefix.as_bytes();
        let mut places = text.windows(prefix.len()).enumerate().filter(|(_, part)| *part == prefix);
        let found = places.any(|(at, _)| {
            let rest = &text[at + prefix.len()..];
            rest.iter().take(length).filter(|byte| is_part(byte)).count() == length
        });
        found.then_some(what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_inside_or_is_refused() {
        for (path, target) in [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a", "./x/../y")] {
            assert!(!leads_out(path, target), "{path} -> {target}");
        }
        for (path, target) in [
            ("a", "/etc/passwd"),
            ("a", ".."),
            ("a/b", "../../x"),
            ("a", "x/../../y"),
            ("a", ".git/config"),
            ("a/b", "../.GIT/x"),
        ] {
            assert!(leads_out(path, target), "{path} -> {target}");
        }
    }

    #[test]
    fn quoted_paths_are_read_as_they_are() {
        assert_eq!(unquoted("a/b.txt"), "a/b.txt");
        assert_eq!(unquoted(r#"".github/workflows/a\tb\"\\.yml""#), ".github/workflows/a\tb\"\\.yml");
        assert_eq!(unquoted(r#""\346\227\245""#), "日");
    }

    #[test]
    fn secrets_are_found_across_windows_and_in_disguise() {
        let secrets = Redactor::new(["hunter22-secret"]);
        let mut text = vec![b'x'; WINDOW_BYTES - 4];
        text.extend_from_slice(b"hunter22-secret");
        assert!(find(text.as_slice(), &secrets).unwrap().is_some());
        for disguise in ["aHVudGVyMjItc2VjcmV0", "68756e74657232322d736563726574"] {
            assert!(find(format!("+x{disguise}y").as_bytes(), &secrets).unwrap().is_some(), "{disguise}");
        }
        assert_eq!(find(&b"hunter22"[..], &secrets).unwrap(), None);
    }

    #[test]
    fn what_looks_like_a_token_is_found_and_its_prefix_alone_is_not() {
        let token = format!("+key = \"ghp_{}\"", "a1".repeat(18));
        assert!(find(token.as_bytes(), &Redactor::default()).unwrap().is_some());
        assert!(
            find(format!("sk-ant-api03-{}", "x".repeat(40)).as_bytes(), &Redactor::default())
                .unwrap()
                .is_some()
        );
        assert_eq!(find(&b"tokens begin with ghp_ or sk-ant-"[..], &Redactor::default()).unwrap(), None);
    }
}
