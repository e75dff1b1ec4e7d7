//! The clock: no earlier than the build and the last known time, no later than anyone would believe. It never asks a
//! network: the network role says how far it is off, and what is believed of that is decided here.
//!
//! Nothing of ours waits by this clock: every timer runs on the monotonic one, which no correction moves.

use crate::sys;
use drawbridge_bus::{BUILD_TIME, ClockCorrection, ClockState};
use nix::time::{ClockId, clock_gettime, clock_settime};
use std::path::Path;

/// A clock so long after the build is wrong, not late: 20 years, twice the life of such a machine.
const PLAUSIBLE: i64 = 20 * 366 * 86_400;

/// Where the last known time is kept, below `/data/init`.
const SAVED: &str = "clock";

/// A clock that is off by less than this, in nanoseconds, runs faster or slower for a while; by more, it is set. Half a
/// second is what the kernel makes good in 17 minutes (500 parts in a million).
const SET_FROM: u64 = 500_000_000;

/// Milliseconds since the kernel started.
pub(crate) fn since_boot() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(0, |time| time.tv_sec().unsigned_abs() * 1000 + time.tv_nsec().unsigned_abs() / 1_000_000)
}

/// What the clock says, in milliseconds since 1970.
pub(crate) fn now_millis() -> i64 {
    clock_gettime(ClockId::CLOCK_REALTIME)
        .map_or(0, |time| time.tv_sec().saturating_mul(1000).saturating_add(time.tv_nsec() / 1_000_000))
}

fn now() -> i64 {
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, |time| time.tv_sec())
}

/// What to make of a clock that says `hardware`, when the last known time is `known`: the time to set, if it is to be
/// changed, and how far it can then be trusted. Seconds since 1970.
pub fn verdict(hardware: i64, build: i64, known: Option<i64>) -> (Option<i64>, ClockState) {
    let latest = build.saturating_add(PLAUSIBLE);
    // A saved time beyond belief was saved by a clock that was wrong.
    let floor = known.filter(|known| *known <= latest).map_or(build, |known| known.max(build));
    if hardware < floor {
        (Some(floor), ClockState::Floor { hardware })
    } else if hardware > latest {
        (Some(floor), ClockState::Ceiling { hardware })
    } else {
        (None, ClockState::Hardware)
    }
}

/// The saved time: decimal seconds since 1970 and nothing else but white space.
pub fn parse_saved(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes.get(..32).unwrap_or(bytes)).ok()?;
    text.trim().parse().ok().filter(|seconds| *seconds >= 0)
}

/// Puts the clock right by the build time alone: for the time before `/data` is there.
pub(crate) fn correct_by_build() -> ClockState {
    correct(now(), None)
}

/// Puts the clock right by the last known time too. `before` is what the first look found.
pub(crate) fn correct_by_saved(before: &ClockState, folder: &Path) -> ClockState {
    let saved = std::fs::read(folder.join(SAVED)).ok().and_then(|bytes| parse_saved(&bytes));
    let hardware = match *before {
        // No server has been asked when this is called: the network comes later.
        ClockState::Hardware | ClockState::Synchronised { .. } => now(),
        ClockState::Floor { hardware } | ClockState::Ceiling { hardware } => hardware,
    };
    correct(hardware, saved)
}

fn correct(hardware: i64, known: Option<i64>) -> ClockState {
    let (time, state) = verdict(hardware, BUILD_TIME, known);
    if let Some(time) = time
        && let Err(error) = clock_settime(ClockId::CLOCK_REALTIME, nix::sys::time::TimeSpec::new(time, 0))
    {
        log::error!("cannot set the clock: {error}");
    }
    state
}

/// Whether a correction sets the clock, and is no mere change of its pace.
pub(crate) fn sets(correction: &ClockCorrection) -> bool {
    correction.nanoseconds.unsigned_abs() >= SET_FROM
}

/// Why a correction is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotCorrected {
    /// It would lead out of what can be.
    #[error(
        "the time servers {0} would set the clock to {1}, before this system was built or more than 20 years after; that \
         is not believed"
    )]
    Unbelievable(String, String),
    /// The kernel refuses.
    #[error("the clock cannot be set: {0}")]
    Kernel(String),
}

/// Puts the clock right by what the time servers say. What comes out of it must lie between the build and 20 years later;
/// the last known time is no bound, since a clock that was wrong has saved it.
pub(crate) fn correct_by_network(correction: &ClockCorrection) -> Result<ClockState, NotCorrected> {
    let target = target(now(), correction)?;
    let kernel = |error: std::io::Error| NotCorrected::Kernel(error.to_string());
    if sets(correction) {
        // Read again, with its fraction: what passed since is not lost.
        let time = clock_gettime(ClockId::CLOCK_REALTIME).map_err(|error| kernel(error.into()))?;
        let (seconds, rest) = (
            correction.nanoseconds.div_euclid(1_000_000_000),
            correction.nanoseconds.rem_euclid(1_000_000_000),
        );
        let time = time + nix::sys::time::TimeSpec::new(seconds, rest);
        clock_settime(ClockId::CLOCK_REALTIME, time).map_err(|error| kernel(error.into()))?;
    } else {
        sys::slew_clock(correction.nanoseconds / 1000).map_err(kernel)?;
    }
    write_hardware_clock(target);
    Ok(ClockState::Synchronised {
        servers: correction.servers.clone(),
        milliseconds: correction.nanoseconds / 1_000_000,
        at_seconds: since_boot() / 1000,
    })
}

fn target(now: i64, correction: &ClockCorrection) -> Result<i64, NotCorrected> {
    let target = now.saturating_add(correction.nanoseconds.div_euclid(1_000_000_000));
    match verdict(target, BUILD_TIME, None) {
        (None, _) => Ok(target),
        (Some(_), _) => Err(NotCorrected::Unbelievable(correction.servers.join(", "), date(target))),
    }
}

/// The hardware clock, which keeps the time while the machine is off. It has whole seconds, in UTC.
fn write_hardware_clock(seconds: i64) {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second_of_day = seconds.rem_euclid(86_400);
    let time = sys::HardwareTime {
        year,
        month,
        day,
        hour: second_of_day / 3600,
        minute: second_of_day / 60 % 60,
        second: second_of_day % 60,
    };
    // A machine without one has none to set; the time that is saved on the disk does what it can.
    if let Err(error) = sys::write_hardware_clock(&time)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        log::warn!("the hardware clock cannot be set: {error}");
    }
}

/// Keeps the time for the next boot.
pub(crate) fn save(folder: &Path) -> std::io::Result<()> {
    crate::data::write_whole(&folder.join(SAVED), format!("{}\n", now()).as_bytes())
}

/// The state as a sentence.
pub(crate) fn sentence(state: &ClockState) -> String {
    match state {
        ClockState::Hardware => "the clock has the hardware clock's time".to_owned(),
        ClockState::Floor { hardware } => format!(
            "the hardware clock said {}, before the last known time, which was taken instead: set the clock",
            date(*hardware)
        ),
        ClockState::Ceiling { hardware } => format!(
            "the hardware clock said {}, which cannot be; the last known time was taken instead: set the clock",
            date(*hardware)
        ),
        ClockState::Synchronised { servers, milliseconds, .. } => {
            format!("the clock was corrected by {milliseconds} ms, as {} said", servers.join(", "))
        }
    }
}

/// The day, `2026-11-01`, of seconds since 1970.
fn date(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month (1 to 12) and day (1 to 31) of days since 1970 (proleptic Gregorian; Howard Hinnant, "chrono-compatible
/// low-level date algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: i64 = 1_793_491_200;

    #[test]
    fn a_plausible_clock_is_left_alone() {
        assert_eq!(verdict(BUILD + 5, BUILD, None), (None, ClockState::Hardware));
        assert_eq!(verdict(BUILD + 5, BUILD, Some(BUILD + 5)), (None, ClockState::Hardware));
    }

    #[test]
    fn a_clock_of_1970_or_2001_becomes_the_last_known_time() {
        for hardware in [0, 1_000_000_000] {
            assert_eq!(verdict(hardware, BUILD, None), (Some(BUILD), ClockState::Floor { hardware }));
            assert_eq!(
                verdict(hardware, BUILD, Some(BUILD + 9)),
                (Some(BUILD + 9), ClockState::Floor { hardware })
            );
        }
        assert_eq!(verdict(BUILD + 5, BUILD, Some(BUILD + 9)).0, Some(BUILD + 9));
    }

    #[test]
    fn a_clock_of_2099_is_not_believed_and_a_time_saved_by_it_neither() {
        let hardware = 4_070_908_800;
        assert_eq!(
            verdict(hardware, BUILD, Some(BUILD + 9)),
            (Some(BUILD + 9), ClockState::Ceiling { hardware })
        );
        assert_eq!(verdict(BUILD + 5, BUILD, Some(hardware)), (None, ClockState::Hardware));
    }

    #[test]
    fn a_saved_time_is_digits_only() {
        assert_eq!(parse_saved(b"1793491200\n"), Some(1_793_491_200));
        for bytes in [&b""[..], b"-1", b"1e9", b"\xff", b"99999999999999999999999999999999999"] {
            assert_eq!(parse_saved(bytes), None);
        }
    }

    #[test]
    fn no_time_server_can_lead_the_clock_out_of_what_can_be() {
        let correction = |years: i64| ClockCorrection {
            nanoseconds: years * 366 * 86_400 * 1_000_000_000,
            servers: vec!["192.0.2.1".to_owned()],
        };
        let now = BUILD_TIME + 5 * 366 * 86_400;
        assert_eq!(target(now, &correction(0)), Ok(now));
        assert_eq!(target(now, &correction(10)), Ok(now + 10 * 366 * 86_400));
        assert_eq!(target(now, &correction(-4)), Ok(now - 4 * 366 * 86_400));
        for years in [-10, 30, 100, -100] {
            let error = target(now, &correction(years)).unwrap_err();
            assert!(error.to_string().contains("192.0.2.1"), "{error}");
        }
        let far = ClockCorrection { nanoseconds: i64::MAX, servers: Vec::new() };
        assert!(target(i64::MAX, &far).is_err());
    }

    #[test]
    fn days_have_their_names() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(1_000_000_000), "2001-09-09");
        assert_eq!(date(4_070_908_800), "2099-01-01");
        assert_eq!(date(1_709_164_800), "2024-02-29");
    }
}
