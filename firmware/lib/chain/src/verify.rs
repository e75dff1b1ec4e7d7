//! Says whether a chain and its tracks are as they were sealed, and if not, where they break and why. It holds one block in
//! memory at a time, changes nothing, and believes no key but the one that the caller expects.

use crate::hash::{Hash, Hasher};
use crate::key::DeviceKey;
use crate::line::{BLOCK_BYTES, Block, Header, LINE_BYTES, Line};
use crate::lines::{LineReader, ReadFault};
use crate::state::{Fault, State, TrackState};
use crate::text::{Text, TrackName};
use crate::time::Utc;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// The most breaks that are told; all of them are counted.
pub const MOST_BREAKS: usize = 16;
/// The most files beside a chain that are looked at.
const MOST_FILES: usize = 4096;

/// Where the tracks of a chain are.
pub trait Tracks {
    /// How long a track is in bytes; none when there is no such file.
    fn bytes(&mut self, track: &TrackName) -> io::Result<Option<u64>>;
    /// Reads from a byte on; 0 at the end.
    fn read_at(&mut self, track: &TrackName, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// The names of all that lies beside the chain.
    fn names(&mut self) -> io::Result<Vec<String>>;
}

/// Tracks in a folder. Only plain files of it are opened, and no link is followed.
#[derive(Debug)]
pub struct FolderTracks {
    folder: PathBuf,
    open: BTreeMap<TrackName, File>,
}

impl FolderTracks {
    /// Of that folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), open: BTreeMap::new() }
    }

    fn file(&mut self, track: &TrackName) -> io::Result<Option<&File>> {
        if !self.open.contains_key(track) {
            let path = self.folder.join(track.as_str());
            match path.symlink_metadata() {
                Ok(facts) if facts.is_file() => {
                    self.open.insert(track.clone(), File::open(path)?);
                }
                Ok(_) => return Err(io::Error::other("it is no plain file")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(self.open.get(track))
    }
}

impl Tracks for FolderTracks {
    fn bytes(&mut self, track: &TrackName) -> io::Result<Option<u64>> {
        self.file(track)?.map(|file| file.metadata().map(|facts| facts.len())).transpose()
    }

    fn read_at(&mut self, track: &TrackName, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file(track)?.map_or(Ok(0), |file| file.read_at(buffer, offset))
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.folder.read_dir()?.take(MOST_FILES) {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != crate::FILE {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Whose chain it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This device's.
    Key(DeviceKey),
    /// That of the key whose fingerprint this is ([`DeviceKey::fingerprint`]): its hash.
    Fingerprint(Hash),
    /// Of whatever key its header names. That proves that nothing was changed since, and not who made it.
    FirstSight,
}

/// What is known of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is the expected one.
    Known,
    /// It was seen here for the first time: compare its fingerprint.
    FirstSight,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the chain's line, from 1; 0 when it is in no line.
    pub line: u64,
    /// The number of the block, from 1; 0 when it is in none.
    pub block: u64,
    /// Which file.
    pub track: Option<TrackName>,
    /// From which byte of it.
    pub from: u64,
    /// To which byte of it, exclusive.
    pub to: u64,
}

/// What is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    /// Bytes of the block are others than were sealed.
    Changed(Place),
    /// The file ends inside or before the block.
    Cut(Place),
    /// The file is not there.
    Missing(Place),
    /// There are bytes after the track's last block, and the chain has ended.
    Beyond(Place),
    /// A file that the chain does not name, and the chain has ended. A name that is none of a track's is shown as a text.
    Foreign(Text<128>),
    /// A line of the chain is wrong. What comes after it is not looked at.
    Line(Place, Fault),
    /// The last line has no end, or is far too long.
    Torn(Place),
    /// It is signed with another key than the expected one.
    Key(DeviceKey),
}

impl Break {
    /// Where, if it is a place.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Changed(place)
            | Self::Cut(place)
            | Self::Missing(place)
            | Self::Beyond(place)
            | Self::Line(place, _)
            | Self::Torn(place) => Some(place),
            Self::Foreign(_) | Self::Key(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, block, track, from, to } = self;
        match track {
            Some(track) if *block > 0 => write!(f, "{track}, block {block}, bytes {from} to {to}"),
            Some(track) => write!(f, "{track}, bytes {from} to {to}"),
            None => write!(f, "line {line} of the chain, after block {block}"),
        }
    }
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(place) => write!(f, "{place}: the data was changed, or moved here from elsewhere"),
            Self::Cut(place) => write!(f, "{place}: the file is cut, and this is not there"),
            Self::Missing(place) => write!(f, "{place}: the file is not there"),
            Self::Beyond(place) => write!(f, "{place}: this was added after the end"),
            Self::Foreign(name) => write!(f, "{name}: this file does not belong to the chain"),
            Self::Line(place, fault) => write!(f, "{place}: {fault}"),
            Self::Torn(place) => write!(f, "{place}: the line is cut"),
            Self::Key(key) => write!(f, "another device's key: {key}"),
        }
    }
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is as it was sealed, and the end is signed.
    Whole {
        /// Why it ended.
        end: Text<128>,
    },
    /// What is there is as it was sealed, but its end is not signed: it is still being written, or the last part was cut off.
    Unfinished,
    /// Something is wrong.
    Broken,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The chain's first line.
    pub header: Header,
    /// What is known of its key.
    pub trust: Trust,
    /// The verdict.
    pub verdict: Verdict,
    /// What is wrong: the first [`MOST_BREAKS`], in the order of the chain.
    pub breaks: Vec<Break>,
    /// All of them.
    pub broken: u64,
    /// So many blocks were read.
    pub blocks: u64,
    /// The number of the last block that a right signature stands for; 0 when there is none.
    pub signed: u64,
    /// When that was marked, by the device's clock.
    pub signed_at: Option<Utc>,
    /// How often the chain went on after a cut.
    pub resumed: u64,
    /// So many bytes lie beyond the last sealed blocks of a chain that has not ended.
    pub beyond: u64,
    /// So many bytes were sealed.
    pub bytes: u64,
    /// How far each track is sealed.
    pub tracks: BTreeMap<TrackName, TrackState>,
    /// The hash of the last line that was right.
    pub head: Hash,
}

impl Report {
    /// The number of the last block up to which all are whole and signed for: what is proved.
    pub fn proved(&self) -> u64 {
        let broken = self.breaks.iter().filter_map(|wrong| match wrong {
            Break::Changed(place) | Break::Cut(place) | Break::Missing(place) => {
                Some(place.block.saturating_sub(1))
            }
            _ => None,
        });
        broken.min().unwrap_or(u64::MAX).min(self.signed)
    }

    /// So many blocks at the end have no signature.
    pub fn unsigned(&self) -> u64 {
        self.blocks - self.signed
    }

    /// Whether this chain goes on where that one ended.
    pub fn continues(&self, earlier: &Self) -> bool {
        self.header.link == Some(earlier.head) && self.header.key == earlier.header.key
    }
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFault {
    /// It is no chain of this program.
    #[error("this is no chain: {0}")]
    NoChain(Fault),
    /// The chain cannot be read.
    #[error("the chain cannot be read: {0}")]
    Chain(io::Error),
    /// A track cannot be read.
    #[error("{track} cannot be read: {error}")]
    Track {
        /// Which.
        track: TrackName,
        /// Why.
        error: io::Error,
    },
    /// The folder cannot be read.
    #[error("what lies beside the chain cannot be read: {0}")]
    Folder(io::Error),
}

/// Reads a chain and its tracks from beginning to end.
pub fn verify(
    chain: impl BufRead,
    tracks: &mut impl Tracks,
    expected: &Expected,
) -> Result<Report, VerifyFault> {
    let mut lines = LineReader::new(chain);
    let state = match lines.next_line() {
        Ok(Some(line)) => State::begin(line).map_err(VerifyFault::NoChain)?,
        Ok(None) | Err(ReadFault::Torn | ReadFault::Long) => {
            return Err(VerifyFault::NoChain(Fault::NoHeader));
        }
        Err(ReadFault::Read(error)) => return Err(VerifyFault::Chain(error)),
    };
    let mut run = Run { breaks: Vec::new(), broken: 0, buffer: vec![0; block_bytes()] };
    let key = state.header().key;
    let is_expected = match expected {
        Expected::Key(expected) => *expected == key,
        Expected::Fingerprint(hash) => *hash == key.hash(),
        Expected::FirstSight => true,
    };
    let trust = if *expected == Expected::FirstSight { Trust::FirstSight } else { Trust::Known };
    if !is_expected {
        run.add(Break::Key(key));
        return Ok(run.report(&state, trust, 0));
    }
    let (state, is_read) = run.lines(lines, state, tracks)?;
    let beyond = if is_read { run.beside(&state, tracks)? } else { 0 };
    Ok(run.report(&state, trust, beyond))
}

fn block_bytes() -> usize {
    usize::try_from(BLOCK_BYTES).unwrap_or(LINE_BYTES)
}

/// What is kept while it is read.
struct Run {
    breaks: Vec<Break>,
    broken: u64,
    buffer: Vec<u8>,
}

impl Run {
    fn add(&mut self, wrong: Break) {
        self.broken += 1;
        if self.breaks.len() < MOST_BREAKS {
            self.breaks.push(wrong);
        }
    }

    /// All lines after the first, and the blocks they name; and whether they could be read to the end.
    fn lines(
        &mut self,
        mut lines: LineReader<impl BufRead>,
        mut state: State,
        tracks: &mut impl Tracks,
    ) -> Result<(State, bool), VerifyFault> {
        loop {
            let place = |state: &State| Place {
                line: state.lines() + 1,
                block: state.blocks(),
                track: None,
                from: 0,
                to: 0,
            };
            match lines.next_line() {
                Ok(None) => return Ok((state, true)),
                Ok(Some(line)) => match state.follow(line) {
                    Ok(Line::Block(block)) => self.block(&block, state.lines(), tracks)?,
                    Ok(_) => {}
                    Err(fault) => {
                        self.add(Break::Line(place(&state), fault));
                        return Ok((state, false));
                    }
                },
                Err(ReadFault::Torn | ReadFault::Long) => {
                    self.add(Break::Torn(place(&state)));
                    return Ok((state, false));
                }
                Err(ReadFault::Read(error)) => return Err(VerifyFault::Chain(error)),
            }
        }
    }

    fn block(&mut self, block: &Block, line: u64, tracks: &mut impl Tracks) -> Result<(), VerifyFault> {
        let fault = |error| VerifyFault::Track { track: block.track.clone(), error };
        let place =
            |from, to| Place { line, block: block.number, track: Some(block.track.clone()), from, to };
        let end = block.offset + block.length;
        let mut hasher = Hasher::default();
        let mut at = block.offset;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.buffer.len());
            let buffer = self.buffer.get_mut(..want).unwrap_or_default();
            let read = match tracks.read_at(&block.track, at, buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(fault(error)),
            };
            if read == 0 {
                let is_there = tracks.bytes(&block.track).map_err(fault)?.is_some();
                self.add(if is_there { Break::Cut(place(at, end)) } else { Break::Missing(place(at, end)) });
                return Ok(());
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
            at += u64::try_from(read).unwrap_or(0);
        }
        if hasher.finish() != block.sha256 {
            self.add(Break::Changed(place(block.offset, end)));
        }
        Ok(())
    }

    /// What lies beside the blocks: an error after the end, and a number before it.
    fn beside(&mut self, state: &State, tracks: &mut impl Tracks) -> Result<u64, VerifyFault> {
        let mut beyond = 0_u64;
        for name in tracks.names().map_err(VerifyFault::Folder)? {
            let track = TrackName::new(name.clone()).ok();
            let known = track.and_then(|track| state.tracks().get(&track).map(|state| (track, *state)));
            let Some((track, sealed)) = known else {
                if state.end().is_some() {
                    self.add(Break::Foreign(Text::of(&name)));
                }
                continue;
            };
            let bytes = match tracks.bytes(&track) {
                Ok(bytes) => bytes.unwrap_or(0),
                Err(error) => return Err(VerifyFault::Track { track, error }),
            };
            let more = bytes.saturating_sub(sealed.bytes);
            beyond = beyond.saturating_add(more);
            if more > 0 && state.end().is_some() {
                self.add(Break::Beyond(Place {
                    line: 0,
                    block: 0,
                    track: Some(track),
                    from: sealed.bytes,
                    to: bytes,
                }));
            }
        }
        Ok(beyond)
    }

    fn report(self, state: &State, trust: Trust, beyond: u64) -> Report {
        let verdict = match state.end() {
            _ if self.broken > 0 => Verdict::Broken,
            Some(end) if state.is_whole() => Verdict::Whole { end: end.clone() },
            _ => Verdict::Unfinished,
        };
        let (signed, signed_at) = state.signed().map_or((0, None), |(blocks, time)| (blocks, Some(time)));
        Report {
            trust,
            verdict,
            breaks: self.breaks,
            broken: self.broken,
            blocks: state.blocks(),
            signed,
            signed_at,
            resumed: state.resumed(),
            beyond,
            bytes: state.tracks().values().map(|track| track.bytes).sum(),
            tracks: state.tracks().clone(),
            head: state.head(),
            header: state.header().clone(),
        }
    }
}
