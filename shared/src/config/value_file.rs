//! Values that stand in files of their own: for a key `x` that holds a secret or certificates, `x_file` names the file
//! with its value.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use config::{Map, Value, ValueKind};

use super::{ConfigError, schema::bad, setting::SECRET_KEYS};

/// Largest value that a file may hold, in bytes.
const VALUE_BYTES_MAX: u64 = 64 * 1024;

const SUFFIX: &str = "_file";

/// Keys besides the secret ones that may stand in a file.
const OPEN_KEYS: [&str; 2] = ["redis.ca", "redis.client_cert"];

/// The keys that name a file: `github.token_file` and the like.
pub(super) fn keys() -> impl Iterator<Item = String> {
    value_keys().map(|key| format!("{key}{SUFFIX}"))
}

/// The key that names the file with the value of `key`.
pub(super) fn key_for(key: &str) -> Option<String> {
    value_keys().any(|known| known == key).then(|| format!("{key}{SUFFIX}"))
}

fn value_keys() -> impl Iterator<Item = &'static str> {
    SECRET_KEYS.into_iter().chain(OPEN_KEYS)
}

/// Puts the files' contents, without the line break at their end, in the place of their names. An empty file sets
/// nothing: a container tool makes one of a secret that its user left out. Returns the files that held secrets.
pub(super) fn resolve(
    origin: &str,
    tables: &mut Map<String, Value>,
    home: Option<&str>,
) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = Vec::new();
    for key in value_keys() {
        let Some((section, name)) = key.split_once('.') else { continue };
        let Some(ValueKind::Table(table)) = tables.get_mut(section).map(|section| &mut section.kind) else {
            continue;
        };
        let Some(path) = table.remove(&format!("{name}{SUFFIX}")) else { continue };
        let refuse = |problem: String| bad(origin, &format!("{key}{SUFFIX}"), &problem);
        let path = path.into_string().map_err(|error| refuse(error.to_string()))?;
        if path.is_empty() {
            continue;
        }
        if table.get(name).is_some_and(|value| value.kind != ValueKind::String(String::new())) {
            return Err(refuse(format!("and {key} are both given; leave one out")));
        }
        let path = absolute(&path, home).ok_or_else(|| refuse("must be an absolute path".to_owned()))?;
        let value = read(&path)
            .map_err(|error| refuse(format!("cannot be read from {}: {error}", path.display())))?;
        if value.is_empty() {
            continue;
        }
        let from = path.display().to_string();
        table.insert(name.to_owned(), Value::new(Some(&from), value));
        if SECRET_KEYS.contains(&key) {
            files.push(path);
        }
    }
    Ok(files)
}

fn absolute(text: &str, home: Option<&str>) -> Option<PathBuf> {
    let path = match (text.strip_prefix("~/"), home) {
        (Some(below), Some(home)) => Path::new(home).join(below),
        _ => PathBuf::from(text),
    };
    Some(path).filter(|path| path.is_absolute())
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(VALUE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > VALUE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 64 KiB"));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}
