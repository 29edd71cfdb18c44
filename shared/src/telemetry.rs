//! What a process tells on standard error: text for people, JSON for collectors.

use std::io;

use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt, util::SubscriberInitExt};

use crate::config::{LogConfig, LogFormat};

/// A log level or filter that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("'{directive}' is neither a level (error, warn, info, debug, trace, off) nor target=level")]
pub struct InvalidFilter {
    directive: String,
}

/// The log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log.level cannot be used: {0}")]
    Filter(#[from] InvalidFilter),
    #[error("a log is already being written by this process")]
    AlreadyStarted,
}

/// The filter that `text` describes: a level, or directives with commas such as `info,worker=debug`.
///
/// Stricter than the parser below it, which takes every unknown word for the name of a target and then logs nothing.
pub fn filter(text: &str) -> Result<EnvFilter, InvalidFilter> {
    let mut filter = EnvFilter::default();
    for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let refuse = || InvalidFilter { directive: directive.to_owned() };
        let (target, word) = directive.rsplit_once('=').unwrap_or(("", directive));
        let level = level(word).ok_or_else(refuse)?;
        let known = if target.is_empty() { level.to_string() } else { format!("{target}={level}") };
        filter = filter.add_directive(known.parse().map_err(|_| refuse())?);
    }
    Ok(filter)
}

/// Levels in any case, and the two names that other systems use for them.
fn level(word: &str) -> Option<LevelFilter> {
    match word.to_ascii_lowercase().as_str() {
        "off" => Some(LevelFilter::OFF),
        "error" | "critical" => Some(LevelFilter::ERROR),
        "warn" | "warning" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

/// Writes this process' log to standard error from now on; `colour` where that is a terminal.
pub fn start(log: &LogConfig, colour: bool) -> Result<(), TelemetryError> {
    let filter = filter(&log.level)?;
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(colour).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    started.map_err(|_| TelemetryError::AlreadyStarted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_taken_in_any_case() {
        for good in
            ["info", "INFO", "Warning", "CRITICAL", "info,worker=debug", "off", "warn, shared::queue=TRACE"]
        {
            assert!(filter(good).is_ok(), "{good}");
        }
        assert_eq!(filter("warning").unwrap().to_string(), "warn");
    }

    #[test]
    fn a_misspelt_level_is_refused_instead_of_silencing_the_log() {
        for bad in ["inof", "verbose", "info,worker=loud", "worker=", "worker"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
