//! Times as RFC 3339 writes them.

use serde::{Serialize, Serializer};
use shared::lifecycle::UnixMs;

/// A time that is written as `2026-01-31T08:05:09.120Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub UnixMs);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

const DAY_MS: u64 = 86_400_000;

fn rfc3339(at: UnixMs) -> String {
    let (year, month, day) = date(at / DAY_MS);
    let ms = at % DAY_MS;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// Year, month and day of the so-many-th day after 1970-01-01.
///
/// Counted in years that begin with March, so that the leap day is a year's last, and in eras of 400 years, after
/// which the calendar repeats.
fn date(days_since_epoch: u64) -> (u64, u64, u64) {
    const DAYS_OF_ERA: u64 = 146_097;
    const DAYS_FROM_YEAR_0: u64 = 719_468;
    let days = days_since_epoch + DAYS_FROM_YEAR_0;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_everybody_reads_them() {
        // As `date -u -d @...` writes them.
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut last = date(0);
        for day in 1..150_000 {
            let (year, month, of_month) = date(day);
            let next_in_month = (year, month) == (last.0, last.1) && of_month == last.2 + 1;
            let next_month = of_month == 1 && last.2 >= 28 && (year * 12 + month) == last.0 * 12 + last.1 + 1;
            assert!(next_in_month || next_month, "{last:?} -> {:?}", (year, month, of_month));
            last = (year, month, of_month);
        }
    }
}
