//! HTML in Markdown: what is left of it when it is shown.

use super::characters::is_invisible;

/// The elements that GitHub shows. Of any other tag its reader sees nothing.
const KNOWN: [&str; 62] = [
    "a",
    "abbr",
    "b",
    "bdo",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "dd",
    "del",
    "details",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "h7",
    "h8",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "picture",
    "pre",
    "q",
    "rp",
    "rt",
    "ruby",
    "s",
    "samp",
    "small",
    "source",
    "span",
    "strike",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "ul",
];

/// The attributes that stay: where something is.
const KEPT: [&str; 2] = ["href", "src"];

/// A piece of HTML without what is not shown.
pub struct Shown {
    pub text: String,
    /// A comment or a quoted attribute is still open at its end: it hides everything after it as well.
    pub open: bool,
}

/// What is shown of `html`. `before`: the character that it stands behind.
pub fn shown(html: &str, before: Option<char>) -> Shown {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        let piece = &rest[at..];
        let (length, open) = match piece.as_bytes() {
            [b'&', ..] => (reference(piece, &mut text), false),
            [b'<', b'!' | b'?', ..] => markup(piece),
            [b'<', b'/', name, ..] | [b'<', name, ..] if name.is_ascii_alphabetic() => {
                let before =
                    text.chars().next_back().or(before.filter(|_| at == 0 && rest.len() == html.len()));
                tag(piece, before, &mut text)
            }
            _ => {
                text.push('<');
                (1, false)
            }
        };
        if open {
            return Shown { text, open };
        }
        rest = &piece[length..];
    }
    text.push_str(rest);
    Shown { text, open: false }
}

/// Bytes of a comment, declaration or processing instruction, and whether it never ends.
fn markup(piece: &str) -> (usize, bool) {
    let (from, end) = if piece.starts_with("<!--") {
        // "<!-->" is a whole comment for a browser, hence the overlap.
        (2, "-->")
    } else if piece.starts_with("<![CDATA[") {
        (9, "]]>")
    } else if piece.starts_with("<?") {
        (2, "?>")
    } else {
        (2, ">")
    };
    piece[from..].find(end).map_or((piece.len(), true), |at| (from + at + end.len(), false))
}

/// Writes what stays of the tag that `piece` begins with; its bytes, and whether a quote in it never ends.
fn tag(piece: &str, before: Option<char>, text: &mut String) -> (usize, bool) {
    let closing = piece.starts_with("</");
    let name_at = 1 + usize::from(closing);
    let name_end = piece[name_at..]
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .map_or(piece.len(), |length| name_at + length);
    let name = &piece[name_at..name_end];
    let mut attributes = String::new();
    let mut bare = true;
    let mut at = name_end;
    let end = loop {
        let rest = &piece[at..];
        let Some(next) = rest.find(|c: char| !(c.is_whitespace() || c == '/')) else {
            return (piece.len(), false);
        };
        at += next;
        if piece[at..].starts_with('>') {
            break at + 1;
        }
        bare = false;
        let (key, value, length, whole) = attribute(&piece[at..]);
        if !whole {
            return (piece.len(), true);
        }
        let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || "\"'<>`".contains(c));
        if plain && KEPT.iter().any(|kept| key.eq_ignore_ascii_case(kept)) {
            attributes.extend([" ", &key.to_ascii_lowercase(), "=\"", value, "\""]);
        }
        at += length;
    };
    let known = KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known));
    // "Vec<String>" is no HTML to whoever wrote it, and a single word to whoever reads it.
    let generic = bare && !closing && before.is_some_and(char::is_alphanumeric);
    if known || generic {
        let slash = if piece[..end].ends_with("/>") && attributes.is_empty() { "/" } else { "" };
        text.extend([&piece[..name_end], &attributes, slash, ">"]);
    }
    (end, false)
}

/// Key, value and bytes of the attribute that `text` begins with, and whether its quotes are closed.
fn attribute(text: &str) -> (&str, &str, usize, bool) {
    let ends_key = |c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/');
    // A key may begin with anything, even with '='.
    let first = text.chars().next().map_or(0, char::len_utf8);
    let key_end = text[first..].find(ends_key).map_or(text.len(), |at| first + at);
    let key = &text[..key_end];
    let spaces = |from: usize| from + (text[from..].len() - text[from..].trim_start().len());
    let equals = spaces(key_end);
    if !text[equals..].starts_with('=') {
        return (key, "", key_end, true);
    }
    let start = spaces(equals + 1);
    if let Some(quote) = text[start..].chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let value = &text[start + 1..];
        return match value.find(quote) {
            Some(length) => (key, &value[..length], start + length + 2, true),
            None => (key, "", text.len(), false),
        };
    }
    let length = text[start..].find(|c: char| c.is_whitespace() || c == '>').unwrap_or(text.len() - start);
    (key, &text[start..start + length], start + length, true)
}

/// Writes the `&` that `piece` begins with, unless it spells an invisible character; the bytes that it took.
fn reference(piece: &str, text: &mut String) -> usize {
    const DIGITS_MAX: usize = 8;
    let number = piece.strip_prefix("&#").and_then(|number| {
        let end = number.bytes().take(DIGITS_MAX + 2).position(|b| b == b';')?;
        let digits = &number[..end];
        let code = match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        Some((code.ok()?, end + 3))
    });
    match number {
        Some((code, length)) if char::from_u32(code).is_none_or(|c| c.is_control() || is_invisible(c)) => {
            length
        }
        _ => {
            text.push('&');
            1
        }
    }
}
