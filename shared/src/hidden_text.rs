//! Takes out of an issue's text what a person who reads it on the forge does not see.
//!
//! Somebody who triggers a task vouches for what they saw. Text that only the agent would see is how
//! instructions are smuggled past them.

mod characters;
mod html;
mod markdown;

use self::characters::strip_characters;
use crate::task::cut;

/// Bytes of a text that are looked at; four times what GitHub allows an issue in its widest characters.
const TEXT_BYTES_MAX: usize = 1_048_576;

/// What stands at the end of a text that was too long.
const CUT_MARK: &str = "\n\n[cut here: the text goes on]";

/// How often what is left is looked through again: a comment taken out of another leaves a third.
const ROUNDS_MAX: usize = 8;

/// `text`, which is Markdown, as its reader sees it: without HTML comments, attributes and unknown tags,
/// alternative texts of images, titles of links, link definitions, footnotes that nothing refers to, cells beyond
/// a table's last column, words behind a code block's language, and invisible characters. Code stays as it is.
/// Line feeds are the only line ends. What is stripped once is not changed by stripping it again.
pub fn strip(text: &str) -> String {
    strip_to(text, TEXT_BYTES_MAX)
}

/// The same, at most `bytes_max` bytes; what is cut off is said at the end.
pub fn strip_to(text: &str, bytes_max: usize) -> String {
    let looked_at = whole_paragraphs(text);
    let mut shown = settle(looked_at.replace("\r\n", "\n").replace('\r', "\n"));
    if looked_at.len() < text.len() || shown.len() > bytes_max {
        // After the search: half a comment would not be found.
        let end = cut(&shown, bytes_max.saturating_sub(CUT_MARK.len())).len();
        shown.truncate(end);
        shown.push_str(cut(CUT_MARK, bytes_max));
    }
    shown
}

/// `text` on one line, without control, zero-width, bidirectional and other invisible characters.
pub fn strip_line(text: &str) -> String {
    strip_characters(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As much as is looked at. A comment, a title or a link ends with its paragraph, so none is cut in two.
fn whole_paragraphs(text: &str) -> &str {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let start = cut(text, TEXT_BYTES_MAX);
    let end = ["\n\n", "\r\n\r\n"].into_iter().filter_map(|blank| start.rfind(blank)).max();
    &start[..end.unwrap_or(0)]
}

fn settle(mut text: String) -> String {
    for _ in 0..ROUNDS_MAX {
        // Characters last: an invisible one beside a fence changes where the forge sees code.
        let shown = strip_characters(&markdown::shown(&text));
        if shown == text {
            return shown;
        }
        text = shown;
    }
    // Nobody writes so by accident: what is left keeps its words and loses whatever could hide some.
    text.retain(|c| !"<[]&`~|".contains(c));
    text
}

#[cfg(test)]
mod tests;
