//! Markdown, read as the forge reads it, written again without what it does not show.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use pulldown_cmark::{CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::{
    characters::is_seen,
    html::{self, Shown},
};

/// Longest name of a code block's language, in bytes.
const LANGUAGE_BYTES_MAX: usize = 24;

/// What is shown of `text`.
pub fn shown(text: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM;
    let parser = Parser::new_ext(text, options);
    let mut reader = Reader::new(text);
    for (_, definition) in parser.reference_definitions().iter() {
        reader.edits.push((definition.span.clone(), String::new()));
    }
    for (event, range) in parser.into_offset_iter() {
        reader.read(event, range);
        if reader.open_from.is_some() {
            break;
        }
    }
    reader.finish()
}

/// Goes through a document and notes what to change in it.
struct Reader<'t> {
    text: &'t str,
    edits: Vec<(Range<usize>, String)>,
    depth: usize,
    /// End of the last block that stands in no other.
    block_end: usize,
    /// Depth of what is skipped: its parts are dealt with as a whole.
    skipped_below: Option<usize>,
    link: Option<Link>,
    row_cell_end: Option<usize>,
    footnotes: Footnotes<'t>,
    /// From here on everything is hidden.
    open_from: Option<usize>,
}

/// A link whose text is being read.
struct Link {
    /// What it becomes behind its text; `None`: it stays as it is.
    tail: Option<String>,
    text_end: usize,
    end: usize,
    seen: bool,
}

#[derive(Default)]
struct Footnotes<'t> {
    definitions: Vec<(CowStr<'t>, Range<usize>)>,
    /// In which definition a reference stands, if any, and what it names.
    references: Vec<(Option<CowStr<'t>>, CowStr<'t>)>,
    within: Option<CowStr<'t>>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            edits: Vec::new(),
            depth: 0,
            block_end: 0,
            skipped_below: None,
            link: None,
            row_cell_end: None,
            footnotes: Footnotes::default(),
            open_from: None,
        }
    }

    fn read(&mut self, event: Event<'t>, range: Range<usize>) {
        match event {
            Event::Start(tag) => {
                if self.depth == 0 {
                    self.between_blocks(range.start);
                    self.block_end = range.end;
                }
                self.depth += 1;
                if self.skipped_below.is_none() {
                    self.start(tag, range);
                }
            }
            Event::End(tag) => {
                self.depth -= 1;
                match self.skipped_below {
                    Some(depth) if depth <= self.depth => {}
                    Some(_) => self.skipped_below = None,
                    None => self.end(tag, range),
                }
            }
            leaf => {
                if self.depth == 0 {
                    self.between_blocks(range.start);
                    self.block_end = range.end;
                }
                if self.skipped_below.is_none() {
                    self.leaf(leaf, range);
                }
            }
        }
    }

    fn start(&mut self, tag: Tag<'t>, range: Range<usize>) {
        match tag {
            Tag::Image { link_type, dest_url, .. } => {
                let source = &self.text[range.clone()];
                // Nothing hides in one that is written so already.
                if link_type != LinkType::Inline || !source.starts_with("![](") || has_title(source) {
                    self.edit(range.clone(), format!("![]({})", address(&dest_url)));
                }
                self.inline(range, true);
                self.skip();
            }
            Tag::Link { link_type: LinkType::Autolink | LinkType::Email, .. } => self.inline(range, true),
            Tag::Link { link_type, dest_url, title, .. } => {
                let stays = link_type == LinkType::Inline && title.is_empty();
                let tail = (!stays).then(|| format!("]({})", address(&dest_url)));
                // The parser leaves out the second pair of "[text][]".
                let beyond = if link_type == LinkType::Collapsed { "[]".len() } else { 0 };
                let end = (range.end + beyond).min(self.text.len());
                self.link = Some(Link { tail, text_end: range.start, end, seen: false });
            }
            Tag::CodeBlock(CodeBlockKind::Fenced(_)) => self.language(range),
            Tag::HtmlBlock => {
                self.html(range);
                self.skip();
            }
            Tag::FootnoteDefinition(name) => {
                self.footnotes.definitions.push((name.clone(), range));
                self.footnotes.within = Some(name);
            }
            Tag::TableHead | Tag::TableRow => self.row_cell_end = Some(range.start),
            Tag::TableCell => self.row_cell_end = Some(range.end),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd, range: Range<usize>) {
        match tag {
            TagEnd::Link => {
                let Some(link) = self.link.take() else { return };
                match link.tail {
                    _ if !link.seen => self.edit(range.start..link.end, String::new()),
                    Some(tail) => self.edit(link.text_end..link.end, tail),
                    None => {}
                }
            }
            TagEnd::FootnoteDefinition => self.footnotes.within = None,
            TagEnd::TableHead | TagEnd::TableRow => {
                let from = self.row_cell_end.take().unwrap_or(range.end).min(range.end);
                let line_end = self.text[from..].find('\n').map_or(self.text.len(), |at| from + at);
                let beyond = self.text[from..line_end].trim_start_matches([' ', '\t']);
                if is_seen(beyond.strip_prefix('|').unwrap_or(beyond)) {
                    self.edit(from..line_end, "|".to_owned());
                }
            }
            // Emphasis and the like end with a mark of their own.
            _ => self.inline(range, false),
        }
    }

    fn leaf(&mut self, leaf: Event<'t>, range: Range<usize>) {
        match leaf {
            Event::InlineHtml(_) => {
                let picture =
                    self.text[range.clone()].get(..4).is_some_and(|tag| tag.eq_ignore_ascii_case("<img"));
                self.inline(range.clone(), picture);
                self.html(range);
            }
            Event::Html(_) => self.html(range),
            Event::Text(text) => {
                let spelled = self.text[range.clone()].starts_with('&') && !text.starts_with('&');
                let seen = is_seen(&text);
                self.inline(range.clone(), seen);
                if spelled && !seen && !text.chars().all(char::is_whitespace) {
                    self.edit(range, String::new());
                }
            }
            Event::FootnoteReference(name) => {
                self.inline(range, true);
                self.footnotes.references.push((self.footnotes.within.clone(), name));
            }
            Event::Code(_) | Event::TaskListMarker(_) => self.inline(range, true),
            _ => self.inline(range, false),
        }
    }

    /// Something in a paragraph; a link's text reaches up to its end.
    fn inline(&mut self, range: Range<usize>, seen: bool) {
        if let Some(link) = &mut self.link {
            link.text_end = link.text_end.max(range.end);
            link.seen |= seen;
        }
    }

    /// Between two blocks stands nothing but definitions, which are not shown, a repeated one included.
    fn between_blocks(&mut self, start: usize) {
        if self.block_end < start && is_seen(&self.text[self.block_end..start]) {
            self.edit(self.block_end..start, "\n".to_owned());
        }
    }

    fn language(&mut self, block: Range<usize>) {
        let line_end = self.text[block.clone()].find('\n').map_or(block.end, |at| block.start + at);
        let line = &self.text[block.start..line_end];
        let Some(mark) = line.chars().next() else { return };
        let given = line.trim_start_matches(mark);
        let word = given.split_whitespace().next().unwrap_or_default();
        let plain = |c: char| c.is_alphanumeric() || "_+#.-,:={}".contains(c);
        let word = if word.len() <= LANGUAGE_BYTES_MAX && word.chars().all(plain) { word } else { "" };
        if given.trim() != word {
            self.edit(line_end - given.len()..line_end, word.to_owned());
        }
    }

    fn html(&mut self, range: Range<usize>) {
        let before = self.text[..range.start].chars().next_back();
        let Shown { text, open } = html::shown(&self.text[range.clone()], before);
        if open {
            self.open_from = Some(range.start);
        }
        if text != self.text[range.clone()] {
            self.edit(range, text);
        }
    }

    fn edit(&mut self, range: Range<usize>, text: String) {
        self.edits.push((range, text));
    }

    fn skip(&mut self) {
        self.skipped_below = Some(self.depth);
    }

    fn finish(mut self) -> String {
        if self.open_from.is_none() {
            self.between_blocks(self.text.len());
        }
        self.edits.extend(self.footnotes.hidden().map(|range| (range, String::new())));
        let end = self.open_from.unwrap_or(self.text.len());
        self.edits.retain(|(range, _)| range.start <= end);
        // Of two that overlap the one that holds the other counts.
        self.edits.sort_by_key(|(range, _)| (range.start, usize::MAX - range.end));
        let mut written = String::with_capacity(self.text.len());
        let mut at = 0;
        for (range, text) in &self.edits {
            if range.start < at || range.is_empty() {
                continue;
            }
            written.push_str(&self.text[at..range.start]);
            written.push_str(text);
            at = range.end;
        }
        if self.open_from.is_none() {
            written.push_str(&self.text[at..]);
        }
        written
    }
}

impl Footnotes<'_> {
    /// Where the definitions stand that no shown text refers to, and those that repeat another.
    fn hidden(&self) -> impl Iterator<Item = Range<usize>> {
        let mut named: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut reached: Vec<&str> = Vec::new();
        for (within, name) in &self.references {
            match within {
                None => reached.push(name),
                Some(definition) => named.entry(definition).or_default().push(name),
            }
        }
        let mut shown: HashSet<&str> = HashSet::new();
        while let Some(name) = reached.pop() {
            if shown.insert(name) {
                reached.extend(named.get(name).into_iter().flatten());
            }
        }
        let is_hidden =
            |(name, range): &(CowStr<'_>, Range<usize>)| (!shown.remove(&**name)).then(|| range.clone());
        self.definitions.iter().filter_map(is_hidden).collect::<Vec<_>>().into_iter()
    }
}

/// Whether an image that is written `![](...)` has more than an address.
fn has_title(source: &str) -> bool {
    source.contains(['"', '\'', ' ', '\n', '\t'])
}

/// `url` as it can stand in brackets.
fn address(url: &str) -> String {
    let mut written = String::with_capacity(url.len());
    for c in url.chars() {
        match c {
            '(' => written.push_str("%28"),
            ')' => written.push_str("%29"),
            '<' => written.push_str("%3C"),
            '>' => written.push_str("%3E"),
            '[' => written.push_str("%5B"),
            ']' => written.push_str("%5D"),
            '\\' => written.push_str("%5C"),
            '"' => written.push_str("%22"),
            '\'' => written.push_str("%27"),
            '`' => written.push_str("%60"),
            c if c.is_whitespace() || c.is_control() => written.push_str("%20"),
            c => written.push(c),
        }
    }
    written
}
