//! Which specialty a task belongs to, how urgent and how large it looks, and why.
//!
//! Labels decide where they name a specialty. Else weighted terms in title and body do, and where they say
//! too little or contradict each other, the answer is `general`. The terms stand in
//! `classify/specialties.toml`; `docs/webhooks.md` shows how to add one's own.

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
    label::{COMPLEXITY_PREFIXES, Label, PRIORITY_PREFIXES},
    lexicon::{Form, Lexicon, fold},
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

/// Technologies and reasons that are kept.
const TECHNOLOGIES_MAX: usize = 8;
const REASONS_MAX: usize = 12;

/// A body longer than this is no small matter, one longer than that is a large one; in bytes.
const BODY_MEDIUM_BYTES: usize = 600;
const BODY_LONG_BYTES: usize = 4_000;

/// How much a second and a third mention in the body add to the first.
const REPEAT_FACTOR: f32 = 0.3;
const REPEATS_MAX: u32 = 2;

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
        }
    }
}

/// What a term means for each question that is asked.
#[derive(Debug, Default)]
struct Meaning {
    /// As it was written; empty where it stands for no specialty.
    spelling: String,
    weights: Vec<(usize, f32)>,
    technology: Option<usize>,
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
        }
        for (form, technology) in &terms.technology_words {
            meanings.entry(form.clone()).or_default().technology = Some(*technology);
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
        let title = fold(cut(title, TITLE_BYTES_MAX));
        let body_bytes = body.len();
        let body = fold(cut(body, BODY_BYTES_MAX));
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

/// What speaks for what, while one issue is looked at.
struct Evidence<'c> {
    classifier: &'c Classifier,
    scores: Vec<f32>,
    /// Specialties that a label names.
    labelled: Vec<usize>,
    label_reasons: Vec<String>,
    term_reasons: Vec<(f32, String)>,
    technologies: Vec<usize>,
    label_priority: Option<Level>,
    title_priority: Option<Level>,
    label_complexity: Option<Level>,
    /// Below zero: small; above: large.
    size: i32,
}

impl<'c> Evidence<'c> {
    fn new(classifier: &'c Classifier) -> Self {
        Self {
            classifier,
            scores: vec![0.0; classifier.terms.specialties.len()],
            labelled: Vec::new(),
            label_reasons: Vec::new(),
            term_reasons: Vec::new(),
            technologies: Vec::new(),
            label_priority: None,
            title_priority: None,
            label_complexity: None,
            size: 0,
        }
    }

    fn label(&mut self, label: &Label) {
        let terms = &self.classifier.terms;
        if let Some(level) = label.level(&terms.priority.labels, &PRIORITY_PREFIXES) {
            // The more urgent of two.
            self.label_priority = Some(self.label_priority.map_or(level, |known| known.min(level)));
            return;
        }
        if let Some(level) = label.level(&terms.complexity.labels, &COMPLEXITY_PREFIXES) {
            self.label_complexity = Some(level);
        }
        let named = label.values().find_map(|value| self.classifier.specialty_index(value));
        if let Some(specialty) = named {
            self.label_reasons.push(format!("label {}", label.text()));
            if !self.labelled.contains(&specialty) {
                self.labelled.push(specialty);
            }
        }
    }

    fn title(&mut self, folded: &str) {
        let factor = self.classifier.terms.decision.title_factor;
        for found in self.classifier.lexicon.find(folded) {
            self.add("title", found.meaning, factor);
            self.title_priority = self.title_priority.or(found.meaning.priority);
            self.size += match found.meaning.complexity {
                Some(Level::High) => 2,
                Some(Level::Low) => -2,
                None => 0,
            };
        }
    }

    fn body(&mut self, folded: &str, body_bytes: usize) {
        let found = self.classifier.lexicon.find(folded);
        let repeated = |times: u32| 1.0 + REPEAT_FACTOR * (times - 1).min(REPEATS_MAX) as f32;
        let points: f32 = found.iter().map(|found| found.meaning.points() * repeated(found.times)).sum();
        let scale = (self.classifier.terms.decision.body_points_max / points.max(1.0)).min(1.0);
        for found in found {
            self.add("body", found.meaning, scale * repeated(found.times));
            if found.meaning.complexity == Some(Level::High) {
                self.size += 1;
            }
        }
        self.size += match body_bytes {
            0..BODY_MEDIUM_BYTES => -1,
            BODY_MEDIUM_BYTES..BODY_LONG_BYTES => 0,
            _ => 1,
        };
    }

    fn add(&mut self, place: &str, meaning: &Meaning, factor: f32) {
        for (specialty, weight) in &meaning.weights {
            let points = weight * factor;
            self.scores[*specialty] += points;
            let name = &self.classifier.terms.specialties[*specialty];
            let reason = format!("{place}: \"{}\" ({points:+.1} {name})", meaning.spelling);
            self.term_reasons.push((points, reason));
        }
        if let Some(technology) = meaning.technology
            && !self.technologies.contains(&technology)
        {
            self.technologies.push(technology);
        }
    }

    fn decide(mut self) -> Classified {
        let mut ranking: Vec<usize> = (0..self.scores.len()).collect();
        ranking.sort_by(|a, b| self.scores[*b].total_cmp(&self.scores[*a]));
        let (specialty, secondary) = self.choose(&ranking);
        self.term_reasons.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
        let mut reasons = self.label_reasons;
        reasons.extend(self.term_reasons.into_iter().map(|(_, reason)| reason));
        reasons.truncate(REASONS_MAX);
        let terms = &self.classifier.terms;
        let priority = match self.label_priority.or(self.title_priority) {
            Some(Level::High) => Priority::High,
            Some(Level::Low) => Priority::Low,
            None => Priority::Medium,
        };
        let complexity = match (self.label_complexity, self.size) {
            (Some(Level::High), _) | (None, 2..) => Complexity::High,
            (Some(Level::Low), _) | (None, ..=-2) => Complexity::Low,
            (None, _) => Complexity::Medium,
        };
        let technologies = self.technologies.iter().take(TECHNOLOGIES_MAX);
        Classified {
            specialty,
            secondary,
            priority,
            complexity,
            technologies: technologies.map(|index| terms.technologies[*index].clone()).collect(),
            scores: ranking.iter().map(|at| (terms.specialties[*at].clone(), self.scores[*at])).collect(),
            reasons,
        }
    }

    /// The specialty, and the one that comes next where anything speaks for it.
    fn choose(&self, ranking: &[usize]) -> (Specialty, Option<Specialty>) {
        let terms = &self.classifier.terms;
        let name = |index: usize| terms.specialties[index].clone();
        // Among several that labels name, the text decides; ranking is by its score.
        let mut labelled = ranking.iter().copied().filter(|index| self.labelled.contains(index));
        if let Some(first) = labelled.next() {
            let by_text = ranking.iter().copied().find(|index| *index != first && self.is_strong(*index));
            return (name(first), labelled.next().or(by_text).map(name));
        }
        let Some(&best) = ranking.first() else { return (Specialty::general(), None) };
        let next = ranking.get(1).copied().filter(|index| self.is_strong(*index));
        let lead = self.scores[best] - ranking.get(1).map_or(0.0, |index| self.scores[*index].max(0.0));
        let clear = self.is_strong(best) && lead >= terms.decision.margin;
        if clear { (name(best), next.map(name)) } else { (Specialty::general(), None) }
    }

    fn is_strong(&self, index: usize) -> bool {
        let decision = self.classifier.terms.decision;
        self.scores[index] > 0.0 && self.scores[index] >= decision.score_min
    }
}
