//! Times in lines: RFC 3339 in UTC with milliseconds, in one spelling; and what is known of the clock that told them. It never
//! reads a clock.

use drawbridge_chain::Utc;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far the clock could be trusted when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Set by time servers.
    Ntp,
    /// Set by the Remote Support Server, which is verified.
    Server,
    /// Set by hand.
    Hand,
    /// The machine's own clock, which nobody has checked since the start.
    Hardware,
    /// No more is known than that it is no earlier: the firmware's build, or the last time that was saved.
    Floor,
}

impl Clock {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ntp => "ntp",
            Self::Server => "server",
            Self::Hand => "hand",
            Self::Hardware => "hardware",
            Self::Floor => "floor",
        }
    }

    /// Whether somebody else vouches for it (RFC 5424, section 7.1.2, `isSynced`).
    pub fn is_synced(self) -> bool {
        matches!(self, Self::Ntp | Self::Server)
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(self.as_str())
    }
}

/// Which run of the machine's it is: the kernel's `/proc/sys/kernel/random/boot_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootId(pub u128);

impl BootId {
    /// Reads 32 hexadecimal digits, with or without hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|char| *char != '-').collect();
        let fits = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| u128::from_str_radix(&digits, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:032x}", self.0)
    }
}

impl TryFrom<String> for BootId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
            .filter(|id| id.to_string() == text)
            .ok_or("no boot id: 32 lower-case hexadecimal digits")
    }
}

impl From<BootId> for String {
    fn from(id: BootId) -> Self {
        id.to_string()
    }
}

/// When something happened, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time of day.
    pub time: Utc,
    /// What is known of the clock that told it.
    pub clock: Clock,
    /// Which run of the machine's it was.
    pub boot: BootId,
    /// Milliseconds since that run began.
    pub monotonic_ms: u64,
}

/// Reads `2026-01-01T00:00:00.000Z`, which is exactly what [`Utc`] is shown as.
pub fn parse_utc(text: &str) -> Option<Utc> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        let digits = bytes.get(from..to)?;
        digits
            .iter()
            .try_fold(0_u64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, millis) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // A date to days by eras of 400 years, which begin with March (Howard Hinnant, "chrono-compatible low-level date
    // algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let moon = (month + 9) % 12;
    let of_year = (153 * moon + 2) / 5 + day - 1;
    let days = (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)?;
    let time = Utc::from_millis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis)?;
    // One spelling, and no 30th of February.
    (time.to_string() == text).then_some(time)
}

/// For `#[serde(with)]`.
pub(crate) mod rfc3339 {
    use super::{Utc, parse_utc};
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::borrow::Cow;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(time: &Utc, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Utc, D::Error> {
        let text = <Cow<'_, str>>::deserialize(from)?;
        parse_utc(&text)
            .ok_or_else(|| serde::de::Error::custom("no time in UTC such as 2026-01-01T00:00:00.000Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_read_as_it_is_shown_and_no_other_spelling_is() {
        let mut millis = 0;
        while let Some(time) = Utc::from_millis(millis) {
            assert_eq!(parse_utc(&time.to_string()), Some(time));
            millis += 86_400_000 * 97 + 12_345_678;
        }
        for text in ["2000-02-29T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "1970-01-01T00:00:00.000Z"] {
            assert_eq!(parse_utc(text).unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "2026-01-01",
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:00:60.000Z",
            "2026-01-01t00:00:00.000Z",
            "2026-01-01T00:00:00.000+00:00",
            "2026-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999Z",
            "2026-01-01T00:00:00.000Z ",
            "\u{e9}026-01-01T00:00:00.000Z",
        ] {
            assert_eq!(parse_utc(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_boot_id_is_read_as_the_kernel_writes_it() {
        let id = BootId::parse("00c0ffee-0000-4000-8000-00000000abcd\n").unwrap();
        assert_eq!(id.to_string(), "00c0ffee00004000800000000000abcd");
        assert!(BootId::parse("00c0ffee").is_none() && BootId::parse(&"+".repeat(32)).is_none());
        assert!(BootId::try_from("00C0FFEE00004000800000000000ABCD".to_owned()).is_err());
    }
}
