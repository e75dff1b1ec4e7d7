//! What is left of a chain after a cut; it drops nothing but a last line that was not written whole, and never takes a chain for
//! one that was cut when a fault is inside.

use crate::line::{Line, LineFault};
use crate::lines::{LineReader, ReadFault};
use crate::state::{Fault, State};
use crate::text::TrackName;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Why a chain cannot go on. What is there stays as it is; a new chain is the remedy.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryFault {
    /// Not even the header is whole.
    #[error("nothing of the chain is whole: {0}")]
    Nothing(Fault),
    /// A line is wrong, and others stand after it: that is no cut.
    #[error(
        "line {line} of the chain is wrong, and others come after it: {fault}. Begin another chain and keep this one"
    )]
    Inside {
        /// Its number, from 1.
        line: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// A track is shorter than what was sealed of it.
    #[error(
        "{track} has {found} bytes, and {sealed} of it were sealed. Begin another chain and keep this one"
    )]
    Short {
        /// Which.
        track: TrackName,
        /// So many were sealed.
        sealed: u64,
        /// So many are there.
        found: u64,
    },
    /// The file cannot be read.
    #[error("the chain cannot be read: {0}")]
    Read(io::Error),
}

/// A chain as it was found.
#[derive(Debug)]
pub struct Recovered {
    state: State,
    valid: u64,
    torn: u64,
}

impl Recovered {
    /// Reads a chain's file. A last line that was not written whole is dropped: it has no end, or cannot be read. What is more
    /// than that is no cut, and an error.
    pub fn read(file: impl BufRead) -> Result<Self, RecoveryFault> {
        let mut lines = LineReader::new(file);
        let nothing = || RecoveryFault::Nothing(Fault::NoHeader);
        let mut state = match lines.next_line() {
            Ok(Some(line)) => State::begin(line).map_err(RecoveryFault::Nothing)?,
            Ok(None) | Err(ReadFault::Torn | ReadFault::Long) => return Err(nothing()),
            Err(ReadFault::Read(error)) => return Err(RecoveryFault::Read(error)),
        };
        let mut valid = lines.taken();
        loop {
            let (fault, is_ended) = match lines.next_line() {
                Ok(None) => return Ok(Self { state, valid, torn: 0 }),
                Ok(Some(line)) => match state.follow(line) {
                    Ok(_) => {
                        valid = lines.taken();
                        continue;
                    }
                    // A line that reads well was written so, by whomever: it is not what a cut leaves.
                    Err(fault) if !matches!(fault, Fault::Line(_)) => {
                        return Err(RecoveryFault::Inside { line: state.lines() + 1, fault });
                    }
                    Err(fault) => (fault, true),
                },
                Err(ReadFault::Torn) => (Fault::Line(LineFault::Malformed), false),
                Err(ReadFault::Long) => (Fault::Line(LineFault::Long), false),
                Err(ReadFault::Read(error)) => return Err(RecoveryFault::Read(error)),
            };
            let (mut tail, rest) = lines.into_rest();
            if is_ended {
                tail.push(b'\n');
            }
            let Some(torn) = torn(tail, rest).map_err(RecoveryFault::Read)? else {
                return Err(RecoveryFault::Inside { line: state.lines() + 1, fault });
            };
            return Ok(Self { state, valid, torn });
        }
    }

    /// Reads a chain's file and cuts what is to be dropped off. The file is given back as [`crate::Writer::resume`] wants it.
    pub fn open(path: &Path) -> Result<(File, Self), RecoveryFault> {
        let file = File::options().read(true).append(true).open(path).map_err(RecoveryFault::Read)?;
        let recovered = Self::read(BufReader::new(&file))?;
        if recovered.torn > 0 {
            file.set_len(recovered.valid).and_then(|()| file.sync_all()).map_err(RecoveryFault::Read)?;
        }
        Ok((file, recovered))
    }

    /// How far it is sealed.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// So many bytes of the file are whole lines. It is to be cut to that length before it goes on.
    pub fn valid_bytes(&self) -> u64 {
        self.valid
    }

    /// So many bytes after them are to be dropped.
    pub fn torn_bytes(&self) -> u64 {
        self.torn
    }

    /// How many bytes of a track that is `found` bytes long lie beyond its last sealed block.
    pub fn beyond(&self, track: &TrackName, found: u64) -> Result<u64, RecoveryFault> {
        let sealed = self.state.tracks().get(track).map_or(0, |track| track.bytes);
        found.checked_sub(sealed).ok_or_else(|| RecoveryFault::Short { track: track.clone(), sealed, found })
    }

    pub(crate) fn into_state(self) -> State {
        self.state
    }
}

/// How long a tail is, its beginning given, if a cut may have left it: no line stands in it, and it is short. What a file system
/// had no time to write may read as zeros, up to a page or so.
fn torn(mut tail: Vec<u8>, rest: impl Read) -> io::Result<Option<u64>> {
    const MOST: u64 = 64 * 1024;
    rest.take(MOST).read_to_end(&mut tail)?;
    let length = u64::try_from(tail.len()).unwrap_or(u64::MAX);
    let has_line = tail.split(|byte| *byte == b'\n').skip(1).any(|line| Line::parse(line).is_ok());
    Ok((!has_line && length < MOST).then_some(length))
}
