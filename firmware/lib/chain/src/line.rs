//! The lines of a chain, each with its one spelling; whether a line fits the one before it is [`crate::State`]'s to know.

use crate::hash::Hash;
use crate::key::{DeviceKey, Signature};
use crate::text::{Text, TrackName};
use crate::time::Utc;
use serde::{Deserialize, Serialize};

/// The only version there is.
pub const VERSION: u32 = 1;
/// The longest line, in bytes, without its end.
pub const LINE_BYTES: usize = 1024;
/// The longest block, in bytes. A break is found to a block, so a short one tells the place better.
pub const BLOCK_BYTES: u64 = 64 * 1024;
/// The most blocks of a chain: 1 TiB of data in the longest ones.
pub const MOST_BLOCKS: u64 = 1 << 24;
/// The most bytes of a track.
pub const MOST_OFFSET: u64 = 1 << 40;
/// The most tracks of a chain.
pub const MOST_TRACKS: usize = 256;

/// What sort of chain it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Of one engineer's connection.
    Recording,
    /// Of the appliance's audit log.
    Audit,
}

impl Kind {
    /// As it stands in the header and in what is signed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Audit => "audit",
        }
    }
}

/// Why bytes are no line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Longer than [`LINE_BYTES`].
    #[error("the line is longer than {LINE_BYTES} bytes")]
    Long,
    /// It is no JSON of a line, or a value in it is out of bounds.
    #[error("the line cannot be read")]
    Malformed,
    /// It says the same in another spelling.
    #[error("the line is not written as this program writes it")]
    Spelling,
}

/// A chain's first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub version: u32,
    /// What sort of chain.
    pub kind: Kind,
    /// By which it is known.
    pub id: Text<64>,
    /// The system it was made on.
    pub serial: Text<64>,
    /// Whose private half signs it.
    pub key: DeviceKey,
    /// When it began, by the device's clock.
    pub start: Utc,
    /// The hash of the last line of the chain that this one continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Hash>,
}

/// A block of a track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its number in the chain, from 1.
    pub number: u64,
    /// In which file.
    pub track: TrackName,
    /// From which byte.
    pub offset: u64,
    /// So many bytes: 1 to [`BLOCK_BYTES`].
    pub length: u64,
    /// Their hash.
    pub sha256: Hash,
    /// The hash of the line before.
    pub previous: Hash,
}

/// What is to be signed, and when it came to that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The number of the last block before it; 0 when there is none.
    pub blocks: u64,
    /// When, by the device's clock.
    pub time: Utc,
    /// Why the chain ends here. Nothing comes after it but its signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Text<128>>,
    /// The hash of the line before.
    pub previous: Hash,
}

/// The signature of a mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The hash of the mark's line.
    pub mark: Hash,
    /// Of [`crate::ToSign::bytes`].
    pub signature: Signature,
    /// The hash of the line before.
    pub previous: Hash,
}

/// The chain was cut, and goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// When, by the device's clock.
    pub time: Utc,
    /// So many bytes of a line that was not whole were dropped.
    pub torn: u64,
    /// So many bytes of tracks lay beyond the last sealed block.
    pub beyond: u64,
    /// The hash of the line before.
    pub previous: Hash,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "lowercase")]
pub enum Line {
    /// The first one.
    Header(Header),
    /// A block.
    Block(Block),
    /// What is to be signed.
    Mark(Mark),
    /// Its signature.
    Signature(Signed),
    /// The chain goes on after a cut.
    Resumed(Resumed),
}

impl Line {
    /// Reads a line without its end. It is exactly what [`Line::encode`] would make of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, LineFault> {
        if bytes.len() > LINE_BYTES {
            return Err(LineFault::Long);
        }
        let line: Self = serde_json::from_slice(bytes).map_err(|_| LineFault::Malformed)?;
        if !line.is_bounded() {
            return Err(LineFault::Malformed);
        }
        if line.encode() == bytes { Ok(line) } else { Err(LineFault::Spelling) }
    }

    /// The line's bytes, without its end.
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in it can fail to become JSON: there are no maps and no numbers but integers.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn is_bounded(&self) -> bool {
        match self {
            Self::Header(header) => header.version == VERSION,
            Self::Block(Block { number, offset, length, .. }) => {
                (1..=MOST_BLOCKS).contains(number)
                    && (1..=BLOCK_BYTES).contains(length)
                    && offset.checked_add(*length).is_some_and(|end| end <= MOST_OFFSET)
            }
            Self::Mark(mark) => mark.blocks <= MOST_BLOCKS,
            Self::Signature(_) => true,
            Self::Resumed(resumed) => resumed.torn <= MOST_OFFSET && resumed.beyond <= MOST_OFFSET,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        Block {
            number: 1,
            track: TrackName::new("events.jsonl").unwrap(),
            offset: 0,
            length: 5,
            sha256: Hash::of(b"hello"),
            previous: Hash::of(b""),
        }
    }

    #[test]
    fn a_line_has_one_spelling() {
        let line = Line::Block(block());
        let bytes = line.encode();
        assert_eq!(Line::parse(&bytes), Ok(line));
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with(
            r#"{"line":"block","number":1,"track":"events.jsonl","offset":0,"length":5,"sha256":"2cf2"#
        ));
        for other in [
            text.replace(":1,", ": 1,"),
            text.replace("events", "\\u0065vents"),
            text.replace('}', ",\"more\":1}"),
            text.replace("\"offset\":0,", "\"offset\":0,\"offset\":0,"),
            format!("{text} "),
        ] {
            assert!(Line::parse(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn numbers_out_of_bounds_are_no_line() {
        for wrong in [
            Block { number: 0, ..block() },
            Block { number: MOST_BLOCKS + 1, ..block() },
            Block { length: 0, ..block() },
            Block { length: BLOCK_BYTES + 1, ..block() },
            Block { offset: MOST_OFFSET, ..block() },
            Block { offset: u64::MAX, ..block() },
        ] {
            assert_eq!(Line::parse(&Line::Block(wrong).encode()), Err(LineFault::Malformed));
        }
        let text = String::from_utf8(Line::Block(block()).encode()).unwrap();
        for number in ["1.0", "1e0", "-1", "01", "18446744073709551616", "\"1\"", "null"] {
            let other = text.replace("\"number\":1", &format!("\"number\":{number}"));
            assert!(Line::parse(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn the_longest_line_fits_the_bound() {
        let worst = "\"".repeat(64);
        let header = Line::Header(Header {
            version: VERSION,
            kind: Kind::Recording,
            id: Text::new(worst.clone()).unwrap(),
            serial: Text::new(worst.clone()).unwrap(),
            key: DeviceKey([255; 32]),
            start: Utc::from_millis(253_402_300_799_999).unwrap(),
            link: Some(Hash::of(b"")),
        });
        let mark = Line::Mark(Mark {
            blocks: MOST_BLOCKS,
            time: Utc::from_millis(253_402_300_799_999).unwrap(),
            end: Some(Text::new(worst.repeat(2)).unwrap()),
            previous: Hash::of(b""),
        });
        let most = Line::Block(Block {
            number: MOST_BLOCKS,
            track: TrackName::new("x".repeat(64)).unwrap(),
            offset: MOST_OFFSET - BLOCK_BYTES,
            length: BLOCK_BYTES,
            ..block()
        });
        for line in [header, mark, most] {
            assert_eq!(Line::parse(&line.encode()), Ok(line));
        }
    }
}
