//! `.claude-cluster.toml`: the repository's own word on its tests.

use std::time::Duration;

use serde::Deserialize;

/// Read from the base branch: a change cannot alter what judges it.
pub(crate) const SETTINGS_FILE: &str = ".claude-cluster.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    test: Option<TestSettings>,
}

/// Its `[test]`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestSettings {
    pub command: String,
    pub setup: Option<String>,
    timeout: Option<String>,
    timeout_ms: Option<u64>,
    /// Run the tests before the agent, too.
    pub baseline: Option<bool>,
}

impl TestSettings {
    /// `Ok(None)` where the file says nothing of tests. The error names the key.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        let settings: Settings = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let Some(found) = settings.test else { return Ok(None) };
        if found.command.trim().is_empty() {
            return Err("test.command is empty".to_owned());
        }
        found.timeout()?;
        Ok(Some(found))
    }

    /// What the repository allows its tests.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, String> {
        match (&self.timeout, self.timeout_ms) {
            (Some(_), Some(_)) => Err("test.timeout and test.timeout_ms are both there".to_owned()),
            (Some(text), None) => {
                let refuse = || format!("test.timeout \"{text}\" is not a length of time such as \"10m\"");
                parse_duration(text).map(Some).ok_or_else(refuse)
            }
            (None, ms) => Ok(ms.map(Duration::from_millis)),
        }
    }
}

/// `90s`, `10m`, `1h`.
fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.trim().split_at_checked(text.trim().len().checked_sub(1)?)?;
    let seconds_each = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let seconds = number.trim().parse::<u64>().ok()?.checked_mul(seconds_each)?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout(text: &str) -> Result<Option<Duration>, String> {
        let settings = TestSettings::parse(&format!("[test]\ncommand = \"x\"\n{text}"))?;
        settings.unwrap().timeout()
    }

    #[test]
    fn a_timeout_has_a_unit() {
        assert_eq!(timeout("").unwrap(), None);
        assert_eq!(timeout("timeout = \"90s\"").unwrap(), Some(Duration::from_secs(90)));
        assert_eq!(timeout("timeout = \"10m\"").unwrap(), Some(Duration::from_secs(600)));
        assert_eq!(timeout("timeout = \"1 h\"").unwrap(), Some(Duration::from_secs(3_600)));
        assert_eq!(timeout("timeout_ms = 5").unwrap(), Some(Duration::from_millis(5)));
        for wrong in ["\"10\"", "\"\"", "\"m\"", "\"0s\"", "\"-1s\"", "\"1日\"", "600"] {
            assert!(timeout(&format!("timeout = {wrong}")).is_err(), "{wrong}");
        }
        assert!(timeout("timeout = \"1s\"\ntimeout_ms = 5").unwrap_err().contains("both"));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        assert!(TestSettings::parse("[test]\ncommand = \"x\"\ncomand = 1").unwrap_err().contains("comand"));
        assert!(TestSettings::parse("[test]\ncommand = \" \"").unwrap_err().contains("test.command"));
        assert_eq!(TestSettings::parse("").unwrap(), None);
    }
}
