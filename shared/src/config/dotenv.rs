//! `.env` files: `KEY=VALUE` lines, as shells and container tools write them.

/// A line that is no assignment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) problem: &'static str,
}

/// The assignments of `text` in their order. A value is taken as it stands: nothing in it is expanded.
///
/// `export` may precede a name. Values may be in single quotes (literal) or double quotes (`\n`, `\"`, `\\` and `\$`
/// are understood), both over several lines; behind an unquoted value ` #` begins a comment.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, Malformed> {
    let mut assignments = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let (current, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = current.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = after;
            line += 1;
            continue;
        }
        let (name, value) = assignment(rest).map_err(|problem| Malformed { line, problem })?;
        let (value, remaining) = value_of(value).map_err(|problem| Malformed { line, problem })?;
        line += rest[..rest.len() - remaining.len()].matches('\n').count();
        rest = remaining;
        assignments.push((name.to_owned(), value));
    }
    Ok(assignments)
}

/// Splits at the `=`: the name, and everything behind it.
fn assignment(text: &str) -> Result<(&str, &str), &'static str> {
    let first_line = text.lines().next().unwrap_or("");
    let equals = first_line.find('=').ok_or("expected NAME=VALUE")?;
    let name = text[..equals].trim();
    let name = name.strip_prefix("export ").map_or(name, str::trim_start);
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    if name.is_empty() || !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("the part before '=' is not the name of a variable");
    }
    Ok((name, &text[equals + 1..]))
}

/// The value at the start of `text`, and what follows its line.
fn value_of(text: &str) -> Result<(String, &str), &'static str> {
    let start = text.trim_start_matches([' ', '\t']);
    let (value, behind) = match start.chars().next() {
        Some('\'') => {
            let (value, behind) = start[1..].split_once('\'').ok_or("the single quote is never closed")?;
            (value.to_owned(), behind)
        }
        Some('"') => double_quoted(&start[1..])?,
        _ => {
            let (value, after) = start.split_once('\n').unwrap_or((start, ""));
            let comment = if value.starts_with('#') { Some(0) } else { value.find(" #") };
            return Ok((value[..comment.unwrap_or(value.len())].trim().to_owned(), after));
        }
    };
    let (tail, after) = behind.split_once('\n').unwrap_or((behind, ""));
    if tail.trim().is_empty() || tail.trim_start().starts_with('#') {
        Ok((value, after))
    } else {
        Err("text follows the closing quote")
    }
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('"' | '\\' | '$'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            plain => value.push(plain),
        }
    }
    Err("the double quote is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn quotes_comments_and_export_are_understood() {
        let text = "# a comment\r\n\nA=1 # one\nexport B='x # y'\nC=\"two\\nlines \\\"q\\\"\" # c\nD=\nE = spaced \r\nF=a#b\nG=#c";
        let expected = [
            pair("A", "1"),
            pair("B", "x # y"),
            pair("C", "two\nlines \"q\""),
            pair("D", ""),
            pair("E", "spaced"),
            pair("F", "a#b"),
            pair("G", ""),
        ];
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn a_quoted_value_may_span_lines_and_keeps_the_count_of_lines() {
        assert_eq!(pairs("K=\"a\nb\"\nL=1"), [pair("K", "a\nb"), pair("L", "1")]);
        assert_eq!(parse("K='a\nb'\nnonsense").unwrap_err().line, 3);
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (text, line) in
            [("A=1\njust words", 2), ("A='open", 1), ("\n1A=x", 2), ("A=\"x\" y", 1), ("=x", 1)]
        {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
