//! An issue that comes from a file instead of a forge.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use serde::Deserialize;
use shared::task::{BODY_BYTES_MAX, TITLE_BYTES_MAX};

use crate::error::CommandError;

/// Largest file, in bytes: the longest body, written as escaped JSON.
const FILE_BYTES_MAX: u64 = 6 * BODY_BYTES_MAX as u64 + 65_536;

/// Title and text of an issue, and what else the file told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issue {
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
    pub number: Option<u64>,
    /// Who wrote it, where that is known.
    pub author: Option<String>,
    /// When it was read on the forge, in ms since the epoch: what is said there later is not looked at.
    pub as_of_ms: Option<u64>,
}

/// As `gh issue view --json title,body,labels,number` and GitHub's API write it.
#[derive(Deserialize)]
pub struct Json {
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    labels: Vec<Label>,
    #[serde(default)]
    number: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Label {
    Name(String),
    Object { name: String },
}

/// Reads the issue at `path`, `-` for standard input: JSON when it is an object, else Markdown. `title` replaces
/// the file's.
pub fn read(path: &Path, title: Option<&str>) -> Result<Issue, CommandError> {
    let refuse = |problem: String| CommandError::Usage(format!("{}: {problem}", path.display()));
    let text = read_text(path).map_err(|error| refuse(error.to_string()))?;
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let mut issue = match serde_json::from_str::<Json>(&text) {
        Ok(json) => json.into(),
        Err(error) if is_json => return Err(refuse(format!("not the JSON of an issue: {error}"))),
        Err(_) => from_markdown(&text, title.is_some()),
    };
    if let Some(title) = title {
        title.clone_into(&mut issue.title);
    }
    issue.title = issue.title.trim().to_owned();
    if issue.title.is_empty() {
        return Err(refuse("no title: begin the file with '# Title', or give --title".to_owned()));
    }
    if issue.title.len() > TITLE_BYTES_MAX {
        return Err(refuse(format!("the title is longer than {TITLE_BYTES_MAX} bytes")));
    }
    if issue.body.len() > BODY_BYTES_MAX {
        return Err(refuse(format!("the text is longer than {BODY_BYTES_MAX} bytes")));
    }
    Ok(issue)
}

fn read_text(path: &Path) -> io::Result<String> {
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(fs::File::open(path)?) };
    let mut text = String::new();
    let read = source.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

impl From<Json> for Issue {
    fn from(json: Json) -> Self {
        let name = |label| match label {
            Label::Name(name) | Label::Object { name } => name,
        };
        let labels = json.labels.into_iter().map(name).collect();
        let body = json.body.unwrap_or_default();
        Self { title: json.title, body, labels, number: json.number, ..Self::default() }
    }
}

/// The first line that says something is the title, unless one is given and the text begins otherwise than with a
/// heading of the first level.
fn from_markdown(text: &str, titled: bool) -> Issue {
    let text = text.trim_start_matches(['\u{feff}', '\n', '\r', ' ', '\t']);
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let heading = first.strip_prefix("# ").map(str::trim);
    let (title, body) = match heading {
        Some(title) => (title, rest),
        None if titled => ("", text),
        None => (first.trim_start_matches('#').trim(), rest),
    };
    Issue { title: title.to_owned(), body: body.trim().to_owned(), ..Issue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(name: &str, text: &str, title: Option<&str>) -> Result<Issue, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        read(&path, title).map_err(|error| error.to_string())
    }

    #[test]
    fn a_heading_or_else_the_first_line_is_the_title() {
        let read = issue("a.md", "\n# Fix it \r\n\nBecause.\nIt fails.\n", None).unwrap();
        assert_eq!((read.title.as_str(), read.body.as_str()), ("Fix it", "Because.\nIt fails."));
        let read = issue("a.txt", "Fix it\nBecause.", None).unwrap();
        assert_eq!((read.title.as_str(), read.body.as_str()), ("Fix it", "Because."));
    }

    #[test]
    fn a_title_that_is_given_replaces_the_heading_and_takes_no_line_of_the_text() {
        let read = issue("a.md", "# Old\nText", Some("New")).unwrap();
        assert_eq!((read.title.as_str(), read.body.as_str()), ("New", "Text"));
        let read = issue("a.md", "Text\nMore", Some("New")).unwrap();
        assert_eq!((read.title.as_str(), read.body.as_str()), ("New", "Text\nMore"));
    }

    #[test]
    fn json_takes_labels_as_names_or_as_objects() {
        let text =
            r#"{"title":"T","body":null,"labels":["a",{"name":"b","color":"x"}],"number":7,"url":"x"}"#;
        let read = issue("a.json", text, None).unwrap();
        assert_eq!(read.labels, ["a", "b"]);
        assert_eq!((read.number, read.body.as_str()), (Some(7), ""));
    }

    #[test]
    fn what_is_no_issue_is_refused_with_its_reason() {
        assert!(issue("a.md", " \n", None).unwrap_err().contains("no title"));
        assert!(issue("a.json", "{", None).unwrap_err().contains("JSON"));
        assert!(
            issue("a.md", &format!("T\n{}", "x".repeat(BODY_BYTES_MAX + 1)), None)
                .unwrap_err()
                .contains("longer")
        );
        assert!(read(Path::new("/nonexistent/x"), None).unwrap_err().to_string().contains("/nonexistent/x"));
    }
}
