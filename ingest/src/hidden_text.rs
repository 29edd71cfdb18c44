//! Takes out of an issue's text what a person who reads it on the forge does not see.
//!
//! Somebody who triggers a task vouches for what they saw. Text that only the agent would see is how
//! instructions are smuggled past them.

/// `text` without HTML comments and invisible characters, with line feeds as the only line ends.
pub fn strip(text: &str) -> String {
    // Comments first: an invisible character beside a fence changes where the forge sees code.
    strip_characters(&strip_comments(&text.replace("\r\n", "\n").replace('\r', "\n")))
}

/// `text` on one line, without control, zero-width, bidirectional and other invisible characters.
pub fn strip_line(text: &str) -> String {
    strip_characters(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn strip_characters(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || is_invisible(*c))).collect()
}

/// Unicode's default-ignorable code points, the bidirectional controls, interlinear annotation and
/// private use. Joiners and variation selectors are among them: an emoji may lose its colour, which is
/// a small price for a text that cannot carry a second one.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{E000}'..='\u{F8FF}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}' | '\u{F0000}'..='\u{10FFFD}')
}

/// `text` without HTML comments, except those in a fenced code block, which a reader sees.
///
/// A fence counts only where Markdown surely reads it as one: at the start of a line, in a paragraph
/// without a `<` (which might begin raw HTML), and in a text without the tags whose content is raw up to
/// their end. Everywhere else a comment goes, even from code: too much removed is the safe side.
fn strip_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    let mut raw_html = false;
    let mut paragraph_has_tag = false;
    while !rest.is_empty() {
        if !raw_html
            && !paragraph_has_tag
            && let Some(block) = fenced_block(rest)
        {
            kept.push_str(&rest[..block]);
            rest = &rest[block..];
            continue;
        }
        let line_end = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let line = &rest[..line_end];
        if line.trim().is_empty() {
            paragraph_has_tag = false;
        }
        paragraph_has_tag |= line.contains('<');
        raw_html |= opens_raw_html(line);
        let Some(start) = line.find("<!--") else {
            kept.push_str(line);
            rest = &rest[line_end..];
            continue;
        };
        kept.push_str(&rest[..start]);
        let comment = &rest[start..];
        let length = comment_length(comment, is_block_start(&line[..start]));
        if length == 0 {
            kept.push_str("<!--");
        }
        rest = &comment[length.max("<!--".len()).min(comment.len())..];
    }
    kept
}

/// Bytes of the comment that `text` begins with; 0 when Markdown shows it as it is.
fn comment_length(text: &str, starts_block: bool) -> usize {
    // "<!-->" is a whole comment for a browser, hence the overlap.
    let end = text[2..].find("-->").map(|at| 2 + at + "-->".len());
    if starts_block {
        // It hides everything up to its end, or up to the end of the text.
        return end.unwrap_or(text.len());
    }
    let paragraph_end = text.find("\n\n").unwrap_or(text.len());
    end.filter(|end| *end <= paragraph_end).unwrap_or(0)
}

/// Whether nothing but quote and list marks and blanks stands before a comment on its line.
fn is_block_start(before: &str) -> bool {
    before
        .chars()
        .all(|c| c.is_whitespace() || c.is_ascii_digit() || matches!(c, '>' | '-' | '+' | '*' | '.' | ')'))
}

fn opens_raw_html(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    ["<pre", "<script", "<style", "<textarea", "<?", "<![cdata["].iter().any(|tag| lower.contains(tag))
}

/// Bytes of the fenced code block that `text` begins with, its closing fence included.
fn fenced_block(text: &str) -> Option<usize> {
    let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let opening = text.lines().next()?;
    let info = opening.trim_start_matches(mark);
    let width = opening.len() - info.len();
    if width < 3 || (mark == '`' && info.contains('`')) {
        return None;
    }
    let mut end = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        end += line.len();
        if number > 0 && closes_fence(line, mark, width) {
            break;
        }
    }
    Some(end)
}

/// Exactly Markdown's rule. A fence closed too early or too late would turn code and text around for the
/// rest of the body.
fn closes_fence(line: &str, mark: char, width: usize) -> bool {
    let fence = line.trim_start_matches(' ');
    let blank = fence.trim_start_matches(mark);
    line.len() - fence.len() <= 3
        && fence.len() - blank.len() >= width
        && blank.chars().all(|c| matches!(c, ' ' | '\t' | '\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_and_bidirectional_characters_go_and_visible_text_stays() {
        let smuggled: String = "run rm".chars().filter_map(|c| char::from_u32(0xE0000 + c as u32)).collect();
        assert_eq!(strip(&format!("fix{smuggled} it")), "fix it");
        assert_eq!(strip("a\u{202E}b\u{2066}c\u{200B}d\u{0}e\u{1b}[31mf"), "abcde[31mf");
        assert_eq!(strip("tab\there\r\nnew\rline"), "tab\there\nnew\nline");
        assert_eq!(strip("ログインできない、急ぎ — naïve café ✓"), "ログインできない、急ぎ — naïve café ✓");
    }

    #[test]
    fn comments_go() {
        for (text, expected) in [
            ("a<!-- x -->b", "ab"),
            ("a\n<!-- x\n\ny -->\nb", "a\n\nb"),
            ("a\n<!-- never closed", "a\n"),
            ("> <!-- never closed in a quote", "> "),
            ("a <!--> b <!---> c", "a  b  c"),
            ("<!-- a --><!-- b -->c", "c"),
        ] {
            assert_eq!(strip(text), expected, "{text:?}");
        }
    }

    #[test]
    fn comment_marks_that_a_reader_sees_stay() {
        for text in [
            "write <!-- to start a comment\n\nand --> to end it",
            "```html\n<!-- shown -->\n```\nb",
            "steps:\n~~~\n<!-- shown -->\n~~~\n",
            "```\n<!-- shown, never closed",
        ] {
            assert_eq!(strip(text), text);
        }
    }

    #[test]
    fn a_fence_that_markdown_does_not_read_as_one_hides_nothing() {
        for text in [
            "<div>\n```\n<!-- hidden -->\n```\n</div>",
            "<pre>\n\n```\n<!-- hidden -->\n```\n</pre>",
            "    ```\n<!-- hidden -->\n",
            "- a\n  ```\n<!-- hidden -->\n",
            "``` `\n<!-- hidden -->\n",
            "```\ncode\n```\n<!-- hidden -->\n",
            "a<!-- ```\n -->\n<!-- hidden -->",
            "```\n```\u{200B}\n```\n<!-- hidden -->\n```\n",
            "```\n\t```\n```\n<!-- hidden -->\n```\n",
            "<!--\n\n-->```\n<!-- hidden -->\n```\n",
        ] {
            assert!(!strip(text).contains("hidden"), "{text:?}");
        }
    }

    #[test]
    fn a_title_stays_on_one_line() {
        assert_eq!(strip_line(" a\n\tb\u{200B}\r\nc "), "a b c");
    }
}
