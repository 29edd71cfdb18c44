//! Text of others that the engine passes on to a forge, which acts on what it reads there.

use crate::{task::cut, task_log::is_directional};

/// The text without what a forge acts on: `#5` after "fixes" closes another issue, `@name` calls somebody, an
/// image tells a stranger's server who looked.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let text = printable(text);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '!' && chars.peek() == Some(&'[') {
            continue;
        }
        out.push(c);
        let digit_follows = chars.peek().is_some_and(char::is_ascii_digit);
        let acts = match c {
            '#' => digit_follows,
            '@' => chars.peek().is_some_and(|next| next.is_ascii_alphanumeric() || *next == '_'),
            '/' => digit_follows && (out.ends_with("/issues/") || out.ends_with("/pull/")),
            '-' => digit_follows && is_after(&out, "gh-"),
            _ => false,
        };
        if acts {
            out.push(' ');
        }
    }
    out
}

/// The text without what a terminal or a browser acts on: control characters but for line ends and tabs, and those that
/// turn the direction of writing.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control() && !is_directional(*c)).collect()
}

fn is_after(text: &str, word: &str) -> bool {
    text.len()
        .checked_sub(word.len())
        .and_then(|start| text.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(word))
}

/// At most `bytes_max` of somebody's text as a Markdown quotation: whatever markup it opens, ends with it.
pub fn quotation(text: &str, bytes_max: usize) -> String {
    let text = text.trim();
    let kept = cut(text, bytes_max);
    let mut lines: Vec<String> =
        harmless(kept).lines().map(|line| format!("> {line}").trim_end().to_owned()).collect();
    if kept.len() < text.len() {
        lines.extend([">".to_owned(), "> (cut here)".to_owned()]);
    }
    lines.join("\n")
}

/// Text on one line of code. A forge acts on nothing in it.
pub fn code(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "'");
    format!("`{line}`")
}

/// Text of several lines as a block of code, which nothing in it ends.
pub fn code_block(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_no_issue_is_closed_and_no_image_is_fetched() {
        for (text, expected) in [
            ("Hi @octocat and @_x, mail a@b.c", "Hi @ octocat and @ _x, mail a@ b.c"),
            ("fixes #1, o/r#2 and GH-3", "fixes # 1, o/r# 2 and GH- 3"),
            ("https://github.com/o/r/issues/5 and /pull/6", "https://github.com/o/r/issues/ 5 and /pull/ 6"),
            ("![x](https://evil/x.png)", "[x](https://evil/x.png)"),
            ("# Title\nC# @ home, step-2", "# Title\nC# @ home, step-2"),
        ] {
            assert_eq!(harmless(text), expected);
        }
    }

    #[test]
    fn a_quotation_ends_whatever_it_contains() {
        assert_eq!(quotation("a\n\n```\n<details>", 100), "> a\n>\n> ```\n> <details>");
        assert_eq!(quotation("abcdef", 3), "> abc\n>\n> (cut here)");
    }

    #[test]
    fn no_text_ends_the_code_it_stands_in() {
        assert_eq!(code("a `b`\nc"), "`a 'b' c`");
        assert_eq!(code_block("x\n```\n@all"), "````text\nx\n```\n@all\n````");
    }
}
