//! One segment of the log: a folder with a chain and the track that it vouches for. It is made whole or not at all.

use super::LogError;
use super::disk::{self, Disk, sync_folder};
use crate::entry::Entry;
use drawbridge_chain::{
    DeviceKey, FILE, Hash, Header, Kind, Line, Recovered, RecoveryFault, Text, ToSign, Track, TrackName, Utc,
    VERSION, Writer,
};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The track's name.
pub(super) const EVENTS: &str = "events.jsonl";
/// What the name of a folder that is being made begins with, and of one that is being removed.
const NEW: &str = "new-";
const GONE: &str = "gone-";

/// A segment as far as it can be read: what was sealed and acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number, from 1. Its folder is named by it.
    pub number: u32,
    /// The number of its first event.
    pub first: u64,
    /// So many events.
    pub events: u64,
    /// So many bytes of them are sealed.
    pub bytes: u64,
    /// So many bytes on the disk, the chain included.
    pub disk_bytes: u64,
}

impl Segment {
    /// The number after that of its last event.
    pub fn next(&self) -> u64 {
        self.first.saturating_add(self.events)
    }
}

/// Where a segment's folder is.
pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}"))
}

/// The numbers of all segments in a folder, in order. What an earlier run was making or removing is removed.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    /// More are looked at by nobody.
    const MOST: usize = 100_000;
    let mut numbers = Vec::new();
    for entry in folder.read_dir()?.take(MOST) {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with(NEW) || name.starts_with(GONE) {
            std::fs::remove_dir_all(entry.path())?;
        } else if name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_digit()) {
            numbers.extend(name.parse::<u32>().ok().filter(|number| *number > 0));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes a segment; it is gone at once, or it is there.
pub(super) fn remove(folder: &Path, number: u32) -> io::Result<()> {
    let gone = folder.join(format!("{GONE}{number:08}"));
    std::fs::rename(path(folder, number), &gone)?;
    sync_folder(folder)?;
    std::fs::remove_dir_all(gone)
}

/// So many bytes the files of a folder have.
pub(super) fn disk_bytes(path: &Path) -> u64 {
    let Ok(entries) = path.read_dir() else { return 0 };
    entries.take(64).filter_map(|entry| entry.ok()?.metadata().ok()).map(|about| about.len()).sum()
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) about: Segment,
    path: PathBuf,
    writer: Writer<Disk>,
    track: Track<Disk>,
    /// How long the two files were when the last of it was acknowledged.
    acknowledged: (u64, u64),
}

/// Whose log it is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The system's serial number.
    pub serial: Text<64>,
    /// Whose private half signs it.
    pub key: DeviceKey,
}

fn track_name() -> Result<TrackName, LogError> {
    TrackName::new(EVENTS).map_err(|fault| LogError::Disk("name the file of events", io::Error::other(fault)))
}

impl Active {
    /// Makes one, in a folder of another name that is renamed when it is whole.
    pub(super) fn create(
        folder: &Path,
        (number, first): (u32, u64),
        identity: &Identity,
        link: Option<Hash>,
        now: Utc,
    ) -> Result<Self, LogError> {
        let disk = |step| move |error| LogError::Disk(step, error);
        let new = folder.join(format!("{NEW}{number:08}"));
        let whole = path(folder, number);
        match std::fs::remove_dir_all(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LogError::Disk("clear the folder of a new segment", error));
            }
            _ => {}
        }
        // An attempt that failed at its last step: nothing was ever written to it.
        if whole.join(EVENTS).metadata().is_ok_and(|about| about.len() == 0) {
            remove(folder, number).map_err(disk("remove an empty segment"))?;
        }
        std::fs::create_dir(&new).map_err(disk("make the folder of a new segment"))?;
        let events = disk::create(&new.join(EVENTS)).map_err(disk("make the file of events"))?;
        events.sync_all().map_err(disk("bring the file of events to the disk"))?;
        let header = Header {
            version: VERSION,
            kind: Kind::Audit,
            id: Text::of(&format!("audit-{number}")),
            serial: identity.serial.clone(),
            key: identity.key,
            start: now,
            link,
        };
        let file = disk::create(&new.join(FILE)).map_err(disk("make the chain's file"))?;
        let writer = Writer::create(Disk::new(file), header)?;
        sync_folder(&new).map_err(disk("bring a new segment to the disk"))?;
        std::fs::rename(&new, &whole).map_err(disk("put a new segment in its place"))?;
        sync_folder(folder).map_err(disk("bring the log's folder to the disk"))?;
        let track = Track::new(track_name()?, Disk::new(events));
        let about = Segment { number, first, events: 0, bytes: 0, disk_bytes: 0 };
        let mut active = Self { about, path: whole, writer, track, acknowledged: (0, 0) };
        active.acknowledge()?;
        Ok(active)
    }

    /// Opens the last one as a cut has left it. Whole lines beyond what was sealed are kept and sealed, and a torn one is
    /// dropped. Also how many bytes were dropped.
    pub(super) fn open(
        folder: &Path,
        (number, first): (u32, u64),
        now: Utc,
    ) -> Result<(Self, u64), LogError> {
        Self::open_to(folder, (number, first), now, None)
    }

    /// The same; where it is known how long the files were when the last of it was acknowledged, nothing beyond is kept.
    pub(super) fn open_to(
        folder: &Path,
        (number, first): (u32, u64),
        now: Utc,
        acknowledged: Option<(u64, u64)>,
    ) -> Result<(Self, u64), LogError> {
        let disk = |step| move |error| LogError::Disk(step, error);
        let path = path(folder, number);
        if let Some((_, chain)) = acknowledged {
            let file = disk::open(&path.join(FILE), true).map_err(disk("open the chain's file"))?;
            file.set_len(chain).and_then(|()| file.sync_all()).map_err(disk("cut the chain's file"))?;
        }
        let (chain, recovered) = Recovered::open(&path.join(FILE))?;
        let name = track_name()?;
        let events = disk::open(&path.join(EVENTS), true).map_err(disk("open the file of events"))?;
        let found = events.metadata().map_err(disk("look at the file of events"))?.len();
        let sealed = recovered.state().tracks().get(&name).map_or(0, |track| track.bytes);
        recovered.beyond(&name, found)?;
        let limit = match acknowledged {
            Some((keep, _)) => keep,
            None if recovered.state().end().is_some() => sealed,
            None => u64::MAX,
        };
        let (count, keep) = count(&events, first, sealed, limit).map_err(disk("read the file of events"))?;
        // What lies beyond an end was never written by this program: it is left for the verifier to find.
        let is_ended = recovered.state().end().is_some();
        if keep < found && !is_ended {
            events.set_len(keep).and_then(|()| events.sync_all()).map_err(disk("cut the file of events"))?;
        }
        let mut reread = events.try_clone().map_err(disk("open the file of events"))?;
        reread.seek(SeekFrom::Start(sealed)).map_err(disk("read the file of events"))?;
        let mut track = Track::at(name, Disk::new(events), sealed);
        let mut writer = Writer::resume(Disk::new(chain), recovered, keep.saturating_sub(sealed), now)?;
        if !is_ended {
            track.absorb(reread).map_err(disk("read the file of events"))?;
            writer.seal([&mut track])?;
        }
        let about = Segment { number, first, events: count, bytes: keep, disk_bytes: 0 };
        let mut active = Self { about, path, writer, track, acknowledged: (keep, 0) };
        active.acknowledge()?;
        Ok((active, found.saturating_sub(keep)))
    }

    /// Notes that what was written so far stays, whatever fails later.
    fn acknowledge(&mut self) -> Result<(), LogError> {
        let about = |name: &str| self.path.join(name).metadata();
        let length = |name| about(name).map(|about| about.len());
        let both = length(FILE).and_then(|chain| Ok((length(EVENTS)?, chain)));
        let (events, chain) = both.map_err(|error| LogError::Disk("look at the log's files", error))?;
        self.acknowledged = (events, chain);
        self.about.bytes = events;
        self.about.disk_bytes = events + chain;
        Ok(())
    }

    pub(super) fn acknowledged(&self) -> (u64, u64) {
        self.acknowledged
    }

    /// Appends lines, each without its end, and returns when they are on the disk and in the chain.
    pub(super) fn append(&mut self, lines: &[Vec<u8>]) -> Result<(), LogError> {
        let mut all = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            all.extend_from_slice(line);
            all.push(b'\n');
        }
        self.track.write(&all).map_err(|error| LogError::Disk("write events", error))?;
        self.writer.seal([&mut self.track])?;
        self.acknowledge()?;
        self.about.events += u64::try_from(lines.len()).unwrap_or(0);
        Ok(())
    }

    pub(super) fn head(&self) -> Hash {
        self.writer.head()
    }

    pub(super) fn key(&self) -> DeviceKey {
        self.writer.state().header().key
    }

    pub(super) fn is_ended(&self) -> bool {
        self.writer.state().end().is_some()
    }

    /// What waits for its signature.
    pub(super) fn waiting(&mut self, now: Utc) -> Result<Option<ToSign>, LogError> {
        let to_sign = self.writer.to_sign(now)?;
        self.acknowledge()?;
        Ok(to_sign)
    }

    pub(super) fn signed(
        &mut self,
        of: &ToSign,
        signature: drawbridge_chain::Signature,
    ) -> Result<(), LogError> {
        self.writer.signed(of, signature)?;
        self.acknowledge()
    }

    /// Ends it: nothing more can be added but a signature.
    pub(super) fn end(&mut self, reason: &str, now: Utc) -> Result<(), LogError> {
        if !self.is_ended() {
            self.writer.end(Text::of(reason), now)?;
            self.acknowledge()?;
        }
        Ok(())
    }
}

/// How many whole lines the first `limit` bytes of a file of events have, and up to which byte; from `sealed` on, a line counts
/// only when it is the next event.
fn count(file: &File, first: u64, sealed: u64, limit: u64) -> io::Result<(u64, u64)> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file.take(limit));
    let (mut count, mut at) = (0_u64, 0_u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = u64::try_from(crate::event::LINE_BYTES).unwrap_or(0) + 2;
        let read = (&mut reader).take(most).read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\n").filter(|_| read > 0) else { return Ok((count, at)) };
        let is_next =
            || Entry::parse(text).is_ok_and(|entry| entry.sequence() == first.saturating_add(count));
        if at >= sealed && !is_next() {
            return Ok((count, at));
        }
        count += 1;
        at += u64::try_from(read).unwrap_or(0);
    }
}

/// The end of a segment's chain, as its last lines say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// So many bytes of the track are sealed.
    pub(super) sealed: u64,
    /// The hash of the mark that ends it.
    pub(super) end: Option<Hash>,
    /// Whether that is signed.
    pub(super) is_signed: bool,
    /// The hash of the last line.
    pub(super) head: Option<Hash>,
}

/// Reads the last lines of a segment's chain. They are believed here; [`super::verify`] is for doubts.
pub(super) fn tail(path: &Path) -> io::Result<Tail> {
    /// The last block, its mark and its signature, and a resumption or two.
    const USUAL: u64 = 16 << 10;
    /// No chain of a segment is longer.
    const MOST: u64 = 64 << 20;
    let mut tail = Tail::default();
    for most in [USUAL, MOST] {
        let mut file = disk::open(&path.join(FILE), false)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        tail = tail_of(&bytes);
        if tail.sealed > 0 || length <= most {
            break;
        }
    }
    Ok(tail)
}

fn tail_of(bytes: &[u8]) -> Tail {
    let mut tail = Tail::default();
    // A line without an end was not written whole.
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    for line in lines {
        let Ok(parsed) = Line::parse(line) else { continue };
        tail.head = Some(Hash::of(line));
        match parsed {
            Line::Block(block) if block.track.as_str() == EVENTS => tail.sealed = block.offset + block.length,
            Line::Mark(mark) if mark.end.is_some() => tail.end = tail.head,
            Line::Signature(signed) => tail.is_signed = tail.end == Some(signed.mark),
            _ => {}
        }
    }
    tail
}

/// The numbers of the first and the last event of an ended segment, by its file's two ends.
pub(super) fn ends(path: &Path, sealed: u64) -> io::Result<Option<(u64, u64)>> {
    let most = u64::try_from(crate::event::LINE_BYTES).unwrap_or(0) + 2;
    let mut file = disk::open(&path.join(EVENTS), false)?;
    let sealed = sealed.min(file.metadata()?.len());
    let (mut start, mut end) = (Vec::new(), Vec::new());
    (&mut file).take(most.min(sealed)).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(sealed.saturating_sub(most)))?;
    file.take(most.min(sealed)).read_to_end(&mut end)?;
    let number = |line: Option<&[u8]>| Entry::parse(line?).ok().map(|entry| entry.sequence());
    let first = number(start.split(|byte| *byte == b'\n').next());
    let last = number(end.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next()));
    match (first, last) {
        (Some(first), Some(last)) if first <= last => Ok(Some((first, last))),
        _ => range(path),
    }
}

/// The numbers of the first and the last event that can be read in a segment, by its file alone.
pub(super) fn range(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let file = disk::open(&path.join(EVENTS), false)?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut range: Option<(u64, u64)> = None;
    loop {
        line.clear();
        let most = u64::try_from(crate::event::LINE_BYTES).unwrap_or(0) + 2;
        let read = (&mut reader).take(most).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(range);
        }
        let Some(sequence) = line.strip_suffix(b"\n").and_then(|line| Entry::parse(line).ok()) else {
            continue;
        };
        let sequence = sequence.sequence();
        range = Some(
            range.map_or((sequence, sequence), |(first, last)| (first.min(sequence), last.max(sequence))),
        );
    }
}

impl From<RecoveryFault> for LogError {
    fn from(fault: RecoveryFault) -> Self {
        match fault {
            RecoveryFault::Read(error) => Self::Disk("read the chain", error),
            fault => Self::Damaged(fault.to_string()),
        }
    }
}
