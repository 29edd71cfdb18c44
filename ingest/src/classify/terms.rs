//! The classifier's data as it stands in TOML: the built-in file and a user's own on top of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use serde::Deserialize;
use shared::Specialty;

use super::lexicon::{Form, InvalidTerm, fold};

const BUILT_IN: &str = include_str!("specialties.toml");

/// Largest file of one's own terms, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Largest weight of a term, up or down.
const WEIGHT_MAX: f32 = 100.0;

/// Why the terms cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClassifyError {
    #[error("cannot read classify.terms_file {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("{file} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge { file: String },
    #[error("{file}: {source}")]
    Parse { file: String, source: Box<toml::de::Error> },
    #[error("{file}: {key}: {reason}")]
    Invalid { file: String, key: String, reason: String },
}

/// One file as it is written; everything may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TermsFile {
    decision: DecisionEntry,
    specialty: BTreeMap<String, SpecialtyEntry>,
    technology: BTreeMap<String, Vec<String>>,
    priority: BTreeMap<Level, LevelEntry>,
    complexity: BTreeMap<Level, LevelEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DecisionEntry {
    title_factor: Option<f32>,
    score_min: Option<f32>,
    margin: Option<f32>,
    body_points_max: Option<f32>,
    governed_factor: Option<f32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SpecialtyEntry {
    aliases: Vec<String>,
    terms: Vec<WeightedTerms>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightedTerms {
    weight: f32,
    #[serde(default)]
    governs: bool,
    words: Vec<String>,
}

/// Two ends of a scale whose middle needs no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    High,
    Low,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LevelEntry {
    labels: Vec<String>,
    words: Vec<String>,
}

/// When evidence is enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decision {
    /// How much more a term counts in the title than in the body.
    pub title_factor: f32,
    /// Under this score the answer is `general`.
    pub score_min: f32,
    /// Under this lead over the next best, in points, the answer is `general`.
    pub margin: f32,
    /// The body's points are scaled down to this sum, so that a long log does not drown the title.
    pub body_points_max: f32,
    /// How much the points of the other specialties count where a governing term stands in the title.
    pub governed_factor: f32,
}

/// All that the classifier goes by.
#[derive(Debug, Default)]
pub struct Terms {
    pub decision: Decision,
    pub specialties: Vec<Specialty>,
    /// Folded alias to the index of its specialty.
    pub aliases: BTreeMap<String, usize>,
    pub weighted: BTreeMap<Form, WeightedTerm>,
    pub technologies: Vec<String>,
    /// Which technologies a word stands for, by their index.
    pub technology_words: BTreeMap<Form, BTreeSet<usize>>,
    pub priority: Levels,
    pub complexity: Levels,
}

/// What a term says for and against specialties, by their index.
#[derive(Debug, Default)]
pub struct WeightedTerm {
    /// As it was written, for people.
    pub spelling: String,
    pub weights: BTreeMap<usize, f32>,
    /// The specialty for which it governs a title.
    pub governs: Option<usize>,
}

/// Labels and words that stand for the ends of a scale.
#[derive(Debug, Default)]
pub struct Levels {
    pub labels: BTreeMap<String, Level>,
    pub words: BTreeMap<Form, Level>,
}

impl Terms {
    /// The built-in terms, with those of `file` on top: a term given again gets the new weight, and 0
    /// takes it away.
    pub fn load(file: Option<&Path>) -> Result<Self, ClassifyError> {
        let mut terms = Self::default();
        terms.add("the built-in terms", BUILT_IN)?;
        if let Some(path) = file {
            let name = path.display().to_string();
            terms.add(&name, &read(path, &name)?)?;
        }
        Ok(terms)
    }

    fn add(&mut self, file: &str, text: &str) -> Result<(), ClassifyError> {
        let parsed: TermsFile = toml::from_str(text)
            .map_err(|source| ClassifyError::Parse { file: file.to_owned(), source: Box::new(source) })?;
        let at = Place { file };
        self.add_decision(&parsed.decision, at)?;
        for (name, entry) in parsed.specialty {
            self.add_specialty(&name, entry, at)?;
        }
        for (name, words) in parsed.technology {
            let key = format!("technology.{name}");
            let index = position_or_push(&mut self.technologies, name);
            for word in words {
                self.technology_words.entry(at.form(&key, &word)?).or_default().insert(index);
            }
        }
        self.priority.add("priority", parsed.priority, at)?;
        self.complexity.add("complexity", parsed.complexity, at)
    }

    fn add_decision(&mut self, entry: &DecisionEntry, at: Place<'_>) -> Result<(), ClassifyError> {
        let decision = &mut self.decision;
        for (key, given, kept) in [
            ("decision.title_factor", entry.title_factor, &mut decision.title_factor),
            ("decision.score_min", entry.score_min, &mut decision.score_min),
            ("decision.margin", entry.margin, &mut decision.margin),
            ("decision.body_points_max", entry.body_points_max, &mut decision.body_points_max),
            ("decision.governed_factor", entry.governed_factor, &mut decision.governed_factor),
        ] {
            let Some(value) = given else { continue };
            if !(0.0..=WEIGHT_MAX).contains(&value) {
                return Err(at.invalid(key, &format!("{value} is not between 0 and {WEIGHT_MAX}")));
            }
            *kept = value;
        }
        Ok(())
    }

    fn add_specialty(
        &mut self,
        name: &str,
        entry: SpecialtyEntry,
        at: Place<'_>,
    ) -> Result<(), ClassifyError> {
        let key = format!("specialty.{name}");
        let specialty: Specialty = name.parse().map_err(|e| at.invalid(&key, &format!("{e}")))?;
        let index = position_or_push(&mut self.specialties, specialty);
        for alias in entry.aliases {
            let alias = fold(alias.trim());
            if alias.is_empty() || alias == "all" {
                return Err(at.invalid(&format!("{key}.aliases"), &format!("'{alias}' cannot be an alias")));
            }
            self.aliases.insert(alias, index);
        }
        for WeightedTerms { weight, governs, words } in entry.terms {
            let key = format!("{key}.terms");
            if !(-WEIGHT_MAX..=WEIGHT_MAX).contains(&weight) {
                return Err(at.invalid(&key, &format!("weight {weight} is beyond {WEIGHT_MAX}")));
            }
            for word in words {
                let form = at.form(&key, &word)?;
                let term = self.weighted.entry(form).or_default();
                term.weights.insert(index, weight);
                // Given again, it governs only if it says so again.
                let elsewhere = term.governs.filter(|governed| *governed != index);
                term.governs = if governs { Some(index) } else { elsewhere };
                term.spelling = word;
            }
        }
        Ok(())
    }
}

impl Levels {
    fn add(
        &mut self,
        key: &str,
        entries: BTreeMap<Level, LevelEntry>,
        at: Place<'_>,
    ) -> Result<(), ClassifyError> {
        for (level, entry) in entries {
            self.labels.extend(entry.labels.iter().map(|label| (fold(label.trim()), level)));
            for word in entry.words {
                self.words.insert(at.form(key, &word)?, level);
            }
        }
        Ok(())
    }
}

/// Where a mistake is to be looked for.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
}

impl Place<'_> {
    fn invalid(self, key: &str, reason: &str) -> ClassifyError {
        ClassifyError::Invalid { file: self.file.to_owned(), key: key.to_owned(), reason: reason.to_owned() }
    }

    fn form(self, key: &str, term: &str) -> Result<Form, ClassifyError> {
        Form::of(term).map_err(|error: InvalidTerm| self.invalid(key, &format!("term '{term}': {error}")))
    }
}

fn position_or_push<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

fn read(path: &Path, name: &str) -> Result<String, ClassifyError> {
    let failed = |source| ClassifyError::Read { file: name.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(ClassifyError::TooLarge { file: name.to_owned() });
    }
    fs::read_to_string(path).map_err(failed)
}
