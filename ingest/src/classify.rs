//! Which specialty a task belongs to, how urgent and how large it looks, and why.
//!
//! Labels decide where they name a specialty. Else weighted terms in title and body do, and where they say
//! too little or contradict each other, the answer is `general`. The terms stand in
//! `classify/specialties.toml`; `docs/webhooks.md` shows how to add one's own.

mod evidence;
mod label;
mod lexicon;
mod terms;

use std::collections::BTreeMap;

use shared::{
    Priority, Specialty,
    config::ClassifyConfig,
    task::{Classification, cut},
};

use self::{
    evidence::Evidence,
    label::Label,
    lexicon::{Form, Lexicon, apart, fold},
    terms::{Level, Terms},
};

pub use self::terms::ClassifyError;

/// Bytes of a title that are looked at.
const TITLE_BYTES_MAX: usize = 1_024;

/// Bytes of a body that are looked at: what an issue is about stands at its top, and its end is often a log.
const BODY_BYTES_MAX: usize = 8_192;

/// Labels that are looked at, and bytes of each.
const LABELS_MAX: usize = 100;
const LABEL_BYTES_MAX: usize = 200;

/// How much work a task looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complexity {
    Low,
    Medium,
    High,
}

impl Complexity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What the classifier found.
#[derive(Clone, Debug)]
pub struct Classified {
    pub specialty: Specialty,
    pub secondary: Option<Specialty>,
    /// How far the specialty led, in points, 0 where none was clear; `None` where a label decided.
    pub margin: Option<f32>,
    pub priority: Priority,
    pub complexity: Complexity,
    /// At most eight, in the order of the text.
    pub technologies: Vec<String>,
    /// Every specialty's score from the text, best first.
    pub scores: Vec<(Specialty, f32)>,
    /// At most twelve, weightiest first.
    pub reasons: Vec<String>,
}

impl Classified {
    /// What of it stays with the task.
    pub fn classification(&self) -> Classification {
        Classification {
            secondary: self.secondary.clone(),
            complexity: Some(self.complexity.as_str().to_owned()),
            technologies: self.technologies.clone(),
            reasons: self.reasons.clone(),
            margin: self.margin,
        }
    }
}

/// What a term means for each question that is asked.
#[derive(Debug, Default)]
struct Meaning {
    /// As it was written; empty where it stands for no specialty.
    spelling: String,
    weights: Vec<(usize, f32)>,
    /// The specialty for which it governs a title.
    governs: Option<usize>,
    technologies: Vec<usize>,
    priority: Option<Level>,
    complexity: Option<Level>,
}

impl Meaning {
    /// What the term adds to all specialties together.
    fn points(&self) -> f32 {
        self.weights.iter().map(|(_, weight)| weight.max(0.0)).sum()
    }
}

/// Terms and aliases, ready to be looked for.
#[derive(Debug)]
pub struct Classifier {
    terms: Terms,
    lexicon: Lexicon<Meaning>,
}

impl Classifier {
    /// The built-in terms and, where `classify.terms_file` is set, those of that file.
    ///
    /// The error names the file and the key.
    pub fn load(config: &ClassifyConfig) -> Result<Self, ClassifyError> {
        let file = Some(config.terms_file.as_path()).filter(|path| !path.as_os_str().is_empty());
        let terms = Terms::load(file)?;
        let mut meanings: BTreeMap<Form, Meaning> = BTreeMap::new();
        for (form, term) in &terms.weighted {
            let meaning = meanings.entry(form.clone()).or_default();
            meaning.spelling.clone_from(&term.spelling);
            let weights = term.weights.iter().filter(|(_, weight)| **weight != 0.0);
            meaning.weights = weights.map(|(at, weight)| (*at, *weight)).collect();
            meaning.governs = term.governs;
        }
        for (form, technologies) in &terms.technology_words {
            meanings.entry(form.clone()).or_default().technologies = technologies.iter().copied().collect();
        }
        for (form, level) in &terms.priority.words {
            meanings.entry(form.clone()).or_default().priority = Some(*level);
        }
        for (form, level) in &terms.complexity.words {
            meanings.entry(form.clone()).or_default().complexity = Some(*level);
        }
        Ok(Self { terms, lexicon: meanings.into_iter().collect() })
    }

    /// Every specialty there is: the built-in ones and the user's own.
    pub fn specialties(&self) -> &[Specialty] {
        &self.terms.specialties
    }

    /// The specialty that goes by `name`: its own name or an alias, regardless of case.
    pub fn resolve_alias(&self, name: &str) -> Option<Specialty> {
        self.specialty_index(&fold(name.trim())).map(|index| self.terms.specialties[index].clone())
    }

    fn specialty_index(&self, folded: &str) -> Option<usize> {
        let named = self.terms.specialties.iter().position(|specialty| specialty.as_str() == folded);
        named.or_else(|| self.terms.aliases.get(folded).copied())
    }

    /// Decides by labels first, then by the terms in title and body.
    pub fn classify(&self, title: &str, body: &str, labels: &[String]) -> Classified {
        let title = fold(&apart(cut(title, TITLE_BYTES_MAX)));
        let body_bytes = body.len();
        let body = fold(&apart(cut(body, BODY_BYTES_MAX)));
        let labels: Vec<Label> =
            labels.iter().take(LABELS_MAX).map(|label| Label::new(cut(label, LABEL_BYTES_MAX))).collect();
        let mut evidence = Evidence::new(self);
        for label in &labels {
            evidence.label(label);
        }
        evidence.title(&title);
        evidence.body(&body, body_bytes);
        evidence.decide()
    }
}
