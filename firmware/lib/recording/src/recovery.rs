//! Closes a bundle that was cut by a kill or a power cut: what is whole is sealed, what was torn is dropped and told, and the
//! chain ends with *cut*. It never changes what was sealed.

use crate::EVENTS;
use crate::age;
use crate::event::{Entry, EntryReader, Event, MOST_MICROS};
use crate::sealed::{KEY_FILE, RecordFault, RecordReader, opened_file};
use crate::store::sync_folder;
use crate::ttyrec::FrameReader;
use drawbridge_chain::{
    ChainError, FILE, Recovered, RecoveryFault, Signature, Text, ToSign, Track, TrackName, Utc, Writer,
};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

/// The most files of a bundle.
const MOST_FILES: usize = 4096;

/// Why a bundle could not be closed. It stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The chain or a track is not what a cut leaves.
    #[error(transparent)]
    Chain(#[from] RecoveryFault),
    /// A file is there that is none of a bundle's.
    #[error("{0:?} does not belong to a recording: take it away")]
    Foreign(String),
    /// A file could not be read or changed.
    #[error("{0} cannot be put in order: {1}")]
    File(String, io::Error),
    /// The end could not be written.
    #[error(transparent)]
    Write(#[from] ChainError),
}

/// A bundle that was closed, but for its signature.
#[derive(Debug)]
pub struct Recovery {
    chain: Writer<File>,
    to_sign: Option<ToSign>,
    dropped: u64,
    taken: u64,
}

impl Recovery {
    /// What is to be signed; none when the bundle was whole.
    pub fn to_sign(&self) -> Option<ToSign> {
        self.to_sign
    }

    /// So many bytes were torn, and dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// So many bytes were whole and not sealed, and are now.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the last signature.
    pub fn signed(&mut self, of: &ToSign, signature: Signature) -> Result<(), ChainError> {
        self.chain.signed(of, signature)
    }
}

/// Closes the bundle in a folder as *cut*, when nobody writes to it any more. One that was closed is left as it is.
pub fn recover(folder: &Path, now: SystemTime) -> Result<Recovery, RecoveryError> {
    close(folder, now, Text::of("cut"))
}

/// [`recover`], with another reason for the end.
pub fn close(folder: &Path, now: SystemTime, reason: Text<128>) -> Result<Recovery, RecoveryError> {
    let now = Utc::of(now);
    let (file, recovered) = Recovered::open(&folder.join(FILE))?;
    if recovered.state().end().is_some() {
        let to_sign = recovered.state().to_sign();
        let chain = Writer::resume(file, recovered, 0, now)?;
        return Ok(Recovery { chain, to_sign, dropped: 0, taken: 0 });
    }
    let mut tracks = Vec::new();
    let (mut beyond, mut dropped, mut taken) = (0, recovered.torn_bytes(), 0);
    let mut has_events = false;
    for name in names(folder)? {
        let track = TrackName::new(name.clone()).map_err(|_| RecoveryError::Foreign(name.clone()))?;
        let fault = |error| RecoveryError::File(name.clone(), error);
        let path = folder.join(&name);
        let mut file = File::options().read(true).append(true).open(&path).map_err(fault)?;
        let length = file.metadata().map_err(fault)?.len();
        let extra = recovered.beyond(&track, length)?;
        let sealed = length - extra;
        beyond += extra;
        // A seal comes after whole records only, so the next one begins where the last block ends.
        file.seek(SeekFrom::Start(sealed)).map_err(fault)?;
        let whole = whole(&name, &file).map_err(fault)?.min(extra);
        if whole < extra {
            file.set_len(sealed + whole).map_err(fault)?;
            dropped += extra - whole;
        }
        if sealed + whole == 0 && name != EVENTS {
            std::fs::remove_file(&path).map_err(fault)?;
            continue;
        }
        file.seek(SeekFrom::Start(sealed)).map_err(fault)?;
        let found = file.try_clone().map_err(fault)?;
        let mut track = Track::at(track, file, sealed);
        taken += track.absorb(found.take(whole)).map_err(fault)?;
        has_events |= name == EVENTS;
        tracks.push(track);
    }
    sync_folder(folder).map_err(|error| RecoveryError::File("the folder".to_owned(), error))?;
    for track in recovered.state().tracks().keys() {
        if !tracks.iter().any(|found| found.name() == track) {
            recovered.beyond(track, 0)?;
        }
    }
    if !has_events {
        // The cut came before the first event.
        let fault = |error| RecoveryError::File(EVENTS.to_owned(), error);
        let file = File::options().append(true).create_new(true).open(folder.join(EVENTS)).map_err(fault)?;
        sync_folder(folder).map_err(fault)?;
        let name = TrackName::new(EVENTS).map_err(|_| RecoveryError::Foreign(EVENTS.to_owned()))?;
        tracks.push(Track::new(name, file));
    }
    let after =
        last_time(&folder.join(EVENTS)).map_err(|error| RecoveryError::File(EVENTS.to_owned(), error))?;
    // In an encrypted recording the events do not tell how long it was. The last signature does, within seconds.
    let begun = recovered.state().header().start.millis();
    let signed = recovered.state().signed().map_or(0, |(_, at)| at.millis().saturating_sub(begun));
    let after = after.max(signed.saturating_mul(1000).min(MOST_MICROS));
    if let Some(events) = tracks.iter_mut().find(|track| track.name().as_str() == EVENTS) {
        let why = Text::of("the recording was cut here");
        let gap = Entry { utc: now, after, event: Event::Gap { millis: 0, bytes: dropped, why } };
        let end = Entry { utc: now, after, event: Event::Ended { reason: reason.clone() } };
        for entry in [gap, end] {
            events.write(&entry.encode()).map_err(|error| RecoveryError::File(EVENTS.to_owned(), error))?;
        }
    }
    let mut chain = Writer::resume(file, recovered, beyond, now)?;
    chain.seal(&mut tracks)?;
    let to_sign = chain.end(reason, now)?;
    Ok(Recovery { chain, to_sign: Some(to_sign), dropped, taken })
}

fn names(folder: &Path) -> Result<Vec<String>, RecoveryError> {
    let fault = |error| RecoveryError::File("the folder".to_owned(), error);
    let mut names = Vec::new();
    for entry in folder.read_dir().map_err(fault)?.take(MOST_FILES) {
        let entry = entry.map_err(fault)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type().map_err(fault)?.is_file() {
            return Err(RecoveryError::Foreign(name));
        }
        if name != FILE {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// So many bytes of what a file has beyond its seal are whole records. What a file system had no time to write may read as
/// zeros, which are none.
fn whole(name: &str, file: &File) -> io::Result<u64> {
    let from = BufReader::new(file);
    if name == KEY_FILE {
        let mut bytes = Vec::new();
        from.take(age::FILE_BYTES + 1).read_to_end(&mut bytes)?;
        let is_whole = age::is_whole(&bytes);
        return Ok(if is_whole { age::FILE_BYTES } else { 0 });
    }
    if opened_file(name).is_some() {
        let mut records = RecordReader::new(from);
        loop {
            match records.next_sealed() {
                Ok(Some(_)) => {}
                Err(RecordFault::Read(error)) => return Err(error),
                Ok(None) | Err(_) => return Ok(records.bytes()),
            }
        }
    }
    if crate::terminal_of(name).is_some() {
        let mut frames = FrameReader::new(from);
        loop {
            match frames.next_frame() {
                Ok(Some(_)) => {}
                Err(crate::FrameFault::Read(error)) => return Err(error),
                Ok(None) | Err(_) => return Ok(frames.bytes()),
            }
        }
    }
    let mut lines = EntryReader::new(from);
    loop {
        let next = if name == EVENTS {
            lines.next_entry().map(|entry| entry.is_some())
        } else {
            lines.next_typed().map(|typed| typed.is_some())
        };
        match next {
            Ok(true) => {}
            Err(crate::EntryFault::Read(error)) => return Err(error),
            Ok(false) | Err(_) => return Ok(lines.bytes()),
        }
    }
}

/// The monotonic time of the last event.
fn last_time(path: &Path) -> io::Result<u64> {
    let mut lines = EntryReader::new(BufReader::new(File::open(path)?));
    let mut last = 0;
    while let Ok(Some(entry)) = lines.next_entry() {
        last = last.max(entry.after);
    }
    Ok(last)
}
