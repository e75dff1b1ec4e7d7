//! What is told of a recording that has ended, by the beginnings and ends of its files: never by reading it whole.

use drawbridge_bus::record::RecordingFacts;
use drawbridge_bus::support::{GrantId, Level};
use drawbridge_chain::{FILE, Hash, LINE_BYTES, Line};
use drawbridge_recording::{Bundle, EVENT_BYTES, EVENTS, EntryReader, Event, Facts, FolderFiles, Guidance};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// What is told of it.
#[derive(Default)]
pub(super) struct Read {
    pub(super) facts: Option<RecordingFacts>,
    /// In seconds since 1970.
    pub(super) began: i64,
    pub(super) milliseconds: u64,
    pub(super) end: String,
    /// To whose key it is encrypted.
    pub(super) recipient: Option<String>,
    pub(super) head: Option<[u8; 32]>,
}

/// Reads what is told of a bundle. What cannot be read is not told.
pub(super) fn read(folder: &Path) -> Read {
    let mut read = Read { head: head(folder), ..Read::default() };
    match Bundle::open(FolderFiles::new(folder)) {
        Ok(bundle) => {
            read.began = i64::try_from(bundle.header().start.millis() / 1000).unwrap_or(i64::MAX);
            read.facts = facts(bundle.facts());
            read.recipient = bundle.recipient().map(str::to_owned);
        }
        Err(fault) => {
            read.end = format!("it cannot be read: {fault}");
            return read;
        }
    }
    let last = tail(&folder.join(EVENTS), EVENT_BYTES + 1).ok().and_then(|line| {
        let entry = EntryReader::new(line.as_slice()).next_entry().ok()??;
        Some((u64::try_from(entry.after().as_millis()).unwrap_or(u64::MAX), entry.event))
    });
    read.end = match last {
        Some((after, Event::Ended { reason })) => {
            read.milliseconds = after;
            reason.to_string()
        }
        Some((after, _)) => {
            read.milliseconds = after;
            "it was cut, and is being closed".to_owned()
        }
        None => "it was cut, and is being closed".to_owned(),
    };
    read
}

/// The hash of the chain's last line, when that is the signature behind its end: then the recording is whole.
pub(super) fn head(folder: &Path) -> Option<[u8; 32]> {
    // The signature, and the mark before it.
    let path = folder.join(FILE);
    let lines = last_bytes(&path, 2 * (LINE_BYTES + 1)).ok()?;
    let lines = lines.strip_suffix(b"\n")?;
    let mut lines = lines.rsplit(|byte| *byte == b'\n');
    let (last, before) = (lines.next()?, lines.next()?);
    match (Line::parse(before), Line::parse(last)) {
        (Ok(Line::Mark(mark)), Ok(Line::Signature(_))) if mark.end.is_some() => Some(Hash::of(last).0),
        _ => None,
    }
}

/// The last whole line of a file, with its end, when it is at most so long.
fn tail(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let bytes = last_bytes(path, 2 * most)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let whole = bytes.get(..end).unwrap_or_default();
    let before = whole.strip_suffix(b"\n").unwrap_or_default();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(whole.get(start..).unwrap_or_default().to_vec())
}

fn last_bytes(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let from = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn facts(facts: &Facts) -> Option<RecordingFacts> {
    Some(RecordingFacts {
        grant: (GrantId(facts.grant), facts.session.to_string()),
        level: match facts.level {
            Guidance::Direct => Level::Direct,
            Guidance::Watched => Level::Watched,
            Guidance::Guided => Level::Guided,
        },
        engineer: facts.engineer.to_string(),
        login: facts.login.to_string(),
        source: facts.source?,
        system: (facts.system.to_string(), facts.serial.to_string()),
    })
}
