//! What a repository tells whoever works in it, read from the base branch.

use std::path::Path;

use shared::task::cut;

use crate::{git::Git, mirror::Base};

/// The first that exists counts.
const FILES: [&str; 4] = ["AGENTS.md", "CLAUDE.md", ".github/copilot-instructions.md", "CONTRIBUTING.md"];

/// Of the file that the agent is shown, in bytes; it finds the rest in the tree.
const GUIDANCE_BYTES_MAX: usize = 16 * 1024;

/// A file that is larger is left to the agent.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A guidance file and its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guidance {
    pub file: &'static str,
    pub text: String,
    /// There is more in the file.
    pub cut: bool,
}

/// `None` where the base has none. What cannot be read is none: the agent finds it in the tree as well.
pub(crate) async fn guidance(git: &Git, mirror: &Path, base: &Base) -> Option<Guidance> {
    let listing = git.run_in(mirror, &[&["ls-tree", "-l", &base.commit], &FILES[..]].concat()).await.ok()?;
    let file = FILES.into_iter().find(|file| listing.lines().any(|line| is_text(line, file)))?;
    let text = git.run_in(mirror, &["cat-file", "blob", &format!("{}:{file}", base.commit)]).await.ok()?;
    let shown = cut(text.trim(), GUIDANCE_BYTES_MAX);
    (!shown.is_empty()).then(|| Guidance {
        file,
        text: shown.to_owned(),
        cut: shown.len() < text.trim().len(),
    })
}

/// `100644 blob NAME SIZE<tab>PATH`: a file, not a link, of a bearable size.
fn is_text(line: &str, file: &str) -> bool {
    let Some((facts, path)) = line.split_once('\t') else { return false };
    let mut facts = facts.split_whitespace();
    let (mode, size) = (facts.next().unwrap_or_default(), facts.nth(2).and_then(|size| size.parse().ok()));
    path == file && mode.starts_with("100") && size.is_some_and(|size: u64| size <= FILE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_huge_files_are_no_guidance() {
        assert!(is_text("100644 blob 0123456789    120\tAGENTS.md", "AGENTS.md"));
        assert!(!is_text("120000 blob 0123456789      9\tAGENTS.md", "AGENTS.md"));
        assert!(!is_text("040000 tree 0123456789      -\tAGENTS.md", "AGENTS.md"));
        assert!(!is_text("100644 blob 0123456789 900000\tAGENTS.md", "AGENTS.md"));
        assert!(!is_text("100644 blob 0123456789    120\tREADME.md", "AGENTS.md"));
    }
}
