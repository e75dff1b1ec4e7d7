//! One recording that comes in: each line verified against the chain before it, each block against its line, all of it against the
//! system's key; then written, and on the disk before anybody is told. It never writes what it has not verified.

use super::archive::{Archive, Called, append_to, sync_folder};
use super::refusal::Refusal;
use crate::store::Recording;
use drawbridge_chain::{
    DeviceKey, FILE, Hash, Kind, Line, LineFault, Recovered, RecoveryFault, State, TrackName,
};
use drawbridge_recording::{Bundle, Facts, FolderFiles, Guidance};
use drawbridge_wire::upload::{Answer, ChainLine};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::Path;

/// So many files of a folder are put in order: more than a chain names.
const MOST_FILES: usize = 4096;

/// How much may be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes of one recording.
    pub(crate) each: u64,
    /// Bytes of all, by the settings; and those that are left of them.
    pub(crate) all: u64,
    /// See `all`.
    pub(crate) left: u64,
}

/// A recording that comes in.
pub(crate) struct Intake {
    archive: Archive,
    called: Called,
    /// The system's serial number as the store has it.
    system: String,
    keys: Vec<DeviceKey>,
    room: Room,
    /// None before the first line.
    state: Option<State>,
    facts: Option<Facts>,
    /// The time of the last mark, in milliseconds since 1970.
    marked: u64,
    /// Bytes of the chain's file, and of what it names.
    chain: u64,
    bytes: u64,
}

/// A batch that was verified.
#[derive(Default)]
struct Batch<'a> {
    chain: Vec<u8>,
    /// From where on, and what.
    tracks: BTreeMap<TrackName, (u64, Vec<&'a [u8]>)>,
    bytes: u64,
}

impl Intake {
    /// Takes up what is there of it, up to the last whole line; what lies beyond goes. A new one has nothing.
    pub(crate) fn open(
        archive: Archive,
        called: Called,
        system: String,
        keys: Vec<DeviceKey>,
        room: Room,
    ) -> Result<Self, Refusal> {
        let folder = archive.folder_of(&called);
        let mut intake = Self {
            archive,
            called,
            system,
            keys,
            room,
            state: None,
            facts: None,
            marked: 0,
            chain: 0,
            bytes: 0,
        };
        let is_there = folder.symlink_metadata().map(|facts| facts.is_dir());
        match is_there {
            Ok(true) => intake.resume(&folder)?,
            Ok(false) => return Err(Refusal::Damaged("there is something else than its folder".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Refusal::Disk(error)),
        }
        Ok(intake)
    }

    fn resume(&mut self, folder: &Path) -> Result<(), Refusal> {
        let path = folder.join(FILE);
        let recovered = match Recovered::open(&path) {
            Ok((_, recovered)) => Some(recovered),
            // Its first line was being written, or not even that: it comes again.
            Err(RecoveryFault::Nothing(_)) => {
                cut(&path, 0).map_err(Refusal::Disk)?;
                None
            }
            Err(RecoveryFault::Read(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(fault) => return Err(fault.into()),
        };
        let state = recovered.as_ref().map(|recovered| recovered.state().clone());
        // What was written and has no line yet comes again.
        for entry in folder.read_dir().map_err(Refusal::Disk)?.take(MOST_FILES) {
            let entry = entry.map_err(Refusal::Disk)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let length = entry.metadata().map_err(Refusal::Disk)?.len();
            let Ok(track) = TrackName::new(name) else { continue };
            let sealed =
                state.as_ref().and_then(|state| state.tracks().get(&track)).map_or(0, |track| track.bytes);
            if length > sealed {
                cut(&entry.path(), sealed).map_err(Refusal::Disk)?;
            }
        }
        let (Some(recovered), Some(state)) = (recovered, state) else { return Ok(()) };
        for (track, sealed) in state.tracks() {
            let length = folder.join(track.as_str()).symlink_metadata().map_or(0, |facts| facts.len());
            recovered.beyond(track, length)?;
            self.bytes += sealed.bytes;
        }
        self.chain = recovered.valid_bytes();
        self.marked = state.signed().map_or(state.header().start, |(_, time)| time).millis();
        // A key that was forgotten since is none by which anything more is taken.
        if !self.keys.contains(&state.header().key) && !state.is_whole() {
            return Err(Refusal::Key(state.header().key));
        }
        self.state = Some(state);
        Ok(())
    }

    /// How far it is.
    pub(crate) fn has(&self) -> Answer {
        let state = self.state.as_ref();
        Answer::Has {
            chain: self.chain,
            head: state.map(|state| state.head().0),
            whole: state.is_some_and(State::is_whole),
        }
    }

    /// Whether it is whole, which it was not when it was asked before.
    pub(crate) fn is_whole(&self) -> bool {
        self.state.as_ref().is_some_and(State::is_whole)
    }

    /// Whether nothing of it was here before.
    pub(crate) fn is_new(&self) -> bool {
        self.state.is_none()
    }

    /// The keys by which it may be signed, as they are now.
    pub(crate) fn keep_to(&mut self, keys: Vec<DeviceKey>, room: Room) {
        self.keys = keys;
        self.room = room;
    }

    /// Verifies a batch and has it on the disk. Of one that has something wrong in it, what stands before that is kept. After an error of
    /// the disk this is to be opened anew.
    pub(crate) fn keep(&mut self, lines: &[ChainLine]) -> Result<(), Refusal> {
        let mut batch = Batch::default();
        let fault = lines.iter().try_for_each(|line| self.verify(line, &mut batch)).err();
        if !batch.chain.is_empty() {
            self.write(&batch).map_err(Refusal::Disk)?;
            let written = u64::try_from(batch.chain.len()).unwrap_or(0);
            self.chain += written;
            self.bytes += batch.bytes;
            self.room.left = self.room.left.saturating_sub(written + batch.bytes);
            self.learn();
        }
        fault.map_or(Ok(()), Err)
    }

    fn verify<'a>(&mut self, sent: &'a ChainLine, batch: &mut Batch<'a>) -> Result<(), Refusal> {
        let (line, data) = (sent.line(), sent.data());
        let more =
            u64::try_from(batch.chain.len() + line.len() + 1 + data.len()).unwrap_or(u64::MAX) + batch.bytes;
        if self.chain + self.bytes + more > self.room.each {
            return Err(Refusal::Long(self.room.each));
        }
        if more > self.room.left {
            return Err(Refusal::Full(self.room.all));
        }
        if let Some(state) = &mut self.state {
            let number = state.lines() + 1;
            let block = match Line::parse(line).map_err(|fault| Refusal::Line(number, fault.into()))? {
                Line::Block(block) => Some(block),
                _ if !data.is_empty() => return Err(Refusal::Beside(number)),
                Line::Mark(mark) => {
                    self.marked = self.marked.max(mark.time.millis());
                    None
                }
                _ => None,
            };
            if let Some(block) = &block
                && (u64::try_from(data.len()).ok() != Some(block.length) || Hash::of(data) != block.sha256)
            {
                // The chain's own fault tells more than the hash of its block.
                if let Err(fault) = state.clone().follow(line) {
                    return Err(Refusal::Line(number, fault));
                }
                return Err(Refusal::Data { line: number, track: block.track.clone() });
            }
            state.follow(line).map_err(|fault| Refusal::Line(number, fault))?;
            if let Some(block) = block {
                let (_, parts) = batch.tracks.entry(block.track).or_insert((block.offset, Vec::new()));
                parts.push(data);
                batch.bytes += block.length;
            }
        } else {
            let state = State::begin(line).map_err(|fault| Refusal::Line(1, fault))?;
            let header = state.header();
            if !data.is_empty() {
                return Err(Refusal::Beside(1));
            }
            if header.kind != Kind::Recording {
                return Err(Refusal::Kind);
            }
            if header.id.as_str() != self.called.name().as_str()
                || !header.serial.as_str().eq_ignore_ascii_case(&self.system)
            {
                return Err(Refusal::Foreign);
            }
            if !self.keys.contains(&header.key) {
                return Err(Refusal::Key(header.key));
            }
            self.marked = header.start.millis();
            self.state = Some(state);
        }
        batch.chain.extend_from_slice(line);
        batch.chain.push(b'\n');
        Ok(())
    }

    /// First what lines name, then the lines: whatever a cut leaves, no line is there without what it names.
    fn write(&self, batch: &Batch<'_>) -> io::Result<()> {
        let folder = self.archive.make(&self.called)?;
        let mut has_made = false;
        for (track, (offset, parts)) in &batch.tracks {
            let (mut file, is_new) = append_to(&folder.join(track.as_str()))?;
            if file.metadata()?.len() != *offset {
                return Err(io::Error::other(format!("{track} is not as long as it was left")));
            }
            for part in parts {
                file.write_all(part)?;
            }
            file.sync_data()?;
            has_made |= is_new;
        }
        if has_made {
            sync_folder(&folder)?;
        }
        let (mut file, is_new) = append_to(&folder.join(FILE))?;
        if file.metadata()?.len() != self.chain {
            return Err(io::Error::other(format!("{FILE} is not as long as it was left")));
        }
        file.write_all(&batch.chain)?;
        file.sync_data()?;
        if is_new { sync_folder(&folder) } else { Ok(()) }
    }

    /// Whose it is, once that is here.
    fn learn(&mut self) {
        if self.facts.is_none() {
            let folder = self.archive.folder_of(&self.called);
            self.facts = Bundle::open(FolderFiles::new(folder)).ok().map(|bundle| bundle.facts().clone());
        }
    }

    /// How the index has it; none before the first line.
    pub(crate) fn line(&mut self) -> Option<Recording> {
        self.learn();
        let state = self.state.as_ref()?;
        let facts = self.facts.as_ref();
        let of = |text: fn(&Facts) -> String| facts.map(text).unwrap_or_default();
        let millis = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        Some(Recording {
            system: self.system.clone(),
            name: self.called.name().to_string(),
            system_name: of(|facts| facts.system.to_string()),
            key: state.header().key.to_ssh(),
            began: millis(state.header().start.millis()),
            marked: millis(self.marked),
            updated: 0,
            engineer: of(|facts| facts.engineer.to_string()),
            login: of(|facts| facts.login.to_string()),
            source: of(|facts| facts.source.map(|source| source.to_string()).unwrap_or_default()),
            session: of(|facts| facts.session.to_string()),
            level: of(|facts| level(facts.level).to_owned()),
            chain: self.chain,
            bytes: self.bytes,
            head: state.head().to_string(),
            ended: state.end().map(ToString::to_string),
            whole: state.is_whole(),
        })
    }
}

fn level(level: Guidance) -> &'static str {
    match level {
        Guidance::Direct => "direct",
        Guidance::Watched => "watched",
        Guidance::Guided => "guided",
    }
}

/// Cuts a file to a length. A link is not followed.
fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = append_to(path)?.0;
    file.set_len(length)?;
    file.sync_all()
}

/// How far a chain has come in so many bytes of its file: what of the files beside it is proved, while more may be coming.
pub(crate) fn sealed(folder: &Path, chain: u64) -> io::Result<State> {
    let file = File::open(folder.join(FILE))?;
    let mut lines = drawbridge_chain::LineReader::new(BufReader::new(io::Read::take(file, chain)));
    let wrong = |fault: &dyn std::fmt::Display| io::Error::other(format!("{FILE}: {fault}"));
    let first = lines.next_line().map_err(|fault| wrong(&fault))?;
    let first = first.ok_or_else(|| wrong(&LineFault::Malformed))?;
    let mut state = State::begin(first).map_err(|fault| wrong(&fault))?;
    while let Some(line) = lines.next_line().map_err(|fault| wrong(&fault))? {
        state.follow(line).map_err(|fault| wrong(&fault))?;
    }
    Ok(state)
}

#[cfg(test)]
mod tests;
