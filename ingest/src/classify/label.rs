//! What a label says: `frontend`, `area/frontend`, `type: backend`, `A-frontend`, `priority: high`, `P1`.

use std::collections::BTreeMap;

use super::{
    lexicon::{fold, words},
    terms::Level,
};

/// Words before a value that make it a priority.
pub const PRIORITY_PREFIXES: [&str; 5] = ["priority", "prio", "urgency", "優先度", "優先順位"];

/// Words before a value that make it a complexity.
pub const COMPLEXITY_PREFIXES: [&str; 5] = ["size", "effort", "complexity", "difficulty", "難易度"];

/// A label, taken apart.
pub struct Label {
    text: String,
    folded: String,
}

impl Label {
    pub fn new(text: &str) -> Self {
        let folded = fold(text);
        // "🧪 Test" is "test".
        let folded =
            folded.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '+' | '#')).to_owned();
        Self { text: text.to_owned(), folded }
    }

    /// As it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What may name a specialty: the whole label, else what follows its last `/`, `:` or `=`, else what
    /// follows a single letter and a dash.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let whole = self.folded.as_str();
        let value = whole.rsplit_once(['/', ':', '=']).map(|(_, value)| value.trim());
        let lettered = whole.split_once('-').filter(|(letter, _)| letter.chars().count() == 1);
        [Some(whole), value, lettered.map(|(_, value)| value)].into_iter().flatten()
    }

    /// The level in `levels` that the label names as a whole, or behind one of `prefixes`.
    pub fn level(&self, levels: &BTreeMap<String, Level>, prefixes: &[&str]) -> Option<Level> {
        if let Some(level) = levels.get(&self.folded) {
            return Some(*level);
        }
        let rest = prefixes.iter().find_map(|prefix| self.folded.strip_prefix(prefix))?;
        // "priority: 0 - high" holds a number and a word; either will do.
        let rest = rest.trim_matches(|c: char| !c.is_alphanumeric());
        let mut values = words(rest);
        values.push(rest);
        values.into_iter().find_map(|value| levels.get(value)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        Label::new(text).values().map(str::to_owned).collect()
    }

    #[test]
    fn the_customary_forms_give_their_value() {
        for label in [
            "area/frontend",
            "area: frontend",
            "type:Frontend",
            "A-frontend",
            "team = frontend",
            "🎨 Frontend",
        ] {
            assert!(values(label).contains(&"frontend".to_owned()), "{label}");
        }
        assert!(!values("good-frontend").contains(&"frontend".to_owned()));
    }

    #[test]
    fn priorities_are_found_in_their_many_forms() {
        let levels = BTreeMap::from([
            ("high".to_owned(), Level::High),
            ("p1".to_owned(), Level::High),
            ("高".to_owned(), Level::High),
            ("minor".to_owned(), Level::Low),
        ]);
        for label in [
            "priority: high",
            "Priority/High",
            "prio:high",
            "P1",
            "優先度:高",
            "優先度高",
            "priority: 0 - high",
        ] {
            assert_eq!(Label::new(label).level(&levels, &PRIORITY_PREFIXES), Some(Level::High), "{label}");
        }
        assert_eq!(Label::new("Priority: Minor").level(&levels, &PRIORITY_PREFIXES), Some(Level::Low));
        for label in ["priority: whatever", "highlight", "prioritised", "bug"] {
            assert_eq!(Label::new(label).level(&levels, &PRIORITY_PREFIXES), None, "{label}");
        }
    }
}
