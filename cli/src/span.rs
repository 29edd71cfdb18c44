//! Lengths of time on the command line: `90s`, `30m`, `2h`, `7d`.

use std::time::Duration;

/// Longest length that makes sense anywhere.
const DAYS_MAX: u64 = 3_650;

pub fn parse(text: &str) -> Result<Duration, String> {
    let refuse = || format!("'{text}' is no length of time; write 90s, 30m, 2h or 7d");
    let unit = text.chars().last().ok_or_else(refuse)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(refuse()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| refuse())?;
    let length = number.checked_mul(seconds).filter(|s| *s <= DAYS_MAX * 86_400);
    length.map(Duration::from_secs).ok_or_else(|| format!("'{text}' is more than {DAYS_MAX} days"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_numbers_with_a_unit_and_nothing_else() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in [
            "",
            "5",
            "h",
            "-1h",
            "1.5h",
            "2 h",
            "2w",
            "1d2h",
            "9999999d",
            "99999999999999999999d",
            "2\u{a0}",
            "時",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
