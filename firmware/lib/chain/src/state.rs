//! How far a chain has come, and whether a line is one that may come next: the same rules for writing, recovery and
//! verification; it never looks at the tracks themselves.

use crate::hash::Hash;
use crate::key::ToSign;
use crate::line::{Block, Header, Line, LineFault, MOST_BLOCKS, MOST_TRACKS, Mark};
use crate::text::{Text, TrackName};
use crate::time::Utc;
use std::collections::BTreeMap;

/// Why a line is not one that may stand where it does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error(transparent)]
    Line(#[from] LineFault),
    /// The file's first line is another one, or there is none.
    #[error("it does not begin with a header")]
    NoHeader,
    /// A header stands in the middle.
    #[error("a second header: lines of another chain were added")]
    SecondHeader,
    /// The hash of the line before is another one, though the number is right.
    #[error("it does not follow the line before it: one of the two was changed, or is from another chain")]
    Changed,
    /// The number is one that was there before.
    #[error("block {0} stands here again, or at the wrong place: lines were repeated or moved")]
    Repeated(u64),
    /// Numbers are left out.
    #[error("block {expected} should stand here and {found} does: lines were taken out or moved")]
    Missing {
        /// The next one in order.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// The offset is not the end of the track's last block.
    #[error("the block begins at byte {found} of its track, and the one before ended at {expected}")]
    Offset {
        /// The end of what is sealed.
        expected: u64,
        /// What the line says.
        found: u64,
    },
    /// A mark counts otherwise.
    #[error("it counts {found} blocks, and there are {expected}")]
    Count {
        /// So many were read.
        expected: u64,
        /// So many the line says.
        found: u64,
    },
    /// More than the bound.
    #[error("it has more than {MOST_TRACKS} tracks or {MOST_BLOCKS} blocks")]
    Many,
    /// A signature without its mark.
    #[error("a signature of something that does not stand before it")]
    NotMarked,
    /// The signature is not that key's, of that mark.
    #[error("the signature is wrong: what it stands for was changed, or somebody else made it")]
    Signature,
    /// Something comes after the end.
    #[error("something was added after the end")]
    AfterEnd,
}

/// How far one track is sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackState {
    /// So many bytes.
    pub bytes: u64,
    /// In so many blocks.
    pub blocks: u64,
    /// The number of the last of them.
    pub last: u64,
}

/// How far a chain has come. Its size is bounded by [`MOST_TRACKS`].
#[derive(Clone, Debug)]
pub struct State {
    header: Header,
    head: Hash,
    lines: u64,
    blocks: u64,
    tracks: BTreeMap<TrackName, TrackState>,
    mark: Option<(Hash, Mark)>,
    signed: Option<(u64, Utc)>,
    end: Option<Text<128>>,
    is_whole: bool,
    resumed: u64,
}

impl State {
    /// After the first line.
    pub fn begin(bytes: &[u8]) -> Result<Self, Fault> {
        let Line::Header(header) = Line::parse(bytes)? else { return Err(Fault::NoHeader) };
        Ok(Self {
            header,
            head: Hash::of(bytes),
            lines: 1,
            blocks: 0,
            tracks: BTreeMap::new(),
            mark: None,
            signed: None,
            end: None,
            is_whole: false,
            resumed: 0,
        })
    }

    /// After the next line, which is given back. After an error the state is that of the line before.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<Line, Fault> {
        let line = Line::parse(bytes)?;
        if self.is_whole {
            return Err(Fault::AfterEnd);
        }
        match &line {
            Line::Header(_) => return Err(Fault::SecondHeader),
            Line::Block(block) => self.block(block)?,
            Line::Mark(mark) => {
                self.may_add(mark.previous)?;
                if mark.blocks != self.blocks {
                    return Err(Fault::Count { expected: self.blocks, found: mark.blocks });
                }
                self.mark = Some((Hash::of(bytes), mark.clone()));
                self.end.clone_from(&mark.end);
            }
            Line::Signature(signed) => {
                if signed.previous != self.head {
                    return Err(Fault::Changed);
                }
                let Some((hash, mark)) = self.mark.as_ref().filter(|(hash, _)| *hash == signed.mark) else {
                    return Err(Fault::NotMarked);
                };
                let to_sign = ToSign { kind: self.header.kind, mark: *hash };
                if !self.header.key.verifies(&to_sign, &signed.signature) {
                    return Err(Fault::Signature);
                }
                self.signed = Some((mark.blocks, mark.time));
                self.is_whole = self.end.is_some();
                self.mark = None;
            }
            Line::Resumed(resumed) => {
                self.may_add(resumed.previous)?;
                self.resumed += 1;
            }
        }
        self.head = Hash::of(bytes);
        self.lines += 1;
        Ok(line)
    }

    fn may_add(&self, previous: Hash) -> Result<(), Fault> {
        if self.end.is_some() {
            return Err(Fault::AfterEnd);
        }
        if previous == self.head { Ok(()) } else { Err(Fault::Changed) }
    }

    fn block(&mut self, block: &Block) -> Result<(), Fault> {
        let expected = self.blocks + 1;
        // The number first: it tells what was done, where the hash tells only that something was.
        if block.number < expected {
            return Err(Fault::Repeated(block.number));
        }
        if block.number > expected {
            return Err(Fault::Missing { expected, found: block.number });
        }
        self.may_add(block.previous)?;
        let known = self.tracks.get(&block.track).copied();
        if known.is_none() && self.tracks.len() >= MOST_TRACKS || expected > MOST_BLOCKS {
            return Err(Fault::Many);
        }
        let mut track = known.unwrap_or_default();
        if block.offset != track.bytes {
            return Err(Fault::Offset { expected: track.bytes, found: block.offset });
        }
        track.bytes += block.length;
        track.blocks += 1;
        track.last = block.number;
        self.tracks.insert(block.track.clone(), track);
        self.blocks = expected;
        Ok(())
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The hash of the last line. It stands for the whole chain: kept elsewhere, it shows later whether anything was cut off.
    pub fn head(&self) -> Hash {
        self.head
    }

    /// So many lines, the header among them.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// So many blocks.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// How far each track is sealed.
    pub fn tracks(&self) -> &BTreeMap<TrackName, TrackState> {
        &self.tracks
    }

    /// Up to which block it is signed, and when that was marked, by the device's clock.
    pub fn signed(&self) -> Option<(u64, Utc)> {
        self.signed
    }

    /// The mark that waits for its signature.
    pub fn to_sign(&self) -> Option<ToSign> {
        self.mark.as_ref().map(|(hash, _)| ToSign { kind: self.header.kind, mark: *hash })
    }

    /// Why it ends, where it does; signed or not.
    pub fn end(&self) -> Option<&Text<128>> {
        self.end.as_ref()
    }

    /// Whether its end is signed, so that nothing can be added or taken away.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// How often it went on after a cut.
    pub fn resumed(&self) -> u64 {
        self.resumed
    }
}
