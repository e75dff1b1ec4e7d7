//! What is said of recordings: by the SSH daemon and the shells, what happens in an engineer's connection; by the recorder, what it
//! has kept. Types and their bounds only: it never records.
//!
//! One engineer's connection is one recording. What is to be recorded is said before it happens or before anybody sees it, and only
//! [`crate::Reply::Done`] says that it is kept: whoever gets anything else lets nothing more pass.

use crate::support::{GrantId, Level, Target};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The most bytes of output or input that are said at one time.
pub const PIECE_BYTES: usize = 64 * 1024;
/// The longest command, path or other text, in bytes.
pub const WORDS_BYTES: usize = 8 * 1024;
/// The most channels that one connection opens in its life.
pub const CHANNELS_MOST: u32 = 4_000;
/// The most recordings in one answer.
pub const LISTED_MOST: usize = 100;
/// The most bytes of a file in one answer.
pub const PART_BYTES: u32 = 128 * 1024;

/// The longest public key that recordings are encrypted to, in bytes.
pub const RECIPIENT_BYTES: usize = 128;

/// A recording's name: its folder's, 1 to 40 letters, digits and `-`, such as `20261127T014500Z-3fa9c01d`. They sort by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordingId(String);

impl RecordingId {
    /// Reads one; none when it is no such name.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        ((1..=40).contains(&text.len()) && text.bytes().all(fits)).then(|| Self(text.to_owned()))
    }

    /// It as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RecordingId {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(&self.0)
    }
}

impl TryFrom<String> for RecordingId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("this is no recording's name")
    }
}

impl From<RecordingId> for String {
    fn from(id: RecordingId) -> Self {
        id.0
    }
}

/// Whose connection it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingFacts {
    /// The grant's number and what it is called.
    pub grant: (GrantId, String),
    /// How closely the engineer is led.
    pub level: Level,
    /// His name, by the server's word.
    pub engineer: String,
    /// The name that he logged in by.
    pub login: String,
    /// From where, by the server's word.
    pub source: IpAddr,
    /// The system's name and its serial number.
    pub system: (String, String),
}

/// What an engineer's connection does.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordAsk {
    /// He is in: the recording begins.
    Begin(Box<RecordingFacts>),
    /// A channel is opened for this. Numbers count from 1 in a connection and are not used twice.
    Open {
        /// The channel's number.
        channel: u32,
        /// What for.
        what: RecordedUse,
    },
    /// The terminal has another size.
    Size {
        /// The channel's number.
        channel: u32,
        /// Columns and rows.
        size: (u16, u16),
    },
    /// A process has written this (at most [`PIECE_BYTES`]).
    Output {
        /// The channel's number.
        channel: u32,
        /// To its errors.
        errors: bool,
        /// What.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The engineer has sent this (at most [`PIECE_BYTES`]). What the terminal does not show is not kept, but only how long it was.
    Typed {
        /// The channel's number.
        channel: u32,
        /// The terminal echoes.
        echo: bool,
        /// What.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The channel is closed.
    Close {
        /// The channel's number.
        channel: u32,
        /// How.
        end: RecordedEnd,
    },
    /// The connection is over, for this reason (at most [`WORDS_BYTES`]).
    End(String),
}

impl std::fmt::Debug for RecordAsk {
    /// Without what was typed and shown: it may hold secrets.
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Begin(facts) => to.debug_tuple("Begin").field(facts).finish(),
            Self::Open { channel, .. } => write!(to, "Open({channel})"),
            Self::Size { channel, size } => write!(to, "Size({channel}, {size:?})"),
            Self::Output { channel, bytes, .. } => write!(to, "Output({channel}, {} bytes)", bytes.len()),
            Self::Typed { channel, bytes, .. } => write!(to, "Typed({channel}, {} bytes)", bytes.len()),
            Self::Close { channel, end } => write!(to, "Close({channel}, {end:?})"),
            Self::End(why) => to.debug_tuple("End").field(why).finish(),
        }
    }
}

/// What a channel is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordedUse {
    /// A terminal of this many columns and rows, with the command line or one command.
    Terminal {
        /// Columns and rows.
        size: (u16, u16),
        /// One command (at most [`WORDS_BYTES`]).
        command: Option<String>,
    },
    /// The command line, or one command, without a terminal.
    Command(Option<String>),
    /// Files, by SFTP or by the old way of scp.
    Files {
        /// scp's command.
        scp: Option<String>,
    },
    /// A connection from the appliance to a place of the array.
    Forward(Target),
}

/// How a channel has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordedEnd {
    /// The process, with this status.
    Exited(u8),
    /// The process, by this signal's number.
    Signalled(u8),
    /// A forward, after so many bytes from the engineer and to him.
    Carried {
        /// From him.
        sent: u64,
        /// To him.
        received: u64,
    },
    /// It was closed before it came to that.
    Cut,
}

/// What a shell process says of what it does for an engineer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// A file was written or read whole, or in part.
    File {
        /// To the appliance; otherwise from it.
        written: bool,
        /// Its path in the grant's folder (at most [`WORDS_BYTES`]; what is no UTF-8 is escaped).
        path: String,
        /// Bytes that were carried.
        carried: u64,
        /// The file's length after it.
        length: u64,
        /// SHA-256 of the whole file after it.
        sha256: [u8; 32],
    },
    /// A file or folder was made, removed, renamed or given other rights: in words (at most [`WORDS_BYTES`]).
    Change(String),
    /// `ssh` from the command line to a place of the array.
    Reached(Target),
}

/// A recording, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingLine {
    /// Its name.
    pub id: RecordingId,
    /// Whose; none when its facts cannot be read.
    pub facts: Option<RecordingFacts>,
    /// When it began, in seconds since 1970 by the clock of then.
    pub began: i64,
    /// How long it is, or has been until now, in milliseconds.
    pub milliseconds: u64,
    /// Whether it still runs.
    pub running: bool,
    /// How it ended, as a sentence; empty while it runs.
    pub end: String,
    /// The public key of whoever alone can read it; none when it is not encrypted.
    pub recipient: Option<String>,
    /// Its files and their lengths.
    pub files: Vec<(String, u64)>,
    /// The hash of the chain's last signed line; none before the first signature.
    pub head: Option<[u8; 32]>,
    /// Whether the server has it whole, by the server's word.
    pub confirmed: bool,
}

/// How much room recordings have, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecorderStatus {
    /// Recordings that are kept.
    pub kept: u32,
    /// Bytes that they take, and that are free, on the data partition.
    pub bytes: (u64, u64),
    /// Whether a new one would begin.
    pub takes: bool,
    /// What is wrong and what to do, as a sentence; empty when nothing is.
    pub trouble: String,
}

/// The most running recordings in one answer, and the most terminals of one of them.
pub const LIVE_MOST: usize = 32;
/// The longest text of [`LiveChannel::command`], in bytes; the rest of a longer one is cut off.
pub const LIVE_WORDS_BYTES: usize = 160;
/// The most columns and rows of a screen that is shown. A terminal that is larger is shown as far as that.
pub const SCREEN_MOST: (u16, u16) = (500, 200);
/// The most bytes of rows in one answer, as they are counted by [`ScreenRow::weight`]: it fits a frame of the bus.
pub const SCREEN_BYTES: usize = 192 * 1024;

/// A recording that runs, with its terminals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRecording {
    /// Its name.
    pub id: RecordingId,
    /// The number of the connection.
    pub connection: u64,
    /// Whose.
    pub facts: RecordingFacts,
    /// For how long, in milliseconds.
    pub milliseconds: u64,
    /// Why nothing more of it is kept, as a sentence; empty: it is.
    pub failed: String,
    /// Its terminals that are open (at most [`LIVE_MOST`]; the latest ones).
    pub channels: Vec<LiveChannel>,
}

/// A terminal of a connection that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveChannel {
    /// The channel's number.
    pub channel: u32,
    /// The one command that it is for (at most [`LIVE_WORDS_BYTES`]); none: a command line.
    pub command: Option<String>,
    /// Columns and rows, as the engineer's own terminal has them.
    pub size: (u16, u16),
}

/// A terminal as it looks, or what is different of it. No control character is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveScreen {
    /// What this answer goes up to: to be given as `after` the next time.
    pub revision: u64,
    /// More is different than fits an answer: ask on at once.
    pub more: bool,
    /// So many bytes of the terminal's output are not in it yet.
    pub behind: u64,
    /// Columns and rows (at most [`SCREEN_MOST`]).
    pub size: (u16, u16),
    /// Where the cursor is, as column and row from 0; none when it is not shown.
    pub cursor: Option<(u16, u16)>,
    /// The terminal has been closed: nothing more comes.
    pub over: bool,
    /// The rows that are different since then.
    pub rows: Vec<ScreenRow>,
}

/// A row of a screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenRow {
    /// Its number from 0.
    pub row: u16,
    /// What is in it from left to right, without what is blank at its end.
    pub runs: Vec<ScreenRun>,
}

impl ScreenRow {
    /// An upper bound of its bytes on the bus.
    pub fn weight(&self) -> usize {
        // Numbers and lengths are at most three bytes each, colours at most five.
        8 + self.runs.iter().map(|run| 24 + run.text.len()).sum::<usize>()
    }
}

/// Characters that look alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenRun {
    /// The characters, of which some take two columns.
    pub text: String,
    /// So many columns.
    pub columns: u16,
    /// How they look.
    pub look: ScreenLook,
}

/// How characters look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools)]
pub struct ScreenLook {
    /// The colour of the characters.
    pub foreground: ScreenColour,
    /// The colour behind them.
    pub background: ScreenColour,
    /// Bold.
    pub bold: bool,
    /// Faint.
    pub dim: bool,
    /// Slanted.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
    /// With both colours exchanged.
    pub inverse: bool,
}

/// A colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScreenColour {
    /// The terminal's own.
    #[default]
    Default,
    /// One of xterm's 256: 8 colours, the same bright, a cube of 216, and 24 greys.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recordings_name_leads_to_no_other_folder() {
        assert!(RecordingId::parse("20261127T014500Z-3fa9c01d").is_some());
        for wrong in ["", ".", "..", "a/b", "a\0", "a b", &"x".repeat(41), "ä"] {
            assert!(RecordingId::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn bytes_take_no_more_room_in_a_message_than_they_are() {
        let ask = RecordAsk::Output { channel: 1, errors: false, bytes: vec![0xff; PIECE_BYTES] };
        let said = postcard::to_stdvec(&ask).unwrap();
        assert!(said.len() <= PIECE_BYTES + 8, "{}", said.len());
        assert_eq!(postcard::from_bytes::<RecordAsk>(&said), Ok(ask));
    }

    #[test]
    fn what_was_typed_is_not_printed() {
        let ask = RecordAsk::Typed { channel: 1, echo: false, bytes: b"swordfish".to_vec() };
        assert!(!format!("{ask:?}").contains("swordfish") && !format!("{ask:?}").contains("115"));
    }

    #[test]
    fn the_heaviest_screen_fits_a_frame() {
        let look = ScreenLook {
            foreground: ScreenColour::Rgb(255, 255, 255),
            background: ScreenColour::Rgb(255, 255, 255),
            ..ScreenLook::default()
        };
        let run = ScreenRun { text: "\u{10ffff}".to_owned(), columns: u16::MAX, look };
        let row = ScreenRow { row: u16::MAX, runs: vec![run; usize::from(SCREEN_MOST.0)] };
        let rows = vec![row.clone(); SCREEN_BYTES / row.weight()];
        let screen = LiveScreen {
            revision: u64::MAX,
            more: true,
            behind: u64::MAX,
            size: SCREEN_MOST,
            cursor: Some(SCREEN_MOST),
            over: true,
            rows,
        };
        let reply = crate::Reply::Screen(Box::new(screen));
        assert!(crate::frame::encode(&crate::frame::Frame::Reply { id: u32::MAX, reply }).is_ok());
    }
}
