//! Finds many terms in a text in one pass.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

/// Words in the longest phrase that is looked for; longer terms are refused when they are loaded.
pub const PHRASE_WORDS_MAX: usize = 4;

/// `text` in the form in which it is compared: NFKC, so that full-width and half-width letters are one,
/// and in lower case.
pub fn fold(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).collect()
}

/// What a term is found as.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// One to four words, each without its plural `s`.
    Words(String),
    /// `deploy*`: every word that begins so.
    Prefix(String),
    /// Anywhere in the text: Japanese, Chinese and Korean do not part words by blanks.
    Anywhere(String),
}

/// The term is not one that can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTerm {
    #[error("it has no letter or digit")]
    Empty,
    #[error("it has more than {PHRASE_WORDS_MAX} words")]
    TooLong,
    #[error("'*' stands only at the end of a single word of at least three letters")]
    Wildcard,
}

impl Form {
    pub fn of(term: &str) -> Result<Self, InvalidTerm> {
        let folded = fold(term.trim());
        if folded.chars().any(is_unspaced) {
            return Ok(Self::Anywhere(folded));
        }
        if let Some(stem) = folded.strip_suffix('*') {
            let single = stem.chars().all(char::is_alphanumeric) && stem.chars().count() >= 3;
            return if single { Ok(Self::Prefix(stem.to_owned())) } else { Err(InvalidTerm::Wildcard) };
        }
        let words = words(&folded);
        match words.len() {
            0 => Err(InvalidTerm::Empty),
            1..=PHRASE_WORDS_MAX => Ok(Self::Words(words.join(" "))),
            _ => Err(InvalidTerm::TooLong),
        }
    }
}

/// Scripts that are written without blanks between words, and Korean, whose particles stick to its nouns.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11FF}' | '\u{3005}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}'
        | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// `text` with its compound names taken apart, `UserServiceTest` into `User Service Test`, so that their words are
/// found. Names in capitals and known spellings such as `GitHub` and `JavaScript` would only lose by it: a
/// compound is what has three parts, or two of which the second is the name of something that is tested or shown.
pub fn apart(text: &str) -> String {
    let mut parted = String::with_capacity(text.len() + 16);
    for piece in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        parted.push_str(piece);
        if piece == "test_" {
            parted.push_str(TEST_NAME);
        }
        let starts: Vec<usize> = piece
            .char_indices()
            .zip(piece.chars().skip(1))
            .filter(|((_, before), after)| before.is_ascii_lowercase() && after.is_ascii_uppercase())
            .map(|((at, before), _)| at + before.len_utf8())
            .collect();
        let last =
            starts.last().map(|at| piece[*at..].trim_end_matches(|c: char| !c.is_ascii_alphanumeric()));
        let told = last.is_some_and(|last| PARTS.contains(&last));
        if starts.len() >= 2 || told {
            let mut from = 0;
            parted.push(' ');
            for at in starts.into_iter().chain([piece.len()]) {
                parted.push_str(&piece[from..at]);
                parted.push(' ');
                from = at;
            }
        }
    }
    parted
}

/// What a name such as `test_login` says besides its words.
const TEST_NAME: &str = " testname ";

/// Last parts of compound names that say what a thing is.
const PARTS: [&str; 12] = [
    "Test",
    "Tests",
    "Spec",
    "Controller",
    "Repository",
    "Button",
    "Dialog",
    "Modal",
    "View",
    "Page",
    "Component",
    "Exception",
];

/// The words of folded text, each without its plural `s`. `c++` and `c#` are words.
pub fn words(folded: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = folded;
    while let Some(start) = rest.find(|c: char| c.is_alphanumeric() && !is_unspaced(c)) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_alphanumeric() || is_unspaced(c)).unwrap_or(rest.len());
        let signs = rest[end..].len() - rest[end..].trim_start_matches(['+', '#']).len();
        let joined = rest[end + signs..].starts_with(char::is_alphanumeric);
        let end = if joined { end } else { end + signs };
        words.push(singular(&rest[..end]));
        rest = &rest[end..];
    }
    words
}

fn singular(word: &str) -> &str {
    // "redis" loses its s in the term and in the text alike, so nothing is missed by it.
    if word.len() < 4 || word.ends_with("ss") { word } else { word.strip_suffix('s').unwrap_or(word) }
}

/// Terms by the form in which they are found, each with what it means.
#[derive(Debug)]
pub struct Lexicon<M> {
    words: HashMap<String, M>,
    prefixes: HashMap<String, M>,
    /// By the first character.
    anywhere: HashMap<char, Vec<(String, M)>>,
}

/// A term that stands in a text.
#[derive(Debug)]
pub struct Found<'l, M> {
    pub meaning: &'l M,
    pub times: u32,
}

impl<M> FromIterator<(Form, M)> for Lexicon<M> {
    fn from_iter<I: IntoIterator<Item = (Form, M)>>(terms: I) -> Self {
        let mut lexicon = Self { words: HashMap::new(), prefixes: HashMap::new(), anywhere: HashMap::new() };
        for (form, meaning) in terms {
            match form {
                Form::Words(text) => {
                    lexicon.words.insert(text, meaning);
                }
                Form::Prefix(text) => {
                    lexicon.prefixes.insert(text, meaning);
                }
                Form::Anywhere(text) => {
                    if let Some(first) = text.chars().next() {
                        lexicon.anywhere.entry(first).or_default().push((text, meaning));
                    }
                }
            }
        }
        lexicon
    }
}

impl<M> Lexicon<M> {
    /// The terms of the folded text. Of terms that overlap the longest counts alone: "docker compose" is
    /// not evidence for "docker" and "compose" as well.
    pub fn find(&self, folded: &str) -> Vec<Found<'_, M>> {
        let mut hits = Hits { order: Vec::new(), place: HashMap::new() };
        self.find_words(&words(folded), &mut hits);
        self.find_anywhere(folded, &mut hits);
        hits.order
    }

    fn find_words<'l>(&'l self, words: &[&str], hits: &mut Hits<'l, M>) {
        let mut phrase = String::new();
        let mut start = 0;
        while let Some(first) = words.get(start) {
            phrase.clear();
            let mut longest = None;
            for (length, word) in words[start..].iter().take(PHRASE_WORDS_MAX).enumerate() {
                if length > 0 {
                    phrase.push(' ');
                }
                phrase.push_str(word);
                longest = self.words.get_key_value(phrase.as_str()).map(|hit| (hit, length + 1)).or(longest);
            }
            let (hit, length) =
                longest.map_or((self.prefix_of(first), 1), |(hit, length)| (Some(hit), length));
            hits.add(hit);
            start += length;
        }
    }

    fn prefix_of(&self, word: &str) -> Option<(&String, &M)> {
        let ends = word.char_indices().map(|(at, c)| at + c.len_utf8());
        ends.rev().find_map(|end| self.prefixes.get_key_value(&word[..end]))
    }

    fn find_anywhere<'l>(&'l self, folded: &str, hits: &mut Hits<'l, M>) {
        let mut rest = folded;
        while let Some(first) = rest.chars().next() {
            let starting = self.anywhere.get(&first).into_iter().flatten();
            let longest = starting
                .filter(|(term, _)| rest.starts_with(term.as_str()))
                .max_by_key(|(term, _)| term.len());
            hits.add(longest.map(|(term, meaning)| (term, meaning)));
            rest = &rest[longest.map_or(first.len_utf8(), |(term, _)| term.len())..];
        }
    }
}

struct Hits<'l, M> {
    order: Vec<Found<'l, M>>,
    place: HashMap<&'l str, usize>,
}

impl<'l, M> Hits<'l, M> {
    fn add(&mut self, hit: Option<(&'l String, &'l M)>) {
        let Some((term, meaning)) = hit else { return };
        if let Some(at) = self.place.get(term.as_str()) {
            self.order[*at].times += 1;
        } else {
            self.place.insert(term, self.order.len());
            self.order.push(Found { meaning, times: 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(terms: &[&str], text: &str) -> Vec<String> {
        let lexicon: Lexicon<&str> = terms.iter().map(|term| (Form::of(term).unwrap(), *term)).collect();
        lexicon.find(&fold(text)).into_iter().map(|hit| format!("{} x{}", hit.meaning, hit.times)).collect()
    }

    #[test]
    fn terms_are_words_and_not_parts_of_words() {
        assert_eq!(found(&["ui", "cd", "api"], "The guide: abcd, rapid build"), Vec::<String>::new());
        assert_eq!(found(&["ui", "api"], "UI/API, api-server, APIs"), ["ui x1", "api x3"]);
        assert_eq!(found(&["c++", "c#", "c"], "C++ and c# (issue c#12)"), ["c++ x1", "c# x1", "c x1"]);
    }

    #[test]
    fn compound_names_are_taken_apart_and_known_spellings_are_not() {
        assert_eq!(
            apart("UserServiceTest fails").trim_end(),
            "UserServiceTest  User Service Test  fails".trim_end()
        );
        assert_eq!(apart("GitHub and JavaScript on macOS"), "GitHub and JavaScript on macOS");
        assert_eq!(
            found(&["test", "button"], &apart("SubmitButton in LoginTest.java")),
            ["button x1", "test x1"]
        );
        assert_eq!(
            found(&["testname", "login"], &apart("test_login, latest_login")),
            ["testname x1", "login x2"]
        );
        assert_eq!(apart("日本語API"), "日本語API");
    }

    #[test]
    fn phrases_ignore_what_parts_their_words() {
        let phrases = ["docker compose", "end to end test"];
        let text = "docker-compose docker_compose\nend-to-end tests";
        assert_eq!(found(&phrases, text), ["docker compose x2", "end to end test x1"]);
    }

    #[test]
    fn of_overlapping_terms_the_longest_counts() {
        let terms = ["unit test", "test", "単体テスト", "テスト", "deploy*", "deploy preview"];
        let text = "unit tests, test; 単体テストとテスト; deploy previews deployed";
        assert_eq!(
            found(&terms, text),
            ["unit test x1", "test x1", "deploy preview x1", "deploy* x1", "単体テスト x1", "テスト x1"]
        );
    }

    #[test]
    fn a_prefix_finds_every_word_that_begins_so() {
        assert_eq!(found(&["deploy*"], "Deploy, deployment, redeploy, deplo"), ["deploy* x2"]);
    }

    #[test]
    fn japanese_stands_anywhere_and_parts_latin_words() {
        assert_eq!(
            found(&["画面", "api", "テスト"], "ログイン画面のAPIを単体テストする"),
            ["api x1", "画面 x1", "テスト x1"]
        );
        assert_eq!(found(&["テスト", "ui"], "ﾃｽﾄ、ＵＩ"), ["ui x1", "テスト x1"]);
    }

    #[test]
    fn terms_that_could_never_be_found_are_refused() {
        assert_eq!(Form::of(" -- "), Err(InvalidTerm::Empty));
        assert_eq!(Form::of("a b c d e"), Err(InvalidTerm::TooLong));
        assert_eq!(Form::of("ab*"), Err(InvalidTerm::Wildcard));
        assert_eq!(Form::of("rest api*"), Err(InvalidTerm::Wildcard));
    }
}
