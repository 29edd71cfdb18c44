//! Which versions of an agent's CLI are good enough.

use shared::config::Driver;

/// A version's three numbers.
type Version = [u32; 3];

/// Earlier ones of Claude Code leave the processes of their tools behind, and can end before their result is
/// written.
const CLAUDE_MIN: Version = [2, 1, 212];

/// What the drivers were measured with; older ones may tell their failures in other words.
const CODEX_MEASURED: Version = [0, 169, 0];
const GEMINI_MEASURED: Version = [0, 61, 0];

/// How a version stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// Works as far as is known, and was never tried.
    Unmeasured(String),
    /// Known to misbehave, or not known at all where that matters.
    Unsafe(String),
}

/// Judges what the program said of its version; `None` where it said nothing that is a version.
pub(crate) fn standing(driver: Driver, said: Option<&str>) -> Standing {
    let version = said.and_then(numbers);
    match driver {
        Driver::Command => Standing::Good,
        Driver::Claude if version.is_some_and(|version| version >= CLAUDE_MIN) => Standing::Good,
        Driver::Claude => Standing::Unsafe(format!(
            "claude {} may leave processes behind or cut off its result; update it to {} or newer, or set \
             agent.allow_unsafe_version",
            said.unwrap_or("of an unknown version"),
            text(CLAUDE_MIN)
        )),
        Driver::Codex => measured("codex", said, version, CODEX_MEASURED),
        Driver::Gemini => measured("gemini", said, version, GEMINI_MEASURED),
    }
}

fn measured(name: &str, said: Option<&str>, version: Option<Version>, least: Version) -> Standing {
    if version.is_some_and(|version| version >= least) {
        return Standing::Good;
    }
    let said = said.unwrap_or("of an unknown version");
    Standing::Unmeasured(format!("{name} {said} was never tried; {} or newer is recommended", text(least)))
}

/// The version in what `--version` prints: `2.1.328 (Claude Code)`, `codex-cli 0.169.0`.
pub(crate) fn in_output(output: &str) -> Option<&str> {
    output.split_whitespace().find(|word| numbers(word).is_some())
}

fn numbers(version: &str) -> Option<Version> {
    let release = version.split(['-', '+']).next().unwrap_or(version);
    let mut parts = release.split('.').map(|part| part.parse().ok());
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

fn text(version: Version) -> String {
    version.map(|part| part.to_string()).join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claude_s_versions_are_compared_by_number_and_an_unknown_one_is_not_trusted() {
        for good in ["2.1.212", "2.1.328", "2.2.0", "10.0.0", "2.1.400-beta.1"] {
            assert_eq!(standing(Driver::Claude, Some(good)), Standing::Good, "{good}");
        }
        for bad in [Some("2.1.197"), Some("2.1.99"), Some("1.9.999"), Some("nightly"), None] {
            assert!(matches!(standing(Driver::Claude, bad), Standing::Unsafe(_)), "{bad:?}");
        }
    }

    #[test]
    fn an_older_codex_or_gemini_is_told_and_not_refused() {
        assert_eq!(standing(Driver::Codex, Some("0.169.0")), Standing::Good);
        assert!(matches!(standing(Driver::Codex, Some("0.42.0")), Standing::Unmeasured(_)));
        assert!(matches!(standing(Driver::Gemini, None), Standing::Unmeasured(_)));
        assert_eq!(standing(Driver::Command, None), Standing::Good);
    }

    #[test]
    fn the_version_is_found_beside_a_name() {
        assert_eq!(in_output("2.1.328 (Claude Code)\n"), Some("2.1.328"));
        assert_eq!(in_output("codex-cli 0.169.0\n"), Some("0.169.0"));
        assert_eq!(in_output("0.61.0"), Some("0.61.0"));
        assert_eq!(in_output("no version here"), None);
    }
}
