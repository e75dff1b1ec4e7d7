//! A time of day as a chain has it: milliseconds since 1970 in UTC, to the year 9999; it never reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last millisecond of the year 9999.
const MOST: u64 = 253_402_300_799_999;

/// Milliseconds since 1970, UTC, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Utc(u64);

impl Utc {
    /// So many milliseconds after 1970 began; none after the year 9999.
    pub fn from_millis(millis: u64) -> Option<Self> {
        (millis <= MOST).then_some(Self(millis))
    }

    /// The milliseconds.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// A time of the system's clock, brought into bounds.
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_millis()).unwrap_or(MOST).min(MOST))
    }

    /// Later by so much, and never after the year 9999.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(MOST)).min(MOST))
    }
}

impl TryFrom<u64> for Utc {
    type Error = &'static str;

    fn try_from(millis: u64) -> Result<Self, Self::Error> {
        Self::from_millis(millis).ok_or("a time after the year 9999")
    }
}

impl From<Utc> for u64 {
    fn from(time: Utc) -> Self {
        time.0
    }
}

/// As RFC 3339 has it: `2026-01-01T00:00:00.000Z`.
impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Days to a date by eras of 400 years, which begin with March (Howard Hinnant, "chrono-compatible low-level date
        // algorithms").
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let moon = (5 * of_year + 2) / 153;
        let day = of_year - (153 * moon + 2) / 5 + 1;
        let month = if moon < 10 { moon + 3 } else { moon - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_its_date_also_at_the_ends_of_months_and_of_the_range() {
        for (millis, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (1_772_323_200_001, "2026-03-01T00:00:00.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (MOST, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Utc::from_millis(millis).unwrap().to_string(), shown);
        }
        assert_eq!(Utc::from_millis(MOST + 1), None);
        assert_eq!(Utc(MOST).after(Duration::MAX), Utc(MOST));
    }
}
