//! ttyrec frames: a 12-byte little-endian header (seconds, microseconds, length), then that many bytes as the terminal got
//! them; no frame is empty, none is longer than [`FRAME_BYTES`], and no time is before the one before it.
//!
//! That is what the programs `ttyrec`, `ttyplay` and `ttytime` read and write. Nothing is added: who has no tool of ours plays a
//! recording with theirs.

use std::io::{self, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest frame that is written, in bytes of data.
pub const FRAME_BYTES: usize = 32 * 1024;
/// The longest that is read: other programs write longer ones.
pub const READ_BYTES: usize = 1024 * 1024;
/// The bytes of a header.
pub const HEADER_BYTES: usize = 12;
/// Bounds of a terminal's size that is announced.
pub const MOST_ROWS: u16 = 500;
/// See [`MOST_ROWS`].
pub const MOST_COLUMNS: u16 = 1000;

/// The size of a terminal, in characters: 1 to [`MOST_ROWS`] rows and 1 to [`MOST_COLUMNS`] columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "(u16, u16)", into = "(u16, u16)")]
pub struct Size {
    rows: u16,
    columns: u16,
}

impl Size {
    /// Takes a size, or the nearest that is in bounds.
    pub fn clamped(rows: u32, columns: u32) -> Self {
        let clamp = |value: u32, most: u16| u16::try_from(value).unwrap_or(most).clamp(1, most);
        Self { rows: clamp(rows, MOST_ROWS), columns: clamp(columns, MOST_COLUMNS) }
    }

    /// Rows.
    pub fn rows(self) -> u16 {
        self.rows
    }

    /// Columns.
    pub fn columns(self) -> u16 {
        self.columns
    }

    /// The sequence that announces it: `ESC [ 8 ; rows ; columns t` (xterm's control sequences, "window manipulation").
    pub fn announcement(self) -> Vec<u8> {
        format!("\x1b[8;{};{}t", self.rows, self.columns).into_bytes()
    }

    /// The size that a frame announces, when it is an announcement and nothing else. Out of bounds is brought into them.
    pub fn announced(data: &[u8]) -> Option<Self> {
        let body = data.strip_prefix(b"\x1b[8;")?.strip_suffix(b"t")?;
        let (rows, columns) = std::str::from_utf8(body).ok()?.split_once(';')?;
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        Some(Self::clamped(number(rows)?, number(columns)?))
    }
}

impl TryFrom<(u16, u16)> for Size {
    type Error = &'static str;

    fn try_from((rows, columns): (u16, u16)) -> Result<Self, Self::Error> {
        let size = Self::clamped(rows.into(), columns.into());
        if (size.rows, size.columns) == (rows, columns) { Ok(size) } else { Err("a size out of bounds") }
    }
}

impl From<Size> for (u16, u16) {
    fn from(size: Size) -> Self {
        (size.rows, size.columns)
    }
}

/// The time of the frames of a recording: fixed to the clock of the day once, and monotonic from there, whatever is done to
/// that clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    day: Duration,
    anchor: Duration,
    last: Duration,
}

impl Clock {
    /// It was `day` by the clock of the day when the monotonic clock said `anchor`.
    pub fn new(day: SystemTime, anchor: Duration) -> Self {
        Self { day: day.duration_since(UNIX_EPOCH).unwrap_or_default(), anchor, last: anchor }
    }

    /// Takes the monotonic clock's time. What is before the last one counts as that one.
    pub fn tick(&mut self, now: Duration) -> Moment {
        self.last = self.last.max(now);
        let after = self.last.saturating_sub(self.anchor);
        Moment { since_1970: self.day.saturating_add(after), after }
    }
}

/// An instant of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Since 1970, by the clock of the day as it was at the beginning.
    pub since_1970: Duration,
    /// Since the beginning.
    pub after: Duration,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Since 1970.
    pub time: Duration,
    /// At least one byte.
    pub data: Vec<u8>,
}

/// Appends frames of data to a buffer: as many as it takes, and none when there is no data.
pub fn encode(time: Duration, data: &[u8], to: &mut Vec<u8>) {
    // Beyond the year 2106 the format has no time.
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    for part in data.chunks(FRAME_BYTES) {
        let length = u32::try_from(part.len()).unwrap_or(0);
        for number in [seconds, time.subsec_micros(), length] {
            to.extend_from_slice(&number.to_le_bytes());
        }
        to.extend_from_slice(part);
    }
}

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameFault {
    /// The file ends inside of a frame.
    #[error("frame {0} is cut: the recording ends inside of it")]
    Cut(u64),
    /// A header says what none says.
    #[error("frame {0} is none: its header is out of bounds, so this is no ttyrec or was changed")]
    Header(u64),
    /// The file cannot be read.
    #[error("the recording cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// Reads frames one at a time. It holds one.
#[derive(Debug)]
pub struct FrameReader<R> {
    from: R,
    frame: Frame,
    count: u64,
    bytes: u64,
}

impl<R: Read> FrameReader<R> {
    /// Of a reader, which should be buffered.
    pub fn new(from: R) -> Self {
        Self { from, frame: Frame { time: Duration::ZERO, data: Vec::new() }, count: 0, bytes: 0 }
    }

    /// So many frames were read.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// So many bytes of the file were read as whole frames.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next frame, or none at the end. Not to be called again after an error. A time before the last one counts as that
    /// one: other programs' clocks step.
    pub fn next_frame(&mut self) -> Result<Option<&Frame>, FrameFault> {
        let number = self.count + 1;
        let mut header = [0; HEADER_BYTES];
        match filled(&mut self.from, &mut header)? {
            0 => return Ok(None),
            HEADER_BYTES => {}
            _ => return Err(FrameFault::Cut(number)),
        }
        let number_at = |index| {
            let bytes: [u8; 4] = *header.as_chunks().0.get(index).unwrap_or(&[0; 4]);
            u32::from_le_bytes(bytes)
        };
        let (seconds, micros) = (number_at(0), number_at(1));
        let length = usize::try_from(number_at(2)).unwrap_or(usize::MAX);
        if length == 0 || length > READ_BYTES || micros >= 1_000_000 {
            return Err(FrameFault::Header(number));
        }
        let time = Duration::new(seconds.into(), micros * 1000);
        let mut data = std::mem::take(&mut self.frame.data);
        data.clear();
        // Grown by what is there: a header alone takes no memory.
        let read = self.from.by_ref().take(u64::try_from(length).unwrap_or(0)).read_to_end(&mut data)?;
        self.frame.data = data;
        if read < length {
            return Err(FrameFault::Cut(number));
        }
        self.frame.time = self.frame.time.max(time);
        self.count = number;
        self.bytes += u64::try_from(HEADER_BYTES + length).unwrap_or(0);
        Ok(Some(&self.frame))
    }
}

/// Reads until the buffer is full or there is no more. So many bytes are in it then.
pub(crate) fn filled(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_were_written_and_none_is_empty_or_too_long() {
        let mut bytes = Vec::new();
        encode(Duration::new(1, 999_999_999), b"a", &mut bytes);
        assert_eq!(bytes, b"\x01\0\0\0\x3f\x42\x0f\0\x01\0\0\0a");
        encode(Duration::new(2, 0), b"", &mut bytes);
        assert_eq!(bytes.len(), 13);
        encode(Duration::new(2, 0), &vec![7; FRAME_BYTES + 1], &mut bytes);
        let mut reader = FrameReader::new(bytes.as_slice());
        let mut lengths = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            lengths.push(frame.data.len());
        }
        assert_eq!(lengths, [1, FRAME_BYTES, 1]);
        assert_eq!(reader.bytes(), bytes.len() as u64);
    }

    #[test]
    fn what_is_cut_or_no_frame_is_told_with_its_number() {
        let mut bytes = Vec::new();
        encode(Duration::new(1, 0), b"one", &mut bytes);
        encode(Duration::new(2, 0), b"two", &mut bytes);
        for length in 16..bytes.len() {
            let mut reader = FrameReader::new(&bytes[..length]);
            assert!(reader.next_frame().unwrap().is_some());
            assert!(matches!(reader.next_frame(), Err(FrameFault::Cut(2))));
            assert_eq!(reader.bytes(), 15);
        }
        for (at, value) in [(8, 0), (11, 1), (7, 1)] {
            let mut wrong = bytes.clone();
            wrong[at] = value;
            assert!(
                matches!(FrameReader::new(wrong.as_slice()).next_frame(), Err(FrameFault::Header(1))),
                "{at}"
            );
        }
    }

    #[test]
    fn no_time_steps_back_whatever_the_clocks_do() {
        let mut clock = Clock::new(UNIX_EPOCH + Duration::from_secs(100), Duration::from_secs(7));
        let times: Vec<_> =
            [8, 6, 9, 0, 9].map(|now| clock.tick(Duration::from_secs(now)).since_1970.as_secs()).into();
        assert_eq!(times, [101, 101, 102, 102, 102]);
        let mut bytes = Vec::new();
        encode(Duration::from_secs(9), b"a", &mut bytes);
        encode(Duration::from_secs(8), b"b", &mut bytes);
        let mut reader = FrameReader::new(bytes.as_slice());
        reader.next_frame().unwrap();
        assert_eq!(reader.next_frame().unwrap().unwrap().time, Duration::from_secs(9));
    }

    #[test]
    fn a_size_is_announced_by_a_whole_frame_only_and_is_bounded() {
        let size = Size::clamped(24, 80);
        assert_eq!(size.announcement(), b"\x1b[8;24;80t");
        assert_eq!(Size::announced(b"\x1b[8;24;80t"), Some(size));
        assert_eq!(Size::announced(b"\x1b[8;0;99999t"), Some(Size::clamped(1, 1000)));
        for other in
            [b"\x1b[8;24;80tx".as_slice(), b"x\x1b[8;24;80t", b"\x1b[8;24t", b"\x1b[8;+4;80t", b"\x1b[8;;t"]
        {
            assert_eq!(Size::announced(other), None);
        }
        assert_eq!(Size::clamped(u32::MAX, 0), Size { rows: 500, columns: 1 });
    }
}
