//! Everything that goes to standard output.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;
use shared::lifecycle::UnixMs;

use crate::error::CommandError;

/// Writes one line, without what would move a terminal's cursor: titles and messages come from strangers.
pub fn line(text: impl AsRef<str>) -> Result<(), CommandError> {
    write(&plain_lines(text.as_ref()).replace('\n', " "))
}

/// `text` with its lines kept, and a space for every other character that a terminal would obey.
pub fn plain_lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// A reader that is gone is an error like any other, and ends the command.
fn write(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    let mut write = || {
        stdout.write_all(text.as_bytes())?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    };
    write().map_err(CommandError::Output)
}

/// Writes `value` as JSON over several lines.
pub fn json(value: &impl Serialize) -> Result<(), CommandError> {
    write(&serde_json::to_string_pretty(value).map_err(|error| CommandError::Internal(error.to_string()))?)
}

/// Writes `value` as JSON on one line, for output that goes on.
pub fn json_line(value: &impl Serialize) -> Result<(), CommandError> {
    write(&serde_json::to_string(value).map_err(|error| CommandError::Internal(error.to_string()))?)
}

/// Writes rows in columns that are as wide as their widest cell; the first row is the heading.
pub fn table(rows: &[Vec<String>]) -> Result<(), CommandError> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column| rows.iter().filter_map(|row| row.get(column)).map(|c: &String| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        line(cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// A length of time as a person says it: `40 ms`, `1.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 1 h`.
pub fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => format!("{} ms", length.as_millis()),
        1..10 => format!("{:.1} s", length.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// How long ago `at` was, seen from `now`.
pub fn ago(at: UnixMs, now: UnixMs) -> String {
    format!("{} ago", duration(Duration::from_millis(now.saturating_sub(at))))
}

/// Millionths of a US dollar in dollars and cents.
pub fn usd(micro_usd: u64) -> String {
    format!("${:.2}", micro_usd as f64 / 1_000_000.0)
}

/// The time of day in UTC, to the millisecond.
pub fn clock(at: UnixMs) -> String {
    let seconds = at / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60, at % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_read_as_a_person_says_them() {
        let said = |ms| duration(Duration::from_millis(ms));
        assert_eq!(said(42), "42 ms");
        assert_eq!(said(1_420), "1.4 s");
        assert_eq!(said(12_300), "12 s");
        assert_eq!(said(200_000), "3 min 20 s");
        assert_eq!(said(7_500_000), "2 h 5 min");
        assert_eq!(said(349_200_000), "4 d 1 h");
    }

    #[test]
    fn what_strangers_wrote_cannot_move_the_cursor() {
        assert_eq!(plain_lines("a\u{1b}[2Jb\r\nc\u{9b}d"), "a [2Jb \nc d");
    }

    #[test]
    fn the_clock_is_utc() {
        assert_eq!(clock(1_700_000_000_123), "22:13:20.123");
    }
}
