//! Which keys exist and what each holds, read off the shipped defaults.

use std::collections::BTreeMap;

use config::{File, FileFormat, Map, Source, Value, ValueKind};

use super::{ConfigError, DEFAULT_TOML, agent::SPECIALTY_KEYS, load::BUILT_IN, value_file};
use crate::Specialty;

/// The array of tables, which has no default to read its shape from.
pub(super) const REPOSITORY: &str = "repository";
const REPOSITORY_KEYS: [(&str, Kind); 14] = [
    ("match", Kind::Text),
    ("url", Kind::Text),
    ("base_branch", Kind::Text),
    ("trigger_label", Kind::Text),
    ("trigger_on_open", Kind::Switch),
    ("trusted_associations", Kind::List),
    ("trusted_permissions", Kind::List),
    ("trusted_logins", Kind::List),
    ("denied_logins", Kind::List),
    ("runs_per_issue_per_day", Kind::Integer),
    ("draft_on_red", Kind::Switch),
    ("comment_when_queued", Kind::Switch),
    ("specialty", Kind::Text),
    ("priority", Kind::Choice(&["high", "medium", "low"])),
];

/// Tables within a section, one for each specialty, with keys of the section that holds them.
const SPECIALTY: &str = "agent.specialty";

/// Keys that hold one word out of a few.
const CHOICES: [(&str, &[&str]); 3] = [
    ("agent.driver", &["claude", "codex", "gemini", "command"]),
    ("sandbox.mode", &["auto", "bubblewrap", "process"]),
    ("log.format", &["text", "json"]),
];

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Choice(&'static [&'static str]),
    Integer,
    Number,
    Switch,
    List,
}

/// Every key as `section.key`.
pub(super) struct Schema(BTreeMap<String, Kind>);

impl Schema {
    pub(super) fn shipped() -> Result<Self, ConfigError> {
        let mut keys = BTreeMap::new();
        for (section, table) in read_toml(BUILT_IN, DEFAULT_TOML)? {
            for (key, value) in table.into_table().map_err(|error| invalid(BUILT_IN, &error))? {
                let key = format!("{section}.{key}");
                let choice = CHOICES.iter().find(|(name, _)| *name == key);
                let kind = choice.map_or_else(|| Kind::of(&value.kind), |(_, words)| Kind::Choice(words));
                keys.insert(key, kind);
            }
        }
        keys.extend(value_file::keys().map(|key| (key, Kind::Text)));
        Ok(Self(keys))
    }

    /// Refuses what no key of that name and kind exists for.
    pub(super) fn check(&self, origin: &str, layer: &Map<String, Value>) -> Result<(), ConfigError> {
        for (section, table) in layer {
            match &table.kind {
                ValueKind::Array(entries) if section == REPOSITORY => check_repositories(origin, entries)?,
                ValueKind::Table(keys) if self.has_section(section) => {
                    for (key, value) in keys {
                        let key = format!("{section}.{key}");
                        if key == SPECIALTY {
                            self.check_specialties(origin, value)?;
                            continue;
                        }
                        let kind = self.kind(origin, &key)?;
                        kind.check(value).map_err(|problem| bad(origin, &key, &problem))?;
                    }
                }
                _ if section == REPOSITORY => {
                    return Err(bad(
                        origin,
                        section,
                        "must be written as [[repository]], once for each entry",
                    ));
                }
                _ if self.has_section(section) => {
                    return Err(bad(
                        origin,
                        section,
                        "is a section: write it as [section] with keys below it",
                    ));
                }
                _ => return Err(self.unknown(origin, section)),
            }
        }
        Ok(())
    }

    fn check_specialties(&self, origin: &str, specialties: &Value) -> Result<(), ConfigError> {
        let shape =
            |key: &str| bad(origin, key, "must be written as [agent.specialty.<name>] with keys below it");
        let ValueKind::Table(specialties) = &specialties.kind else { return Err(shape(SPECIALTY)) };
        for (name, section) in specialties {
            let ValueKind::Table(keys) = &section.kind else {
                return Err(shape(&format!("{SPECIALTY}.{name}")));
            };
            for (key, value) in keys {
                let key = format!("{SPECIALTY}.{name}.{key}");
                let kind = self.kind(origin, &key)?;
                kind.check(value).map_err(|problem| bad(origin, &key, &problem))?;
            }
        }
        Ok(())
    }

    pub(super) fn kind(&self, origin: &str, key: &str) -> Result<Kind, ConfigError> {
        let known = match key.strip_prefix(SPECIALTY).and_then(|rest| rest.strip_prefix('.')) {
            Some(rest) => return self.kind_for_specialty(origin, key, rest),
            None => self.0.get(key).copied(),
        };
        known.ok_or_else(|| self.unknown(origin, key))
    }

    /// `rest` is a specialty's name and one of the keys that may differ for it.
    fn kind_for_specialty(&self, origin: &str, key: &str, rest: &str) -> Result<Kind, ConfigError> {
        let (name, last) = rest.rsplit_once('.').unwrap_or((rest, ""));
        if let Err(error) = name.parse::<Specialty>() {
            return Err(bad(origin, key, &format!("cannot be used: {error}")));
        }
        if SPECIALTY_KEYS.contains(&last) {
            return self.kind(origin, &format!("agent.{last}"));
        }
        let general = format!("agent.{last}");
        let nearest = if self.0.contains_key(&general) {
            general
        } else {
            format!("{SPECIALTY}.{name}.{}", closest(last, SPECIALTY_KEYS.into_iter()))
        };
        Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: key.to_owned(), nearest })
    }

    fn has_section(&self, section: &str) -> bool {
        self.sections().any(|known| known == section)
    }

    fn sections(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|key| key.split('.').next())
    }

    fn unknown(&self, origin: &str, key: &str) -> ConfigError {
        let last = key.rsplit('.').next().unwrap_or(key);
        let keys = || self.0.keys().map(String::as_str);
        let same_name = keys().find(|known| known.ends_with(&format!(".{last}")));
        let nearest = same_name
            .map_or_else(|| closest(key, keys().chain(self.sections()).chain([REPOSITORY])), str::to_owned);
        ConfigError::UnknownKey { origin: origin.to_owned(), key: key.to_owned(), nearest }
    }
}

pub(super) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let distance = |known: &&str| (!known.ends_with(word), strsim::damerau_levenshtein(word, known));
    known.min_by_key(distance).unwrap_or_default().to_owned()
}

fn check_repositories(origin: &str, entries: &[Value]) -> Result<(), ConfigError> {
    for (index, entry) in entries.iter().enumerate() {
        let name = |key: &str| format!("{REPOSITORY}[{index}].{key}");
        let ValueKind::Table(keys) = &entry.kind else {
            return Err(bad(origin, REPOSITORY, "must be written as [[repository]], once for each entry"));
        };
        for (key, value) in keys {
            let Some((_, kind)) = REPOSITORY_KEYS.iter().find(|(known, _)| known == key) else {
                let nearest = name(&closest(key, REPOSITORY_KEYS.into_iter().map(|(known, _)| known)));
                return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: name(key), nearest });
            };
            kind.check(value).map_err(|problem| bad(origin, &name(key), &problem))?;
        }
        if !keys.contains_key("match") {
            return Err(bad(origin, &name("match"), "is missing: say which owner/name the entry is for"));
        }
    }
    Ok(())
}

impl Kind {
    fn of(kind: &ValueKind) -> Self {
        match kind {
            ValueKind::Boolean(_) => Self::Switch,
            ValueKind::Float(_) => Self::Number,
            ValueKind::Array(_) => Self::List,
            ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => Self::Integer,
            ValueKind::String(_) | ValueKind::Table(_) | ValueKind::Nil => Self::Text,
        }
    }

    fn refusal(self) -> String {
        let expected = match self {
            Self::Text => "text in quotes",
            Self::Choice(words) => return format!("must be \"{}\"", words.join("\" or \"")),
            Self::Integer => "a whole number, not negative",
            Self::Number => "a number",
            Self::Switch => "true or false",
            Self::List => "a list of texts",
        };
        format!("must be {expected}")
    }

    fn check(self, value: &Value) -> Result<(), String> {
        let fits = match (self, &value.kind) {
            (Self::Text, ValueKind::String(_))
            | (Self::Switch, ValueKind::Boolean(_))
            | (Self::Number, ValueKind::Float(_) | ValueKind::I64(_)) => true,
            (Self::Integer, ValueKind::I64(number)) => *number >= 0,
            (Self::Choice(words), ValueKind::String(text)) if words.contains(&text.as_str()) => true,
            (Self::Choice(words), ValueKind::String(text)) => {
                let nearest = closest(text, words.iter().copied());
                return Err(format!("{}, not \"{text}\"; did you mean \"{nearest}\"?", self.refusal()));
            }
            (Self::List, ValueKind::Array(items)) => {
                items.iter().all(|item| matches!(item.kind, ValueKind::String(_)))
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.refusal()) }
    }

    /// The value that a variable's or a flag's text stands for. A list is TOML's `["a", "b"]` or words with commas.
    pub(super) fn parse(self, origin: &str, text: &str) -> Result<Value, String> {
        let origin = Some(&origin.to_owned());
        let value = match self {
            Self::Text | Self::Choice(_) => Some(Value::new(origin, text)),
            Self::Integer => text.parse::<i64>().ok().map(|number| Value::new(origin, number)),
            Self::Number => text.parse::<f64>().ok().map(|number| Value::new(origin, number)),
            Self::Switch => text.parse::<bool>().ok().map(|switch| Value::new(origin, switch)),
            Self::List => list(text).map(|items| Value::new(origin, items)),
        };
        let value = value.ok_or_else(|| self.refusal())?;
        self.check(&value).map(|()| value)
    }
}

fn list(text: &str) -> Option<Vec<String>> {
    if text.trim_start().starts_with('[') {
        let parsed: toml::Table = toml::from_str(&format!("list = {text}")).ok()?;
        return parsed.get("list")?.as_array()?.iter().map(|v| v.as_str().map(str::to_owned)).collect();
    }
    Some(text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

/// The tables of a TOML text, each value marked with `origin`.
pub(super) fn read_toml(origin: &str, text: &str) -> Result<Map<String, Value>, ConfigError> {
    // The message alone: the parser's excerpt of the line could show a secret.
    if let Err(error) = toml::from_str::<toml::Table>(text) {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let problem = error.message().to_owned();
        return Err(ConfigError::Syntax { origin: origin.to_owned(), line, problem });
    }
    let file = File::from_str(text, FileFormat::Toml);
    let tables = file.collect().map_err(|error| invalid(origin, &error))?;
    Ok(tables.into_iter().map(|(key, value)| (key, marked(origin, value))).collect())
}

fn marked(origin: &str, value: Value) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => {
            ValueKind::Table(table.into_iter().map(|(key, value)| (key, marked(origin, value))).collect())
        }
        ValueKind::Array(items) => {
            ValueKind::Array(items.into_iter().map(|value| marked(origin, value)).collect())
        }
        plain => plain,
    };
    Value::new(Some(&origin.to_owned()), kind)
}

pub(super) fn bad(origin: &str, key: &str, problem: &str) -> ConfigError {
    ConfigError::BadValue { origin: origin.to_owned(), key: key.to_owned(), problem: problem.to_owned() }
}

/// What the `config` crate refused, with the key it names.
pub(super) fn invalid(origin: &str, error: &config::ConfigError) -> ConfigError {
    match error {
        config::ConfigError::At { error, key: Some(key), .. } => {
            bad(origin, key, &format!("is invalid: {error}"))
        }
        other => ConfigError::Syntax { origin: origin.to_owned(), line: None, problem: other.to_string() },
    }
}
