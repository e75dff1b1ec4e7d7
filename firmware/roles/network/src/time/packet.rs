//! An SNTP message between bytes and meaning (RFC 5905, section 7.3). Pure: it never looks at a clock.

use std::time::Duration;

/// The bytes of a message without extensions. What follows them in a reply is passed over.
pub const PACKET_BYTES: usize = 48;

/// The longest that the time may lie after the floor: nobody runs a build that is older.
const YEARS_MOST: u64 = 20;
const SECONDS_A_YEAR: u64 = 31_556_952;
/// The seconds from 1900, where NTP begins, to 1970 (RFC 5905, figure 4).
const UNIX_IN_NTP: u64 = 2_208_988_800;
const NANOSECONDS: i128 = 1_000_000_000;

/// Version 4, mode 3: a client.
const REQUEST_FLAGS: u8 = 0b00_100_011;
/// The mode of a server's answer.
const MODE_SERVER: u8 = 4;
/// The oldest version that a server may answer with: the same message (RFC 1305).
const VERSION_LEAST: u8 = 3;
/// The newest there is.
const VERSION_MOST: u8 = 4;
/// The leap indicator of a clock that was never set.
const LEAP_UNKNOWN: u8 = 3;
/// The first stratum that means: not synchronised.
const STRATUM_UNSYNCHRONISED: u8 = 16;

/// Where the time may be: from the build of this system to 20 years later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    floor: u64,
}

impl Bounds {
    /// Bounds from the time of the build, in seconds since 1970.
    pub const fn from_floor(floor: u64) -> Bounds {
        Bounds { floor }
    }

    /// The time of a timestamp, in nanoseconds since 1970. Its 32 bits of seconds begin anew every 136 years, in 2036
    /// next: of all times that they may mean it is the one nearest to the floor.
    fn time(self, timestamp: u64) -> i128 {
        let [a, b, c, d, fraction @ ..] = timestamp.to_be_bytes();
        let seconds = u32::from_be_bytes([a, b, c, d]);
        #[expect(clippy::cast_possible_truncation, reason = "the era is what is cut off")]
        let floor = self.floor.wrapping_add(UNIX_IN_NTP) as u32;
        let after = seconds.wrapping_sub(floor).cast_signed();
        let fraction = (i128::from(u32::from_be_bytes(fraction)) * NANOSECONDS) >> 32;
        (i128::from(self.floor) + i128::from(after)) * NANOSECONDS + fraction
    }

    fn check(self, time: i128) -> Result<(), Refusal> {
        let seconds = time.div_euclid(NANOSECONDS);
        if seconds < i128::from(self.floor) {
            Err(Refusal::BeforeFloor { hours: hours(i128::from(self.floor) - seconds) })
        } else if seconds > i128::from(self.floor) + i128::from(YEARS_MOST * SECONDS_A_YEAR) {
            Err(Refusal::TooLate { hours: hours(seconds - i128::from(self.floor)) })
        } else {
            Ok(())
        }
    }
}

/// Begun hours.
fn hours(seconds: i128) -> u64 {
    u64::try_from(seconds / 3600 + 1).unwrap_or(u64::MAX)
}

/// What a server says, when it can be believed to be an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How many servers it is away from a clock of its own: 1 to 15.
    pub stratum: u8,
    /// The way from it to that clock and back.
    pub root_delay: Duration,
    /// How far off it may be beyond that.
    pub root_dispersion: Duration,
    /// When the request reached it, in nanoseconds since 1970.
    pub received: i128,
    /// When the reply left it, in nanoseconds since 1970: within the bounds, and not before [`Self::received`].
    pub transmitted: i128,
}

/// The word of a server that does not want to be asked (RFC 5905, section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kiss {
    /// `DENY`, `RSTR`: it never wants to be asked from here.
    Deny,
    /// `RATE`: less often.
    Rate,
    /// Any other word: it has nothing to say.
    Other([u8; 4]),
}

/// Why a reply is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too short to be one.
    #[error("its reply has {0} bytes, and a reply has at least {PACKET_BYTES}")]
    Short(usize),
    /// A version that is not known here.
    #[error("its reply is of NTP version {0}, and only versions 3 and 4 are known here")]
    Version(u8),
    /// Not from a server.
    #[error("its reply is of mode {0}, which is not that of a server (4)")]
    Mode(u8),
    /// The request's number does not come back.
    #[error("its reply does not repeat the number that it was asked with: it may be forged")]
    OtherQuestion,
    /// It does not want to be asked.
    #[error("it refuses to be asked{}", match .0 {
        Kiss::Deny => ": this system is not allowed to (DENY or RSTR)".to_owned(),
        Kiss::Rate => " so often (RATE)".to_owned(),
        Kiss::Other(code) => format!(": {}", code.escape_ascii()),
    })]
    Kiss(Kiss),
    /// Its own clock is not set.
    #[error("it says that its own clock is not synchronised")]
    Unsynchronised,
    /// It leaves a time out.
    #[error("its reply leaves out the time")]
    NoTime,
    /// It claims to have answered before it was asked.
    #[error("it claims to have answered before it was asked")]
    Backwards,
    /// Before the build.
    #[error("its time is about {hours} hours before this system was built")]
    BeforeFloor {
        /// How long.
        hours: u64,
    },
    /// Long after the build.
    #[error(
        "its time is about {hours} hours after this system was built, and {YEARS_MOST} years are believed at most"
    )]
    TooLate {
        /// How long.
        hours: u64,
    },
}

/// The request. The only thing in it is a number that nobody can guess, where the sender's time may be: it comes back as
/// the reply's origin, and tells nobody what the clock here shows.
pub fn request(number: u64) -> [u8; PACKET_BYTES] {
    let mut bytes = [0; PACKET_BYTES];
    bytes[0] = REQUEST_FLAGS;
    bytes[40..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Judges what came back for a request of that number.
pub fn judge(bytes: &[u8], number: u64, bounds: Bounds) -> Result<Reply, Refusal> {
    let Some(bytes) = bytes.first_chunk::<PACKET_BYTES>() else { return Err(Refusal::Short(bytes.len())) };
    let (leap, version, mode) = (bytes[0] >> 6, bytes[0] >> 3 & 7, bytes[0] & 7);
    if !(VERSION_LEAST..=VERSION_MOST).contains(&version) {
        return Err(Refusal::Version(version));
    }
    if mode != MODE_SERVER {
        return Err(Refusal::Mode(mode));
    }
    // Before all that the server says: a refusal to be asked can be forged as well as a time.
    if timestamp(bytes, 24) != number {
        return Err(Refusal::OtherQuestion);
    }
    let stratum = bytes[1];
    if stratum == 0 {
        let code = [bytes[12], bytes[13], bytes[14], bytes[15]];
        return Err(Refusal::Kiss(match &code {
            b"DENY" | b"RSTR" => Kiss::Deny,
            b"RATE" => Kiss::Rate,
            _ => Kiss::Other(code),
        }));
    }
    if leap == LEAP_UNKNOWN || stratum >= STRATUM_UNSYNCHRONISED {
        return Err(Refusal::Unsynchronised);
    }
    let (received, transmitted) = (timestamp(bytes, 32), timestamp(bytes, 40));
    if received == 0 || transmitted == 0 {
        return Err(Refusal::NoTime);
    }
    let (received, transmitted) = (bounds.time(received), bounds.time(transmitted));
    bounds.check(transmitted)?;
    if transmitted < received {
        return Err(Refusal::Backwards);
    }
    Ok(Reply {
        stratum,
        root_delay: short(bytes, 4),
        root_dispersion: short(bytes, 8),
        received,
        transmitted,
    })
}

fn timestamp(bytes: &[u8; PACKET_BYTES], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// A short span: 16 bits of seconds and 16 of their fraction.
fn short(bytes: &[u8; PACKET_BYTES], at: usize) -> Duration {
    let span = bytes[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    Duration::from_nanos((u64::from(span) * 1_000_000_000) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01.
    const FLOOR: u64 = 1_767_225_600;
    const BOUNDS: Bounds = Bounds::from_floor(FLOOR);

    fn reply(change: impl FnOnce(&mut [u8; PACKET_BYTES])) -> Result<Reply, Refusal> {
        let mut bytes = [0; PACKET_BYTES];
        bytes[0] = 0b00_100_100;
        bytes[1] = 2;
        bytes[5] = 1; // one second
        bytes[10] = 0x80; // half a second
        bytes[24..32].copy_from_slice(&7_u64.to_be_bytes());
        bytes[32..40].copy_from_slice(&at(FLOOR + 3600).to_be_bytes());
        bytes[40..48].copy_from_slice(&(at(FLOOR + 3600) | 0x8000_0000).to_be_bytes());
        change(&mut bytes);
        judge(&bytes, 7, BOUNDS)
    }

    fn at(seconds: u64) -> u64 {
        (seconds + UNIX_IN_NTP) << 32
    }

    fn at_time(seconds: u64) -> Result<Reply, Refusal> {
        reply(|bytes| {
            bytes[32..40].copy_from_slice(&at(seconds).to_be_bytes());
            bytes[40..48].copy_from_slice(&at(seconds).to_be_bytes());
        })
    }

    #[test]
    fn a_good_reply_is_read() {
        let read = reply(|_| {}).unwrap();
        assert_eq!((read.stratum, read.root_delay), (2, Duration::from_secs(1)));
        assert_eq!(read.root_dispersion, Duration::from_millis(500));
        assert_eq!(read.received, i128::from(FLOOR + 3600) * NANOSECONDS);
        assert_eq!(read.transmitted - read.received, NANOSECONDS / 2);
    }

    #[test]
    fn the_request_tells_nothing_but_its_number() {
        let bytes = request(0x0102_0304_0506_0708);
        assert_eq!(bytes[0], 0x23);
        assert!(bytes[1..40].iter().all(|byte| *byte == 0));
        assert_eq!(bytes[40..], [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn each_reply_that_is_no_answer_is_refused_with_its_reason() {
        assert_eq!(judge(&[0x24; 47], 7, BOUNDS), Err(Refusal::Short(47)));
        assert_eq!(reply(|bytes| bytes[0] = 0b00_010_100), Err(Refusal::Version(2)));
        assert_eq!(reply(|bytes| bytes[0] = 0b00_100_011), Err(Refusal::Mode(3)));
        assert_eq!(reply(|bytes| bytes[31] ^= 1), Err(Refusal::OtherQuestion));
        assert_eq!(reply(|bytes| bytes[0] |= 0xc0), Err(Refusal::Unsynchronised));
        assert_eq!(reply(|bytes| bytes[1] = 16), Err(Refusal::Unsynchronised));
        assert_eq!(reply(|bytes| bytes[32..40].fill(0)), Err(Refusal::NoTime));
        assert_eq!(reply(|bytes| bytes[40..48].fill(0)), Err(Refusal::NoTime));
        assert_eq!(
            reply(|bytes| bytes[32..40].copy_from_slice(&at(FLOOR + 3601).to_be_bytes())),
            Err(Refusal::Backwards)
        );
    }

    #[test]
    fn a_server_that_wants_rest_is_heard_only_with_the_right_number() {
        let kiss = |code: &[u8; 4], number: u8| {
            reply(|bytes| {
                bytes[1] = 0;
                bytes[12..16].copy_from_slice(code);
                bytes[31] = number;
            })
        };
        assert_eq!(kiss(b"DENY", 7), Err(Refusal::Kiss(Kiss::Deny)));
        assert_eq!(kiss(b"RSTR", 7), Err(Refusal::Kiss(Kiss::Deny)));
        assert_eq!(kiss(b"RATE", 7), Err(Refusal::Kiss(Kiss::Rate)));
        assert_eq!(kiss(b"DENY", 8), Err(Refusal::OtherQuestion));
        let words = kiss(b"\x1b[2J", 7).unwrap_err().to_string();
        assert_eq!(words, "it refuses to be asked: \\x1b[2J");
    }

    #[test]
    fn the_time_lies_between_the_build_and_twenty_years_after_it() {
        let year = SECONDS_A_YEAR;
        assert!(at_time(FLOOR).is_ok());
        assert_eq!(at_time(FLOOR - 1), Err(Refusal::BeforeFloor { hours: 1 }));
        assert!(at_time(FLOOR + 20 * year).is_ok());
        assert!(matches!(at_time(FLOOR + 20 * year + 1), Err(Refusal::TooLate { .. })));
        assert!(matches!(at_time(FLOOR - 10 * year), Err(Refusal::BeforeFloor { .. })));
        assert!(matches!(at_time(0), Err(Refusal::BeforeFloor { .. })), "1970");
    }

    #[test]
    fn the_seconds_that_begin_anew_in_2036_are_a_day_like_any_other() {
        let turn = (1_u64 << 32) - UNIX_IN_NTP;
        for seconds in [turn - 1, turn + 1, turn + 86_400] {
            assert_eq!(at_time(seconds).unwrap().transmitted, i128::from(seconds) * NANOSECONDS);
        }
    }
}
