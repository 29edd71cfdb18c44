//! Times as RFC 3339 writes them.

use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};
use shared::lifecycle::UnixMs;

/// A time that is written as `2026-01-31T08:05:09.120Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub UnixMs);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Beyond the calendar, which no clock of ours reaches: the epoch.
        let at = DateTime::from_timestamp_millis(self.0 as i64).unwrap_or_default();
        serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_everybody_reads_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(serde_json::to_value(Timestamp(ms)).unwrap(), text);
        }
    }
}
