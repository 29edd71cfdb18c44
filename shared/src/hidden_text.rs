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
/// A fence counts only where Markdown surely reads it as one: at the start of a line, in a paragraph that
/// cannot be raw HTML, and after none of the tags whose content is raw up to their end. Everywhere else a
/// comment goes, even from code: too much removed is the safe side.
fn strip_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut line_feed = Next::new(text, "\n");
    let mut opening = Next::new(text, "<!--");
    let mut closing = Next::new(text, "-->");
    let mut blank_line = Next::new(text, "\n\n");
    let mut context = Context::default();
    let mut at = 0;
    let mut line_start = 0;
    while at < text.len() {
        let line_end = line_feed.from(at).map_or(text.len(), |feed| feed + 1);
        if at == line_start {
            if let Some(length) = fenced_block(&text[at..]).filter(|_| !context.may_be_raw_html()) {
                kept.push_str(&text[at..at + length]);
                at += length;
                line_start = at;
                continue;
            }
            context.enter_line(&text[at..line_end]);
        }
        let Some(start) = opening.from(at).filter(|start| *start < line_end) else {
            kept.push_str(&text[at..line_end]);
            at = line_end;
            line_start = at;
            continue;
        };
        kept.push_str(&text[at..start]);
        // "<!-->" is a whole comment for a browser, hence the overlap.
        let end = closing.from(start + 2).map(|end| end + "-->".len());
        at = if context.may_be_raw_html() {
            // It hides everything up to its end, or up to the end of the text.
            end.unwrap_or(text.len())
        } else {
            // In running text it ends within its paragraph or is no comment.
            let paragraph_end = blank_line.from(start).unwrap_or(text.len());
            end.filter(|end| *end <= paragraph_end).unwrap_or_else(|| {
                kept.push_str("<!--");
                start + "<!--".len()
            })
        };
        if at > line_end {
            line_start = text[..at].rfind('\n').map_or(0, |feed| feed + 1);
            context.html_block = true;
        }
    }
    kept
}

/// The next place of `pattern`, looked for once: the text is untrusted, and its cost must stay linear.
struct Next<'t> {
    text: &'t str,
    pattern: &'static str,
    found: Option<usize>,
}

impl<'t> Next<'t> {
    fn new(text: &'t str, pattern: &'static str) -> Self {
        Self { text, pattern, found: text.find(pattern) }
    }

    /// The first place at or after `at`, which never goes back.
    fn from(&mut self, at: usize) -> Option<usize> {
        if self.found.is_some_and(|found| found < at) {
            self.found = self.text[at..].find(self.pattern).map(|place| at + place);
        }
        self.found
    }
}

/// What is known of the lines so far, as far as it says whether Markdown is read or HTML.
#[derive(Default)]
struct Context {
    /// A tag was opened whose content is raw up to its end, wherever that is.
    raw_element: bool,
    /// A line of this paragraph begins with a tag, which makes the rest of the paragraph raw.
    html_block: bool,
}

impl Context {
    fn enter_line(&mut self, line: &str) {
        self.html_block = (self.html_block && !line.trim().is_empty()) || begins_with_tag(line);
        self.raw_element |= opens_raw_element(line);
    }

    fn may_be_raw_html(&self) -> bool {
        self.raw_element || self.html_block
    }
}

/// Whether a `<` follows the marks of quotes, lists and footnotes that a block can stand behind.
fn begins_with_tag(line: &str) -> bool {
    let footnote = line.trim_start().strip_prefix("[^").and_then(|rest| rest.split_once("]:"));
    let line = footnote.map_or(line, |(_, text)| text);
    let is_mark = |c: char| c.is_whitespace() || c.is_ascii_digit() || ">-+*.)".contains(c);
    line.trim_start_matches(is_mark).starts_with('<')
}

fn opens_raw_element(line: &str) -> bool {
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
            ("<!-- a --> <!-- b, never closed", " "),
            ("<p>\nx <!-- spans\n\nparagraphs --> y", "<p>\nx  y"),
            ("[^1]: <!-- never closed", "[^1]: "),
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
            "from `<!--` and `<!--` on,\n\nall is `-->` shown",
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
    fn a_body_full_of_marks_takes_no_longer_than_any_other() {
        for piece in ["a<!--", "<!---->", "<!--\n\n", "`<!--`\n\n", "```\n<!--\n"] {
            // Quadratic work would take minutes for this.
            strip(&piece.repeat(1_000_000 / piece.len()));
        }
    }

    #[test]
    fn a_title_stays_on_one_line() {
        assert_eq!(strip_line(" a\n\tb\u{200B}\r\nc "), "a b c");
    }
}
