//! Gathers what speaks for what in one issue, and decides.

use shared::{Priority, Specialty};

use super::{
    Classified, Classifier, Complexity, Meaning,
    label::{COMPLEXITY_PREFIXES, Label, PRIORITY_PREFIXES},
    terms::Level,
};

/// Technologies and reasons that are kept.
const TECHNOLOGIES_MAX: usize = 8;
const REASONS_MAX: usize = 12;

/// A body longer than this is no small matter, one longer than that is a large one; in bytes.
const BODY_MEDIUM_BYTES: usize = 600;
const BODY_LONG_BYTES: usize = 4_000;

/// How much a second and a third mention in the body add to the first.
const REPEAT_FACTOR: f32 = 0.3;
const REPEATS_MAX: u32 = 2;

/// What speaks for what, while one issue is looked at.
pub struct Evidence<'c> {
    classifier: &'c Classifier,
    scores: Vec<f32>,
    /// Specialties for which a term governs the title; empty: none does.
    governing: Vec<usize>,
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
    pub fn new(classifier: &'c Classifier) -> Self {
        Self {
            classifier,
            scores: vec![0.0; classifier.terms.specialties.len()],
            governing: Vec::new(),
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

    pub fn label(&mut self, label: &Label) {
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

    pub fn title(&mut self, folded: &str) {
        let factor = self.classifier.terms.decision.title_factor;
        let found = self.classifier.lexicon.find(folded);
        self.governing.extend(found.iter().filter_map(|found| found.meaning.governs));
        for found in found {
            self.add("title", found.meaning, factor);
            self.title_priority = self.title_priority.or(found.meaning.priority);
            self.size += match found.meaning.complexity {
                Some(Level::High) => 2,
                Some(Level::Low) => -2,
                None => 0,
            };
        }
    }

    pub fn body(&mut self, folded: &str, body_bytes: usize) {
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
            let points = weight * factor * self.governed(*specialty, *weight);
            self.scores[*specialty] += points;
            let name = &self.classifier.terms.specialties[*specialty];
            let reason = format!("{place}: \"{}\" ({points:+.1} {name})", meaning.spelling);
            self.term_reasons.push((points, reason));
        }
        for technology in &meaning.technologies {
            if !self.technologies.contains(technology) {
                self.technologies.push(*technology);
            }
        }
    }

    /// In "Test the login page" the page is what is tested: it says less than it would alone.
    fn governed(&self, specialty: usize, weight: f32) -> f32 {
        let beside = !self.governing.is_empty() && !self.governing.contains(&specialty);
        if beside && weight > 0.0 { self.classifier.terms.decision.governed_factor } else { 1.0 }
    }

    pub fn decide(mut self) -> Classified {
        let mut ranking: Vec<usize> = (0..self.scores.len()).collect();
        ranking.sort_by(|a, b| self.scores[*b].total_cmp(&self.scores[*a]));
        let (specialty, secondary, margin) = self.choose(&ranking);
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
            margin,
            priority,
            complexity,
            technologies: technologies.map(|index| terms.technologies[*index].clone()).collect(),
            scores: ranking.iter().map(|at| (terms.specialties[*at].clone(), self.scores[*at])).collect(),
            reasons,
        }
    }

    /// The specialty, the one that comes next where anything speaks for it, and the lead where the text decided.
    fn choose(&self, ranking: &[usize]) -> (Specialty, Option<Specialty>, Option<f32>) {
        let terms = &self.classifier.terms;
        let name = |index: usize| terms.specialties[index].clone();
        // Among several that labels name, the text decides; ranking is by its score.
        let mut labelled = ranking.iter().copied().filter(|index| self.labelled.contains(index));
        if let Some(first) = labelled.next() {
            let by_text = ranking.iter().copied().find(|index| *index != first && self.is_strong(*index));
            return (name(first), labelled.next().or(by_text).map(name), None);
        }
        let Some(&best) = ranking.first() else { return (Specialty::general(), None, Some(0.0)) };
        let next = ranking.get(1).copied().filter(|index| self.is_strong(*index));
        let lead = self.scores[best] - ranking.get(1).map_or(0.0, |index| self.scores[*index].max(0.0));
        let clear = self.is_strong(best) && lead >= terms.decision.margin;
        if clear { (name(best), next.map(name), Some(lead)) } else { (Specialty::general(), None, Some(0.0)) }
    }

    fn is_strong(&self, index: usize) -> bool {
        let decision = self.classifier.terms.decision;
        self.scores[index] > 0.0 && self.scores[index] >= decision.score_min
    }
}
