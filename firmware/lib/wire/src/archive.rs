//! What is said on a connection on which the appliance asks for its recordings back, and its bounds; it never keeps one and never verifies one.
//!
//! ```text
//!   appliance                          server
//!   ticket ([`crate::ticket`])     ─►
//!                                  ◄─  `+`
//!   List(before)                   ─►
//!                                  ◄─  Kept, Kept, …, Listed      or Refused
//!   or Fetch(name)                 ─►
//!                                  ◄─  Bundle(bytes), Part, Part, … until there are so many      at any time Refused
//! ```
//!
//! One question a connection, and only of the system that the ticket was given to. A bundle is a tar file of the form that `verify`
//! takes. Frames are those of [`crate::upload`].

use crate::line::Line;
use crate::upload::{DATA_BYTES, RecordingName};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::fmt;

pub use crate::upload::{FRAME_BYTES, UploadError as ArchiveError, encode, parse, receive, send};

/// The most recordings in the answer to one [`Ask::List`].
pub const LISTED_MOST: usize = 50;
/// The most bytes of one [`Part`].
pub const PART_BYTES: usize = DATA_BYTES;
/// The longest bundle, in bytes: far more than a server takes of one recording where its settings say nothing else (16 GiB).
pub const BUNDLE_BYTES: u64 = 1 << 40;
/// Each side moves on within so many seconds, or the connection ends.
pub const MOVES_WITHIN: u64 = 60;

/// From the appliance, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Which recordings of this system are there, the latest first: all, or those with an earlier name than this.
    List(Option<RecordingName>),
    /// One of them.
    Fetch(RecordingName),
}

/// From the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A recording, to [`Ask::List`] (at most [`LISTED_MOST`]).
    Kept(Box<Kept>),
    /// These were they.
    Listed {
        /// There are earlier ones.
        more: bool,
    },
    /// To [`Ask::Fetch`]: so many bytes follow (1 to [`BUNDLE_BYTES`]).
    Bundle(u64),
    /// The next of them.
    Part(Part),
    /// There is none of that name. Whose it may be else is nobody's business.
    Unknown,
    /// Nothing, or nothing more.
    Refused {
        /// Why, as a sentence.
        why: Line<256>,
        /// What can be done, as a sentence.
        remedy: Line<256>,
    },
}

/// A recording that the server keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its name.
    pub name: RecordingName,
    /// When it began, in milliseconds since 1970 by the system's clock.
    pub began: u64,
    /// How long it is, as far as it is there, in milliseconds.
    pub milliseconds: u64,
    /// Bytes that are there.
    pub bytes: u64,
    /// Who came in; empty when that is not there yet.
    pub engineer: Line<256>,
    /// What the support session was called.
    pub session: Line<256>,
    /// Why it ended; none when its end is not there.
    pub ended: Option<Line<256>>,
    /// Its end is signed: nothing more of it can come.
    pub whole: bool,
    /// It is signed by a key by which the server knows this system's recordings. It was by all that came, but an operator may have
    /// forgotten a key since.
    pub verified: bool,
}

/// Bytes of a bundle: 1 to [`PART_BYTES`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ByteBuf", into = "ByteBuf")]
pub struct Part(Vec<u8>);

impl Part {
    /// None when they are out of bounds.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (1..=PART_BYTES).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Part {
    /// Without what was recorded.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Part({} bytes)", self.0.len())
    }
}

impl TryFrom<ByteBuf> for Part {
    type Error = &'static str;

    fn try_from(bytes: ByteBuf) -> Result<Self, Self::Error> {
        Self::new(bytes.into_vec()).ok_or("a part of a bundle out of bounds")
    }
}

impl From<Part> for ByteBuf {
    fn from(part: Part) -> Self {
        Self::from(part.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_part_and_the_longest_line_of_a_list_fit_a_frame_and_larger_ones_are_none() {
        let part = Answer::Part(Part::new(vec![0xff; PART_BYTES]).unwrap());
        let bytes = encode(&part).unwrap();
        assert_eq!(parse::<Answer>(&bytes[4..]).unwrap(), part);
        assert!(!format!("{part:?}").contains("255"));
        assert!(Part::new(Vec::new()).is_none() && Part::new(vec![0; PART_BYTES + 1]).is_none());
        for wrong in [0, PART_BYTES + 1] {
            let said = [&[3][..], &postcard::to_stdvec(&ByteBuf::from(vec![0; wrong])).unwrap()].concat();
            assert!(matches!(parse::<Answer>(&said), Err(ArchiveError::Malformed)), "{wrong}");
        }
        let long = Line::of(&"x".repeat(256));
        let kept = Answer::Kept(Box::new(Kept {
            name: RecordingName::parse(&"x".repeat(40)).unwrap(),
            began: u64::MAX,
            milliseconds: u64::MAX,
            bytes: u64::MAX,
            engineer: long.clone(),
            session: long.clone(),
            ended: Some(long),
            whole: true,
            verified: false,
        }));
        assert_eq!(parse::<Answer>(&encode(&kept).unwrap()[4..]).unwrap(), kept);
    }

    #[test]
    fn a_question_for_what_is_no_recordings_name_cannot_be_said() {
        for wrong in ["..", "../sn-2/x", "/a", ""] {
            let said = postcard::to_stdvec(&(1_u8, wrong)).unwrap();
            assert!(matches!(parse::<Ask>(&said), Err(ArchiveError::Malformed)), "{wrong:?}");
        }
        let behind = [&encode(&Ask::List(None)).unwrap()[4..], &[0]].concat();
        assert!(matches!(parse::<Ask>(&behind), Err(ArchiveError::Malformed)));
    }
}
