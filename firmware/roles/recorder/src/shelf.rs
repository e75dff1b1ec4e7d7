//! The folder of recordings: which there are, what is in them, and which may go when there is no room. It never writes into one.
//!
//! ```text
//!   /data/recorder/ID/            a bundle
//!   /data/recorder/ID.confirming  the next, while it is written
//!   /data/recorder/ID.confirmed   the hash of its chain's last line in hexadecimal, when the server has said that it has all of it
//!   /data/recorder/ID.gone/       a bundle that is being removed
//! ```

mod ghosts;
mod line;
mod sent;

use crate::room::Room;
use crate::teller::Teller;
use drawbridge_bus::record::{LISTED_MOST, PART_BYTES, RecorderStatus, RecordingId, RecordingLine};
use drawbridge_chain::FILE;
use drawbridge_recording::space::{Kept, removal};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The most bytes of an answer's lines: they fit a frame of the bus.
const LINES_BYTES: usize = 200 * 1024;
/// The most files of a bundle that are told.
const FILES_MOST: usize = 512;
/// What stands behind the name of a bundle that is being removed.
const GONE: &str = ".gone";
/// What stands behind the name of one that the server has.
const CONFIRMED: &str = ".confirmed";
/// What stands behind the name of that file while it is written.
const CONFIRMING: &str = ".confirming";

/// The folder.
pub(crate) struct Shelf {
    folder: PathBuf,
    /// One removes at a time.
    removing: Mutex<()>,
    sent: Mutex<sent::Known>,
}

impl Shelf {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), removing: Mutex::default(), sent: Mutex::default() }
    }

    /// A recording's folder.
    pub(crate) fn folder_of(&self, id: &RecordingId) -> PathBuf {
        self.folder.join(id.as_str())
    }

    /// All that there are, the latest first.
    pub(crate) fn ids(&self) -> io::Result<Vec<RecordingId>> {
        let mut ids = Vec::new();
        for entry in self.folder.read_dir()? {
            let entry = entry?;
            // What is no name of a recording is none: no name has a dot.
            if let Some(id) = entry.file_name().to_str().and_then(RecordingId::parse)
                && entry.file_type()?.is_dir()
            {
                ids.push(id);
            }
        }
        ids.sort_unstable_by(|one, other| other.cmp(one));
        Ok(ids)
    }

    /// Those before one, the latest first, as many as fit an answer; each by `running` when it runs.
    pub(crate) fn lines(
        &self,
        before: Option<&RecordingId>,
        running: impl Fn(&RecordingId) -> Option<RecordingLine>,
    ) -> io::Result<Vec<RecordingLine>> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        let ids = self.ids()?;
        for id in ids.into_iter().filter(|id| before.is_none_or(|before| id < before)).take(LISTED_MOST) {
            let line = match running(&id) {
                Some(line) => RecordingLine { files: self.files(&id), ..line },
                None => self.line(id),
            };
            bytes += weight(&line);
            if bytes > LINES_BYTES && !lines.is_empty() {
                break;
            }
            lines.push(line);
        }
        Ok(lines)
    }

    fn line(&self, id: RecordingId) -> RecordingLine {
        let read = line::read(&self.folder_of(&id));
        let is_confirmed = read.head.is_some_and(|head| self.is_confirmed(&id, head));
        RecordingLine {
            files: self.files(&id),
            facts: read.facts,
            began: read.began,
            milliseconds: read.milliseconds,
            running: false,
            end: read.end,
            recipient: read.recipient,
            head: read.head,
            confirmed: is_confirmed,
            id,
        }
    }

    /// The files of a bundle and their lengths, in the order of their names.
    fn files(&self, id: &RecordingId) -> Vec<(String, u64)> {
        let Ok(folder) = self.folder_of(id).read_dir() else { return Vec::new() };
        let file = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry.ok()?;
            let facts = entry.metadata().ok()?;
            let name = entry.file_name().into_string().ok()?;
            (facts.is_file() && belongs(&name)).then_some((name, facts.len()))
        };
        let mut files: Vec<_> = folder.take(FILES_MOST).filter_map(file).collect();
        files.sort_unstable();
        files
    }

    /// A part of a file, and the file's length; none when there is no such file.
    pub(crate) fn part(
        &self,
        id: &RecordingId,
        file: &str,
        offset: u64,
        most: u32,
    ) -> io::Result<Option<(Vec<u8>, u64)>> {
        if !belongs(file) {
            return Ok(None);
        }
        let path = self.folder_of(id).join(file);
        // No link: nobody but this role writes here, and it makes none.
        match path.symlink_metadata() {
            Ok(facts) if facts.is_file() => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let left = length.saturating_sub(offset).min(most.min(PART_BYTES).into());
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(0)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match file.read_at(rest, at) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(Some((bytes, length)))
    }

    /// How many there are, their bytes, and the room that is left.
    pub(crate) fn status(&self) -> RecorderStatus {
        let looked = self.ids().and_then(|ids| Ok((ids, Room::of(&self.folder)?)));
        match looked {
            Ok((ids, room)) => RecorderStatus {
                kept: u32::try_from(ids.len()).unwrap_or(u32::MAX),
                bytes: (ids.iter().map(|id| self.bytes(id)).sum(), room.free),
                takes: room.takes().is_ok(),
                trouble: room.trouble(),
            },
            Err(error) => RecorderStatus {
                kept: 0,
                bytes: (0, 0),
                takes: false,
                trouble: format!(
                    "No session can be recorded: the folder of recordings cannot be read ({error}). Look at the page Health \
                     for the disk's state."
                ),
            },
        }
    }

    fn bytes(&self, id: &RecordingId) -> u64 {
        self.files(id).iter().map(|(_, length)| length).sum()
    }

    /// Removes recordings that the server has, the oldest first, until there is room enough; never one that it has not, and none of
    /// `running`. The error says why none may begin.
    pub(crate) fn make_room(&self, running: &BTreeSet<RecordingId>, teller: &Teller) -> Result<(), String> {
        let unreadable = |error: io::Error| format!("the folder of recordings cannot be read ({error})");
        // Each step is whole on the disk: whatever a panic left is taken up anew.
        let _one = self.removing.lock().unwrap_or_else(PoisonError::into_inner);
        let room = Room::of(&self.folder).map_err(unreadable)?;
        if room.free >= room.wanted() {
            return room.takes();
        }
        let now = SystemTime::now();
        let kept: Vec<_> = self
            .ids()
            .map_err(unreadable)?
            .into_iter()
            .filter(|id| !running.contains(id))
            .map(|id| Kept {
                bytes: self.bytes(&id),
                confirmed: line::head(&self.folder_of(&id)).is_some_and(|head| self.is_confirmed(&id, head)),
                age: self.age(&id, now),
                id,
            })
            .collect();
        for id in removal(&kept, room.free, room.wanted()).remove {
            let head = line::head(&self.folder_of(&id)).unwrap_or_default();
            match self.remove(&id) {
                Ok(()) => {
                    log::info!("the recording {id} was removed for want of room; the server has it");
                    teller.removed(&id, head, "there was no room for more, and the server has it");
                }
                Err(error) => log::error!("the recording {id} could not be removed: {error}"),
            }
        }
        Room::of(&self.folder).map_err(unreadable)?.takes()
    }

    /// Tells that a recording is whole.
    pub(crate) fn tell_whole(&self, id: &RecordingId, teller: &Teller) {
        let line = self.line(id.clone());
        if let Some(head) = line.head {
            let bytes = line.files.iter().map(|(_, length)| length).sum();
            teller.whole(id, line.facts.as_ref(), head, bytes, &line.end);
        }
    }

    fn age(&self, id: &RecordingId, now: SystemTime) -> Duration {
        let changed = self.folder_of(id).join(FILE).metadata().and_then(|facts| facts.modified());
        changed.ok().and_then(|changed| now.duration_since(changed).ok()).unwrap_or_default()
    }

    /// Whether the server has said that it has this recording up to this line.
    fn is_confirmed(&self, id: &RecordingId, head: [u8; 32]) -> bool {
        let path = self.folder.join(format!("{id}{CONFIRMED}"));
        // A hash and its line's end.
        let is_short = path.symlink_metadata().is_ok_and(|facts| facts.is_file() && facts.len() <= 65);
        is_short && std::fs::read(path).is_ok_and(|text| text.trim_ascii_end() == hex(&head).as_bytes())
    }

    /// Renamed first, so that no half of one is ever taken for a recording that somebody has damaged.
    fn remove(&self, id: &RecordingId) -> io::Result<()> {
        let gone = self.folder.join(format!("{id}{GONE}"));
        std::fs::rename(self.folder_of(id), &gone)?;
        std::fs::remove_dir_all(gone)?;
        std::fs::remove_file(self.folder.join(format!("{id}{CONFIRMED}")))
    }

    /// Finishes what an earlier process of this role was removing.
    pub(crate) fn tidy(&self) -> io::Result<()> {
        for entry in self.folder.read_dir()? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let is_of = |end| name.strip_suffix(end).and_then(RecordingId::parse);
            let is_stale = is_of(CONFIRMING).is_some()
                || is_of(CONFIRMED).is_some_and(|id| !self.folder_of(&id).exists());
            let removed = if is_of(GONE).is_some() {
                std::fs::remove_dir_all(entry.path())
            } else if is_stale {
                std::fs::remove_file(entry.path())
            } else {
                continue;
            };
            if let Err(error) = removed {
                log::warn!("{name} could not be removed: {error}");
            }
        }
        Ok(())
    }

    /// Whether a bundle's chain has an end and its signature.
    pub(crate) fn is_whole(&self, id: &RecordingId) -> bool {
        line::head(&self.folder_of(id)).is_some()
    }
}

/// Whether a name is one of a bundle's files.
fn belongs(name: &str) -> bool {
    name == FILE || drawbridge_chain::TrackName::new(name).is_ok()
}

/// An upper bound of a line's bytes on the bus.
fn weight(line: &RecordingLine) -> usize {
    let facts = line.facts.as_ref().map_or(0, |facts| {
        facts.grant.1.len()
            + facts.engineer.len()
            + facts.login.len()
            + facts.system.0.len()
            + facts.system.1.len()
            + 64
    });
    let files: usize = line.files.iter().map(|(name, _)| name.len() + 12).sum();
    let recipient = line.recipient.as_ref().map_or(0, String::len);
    128 + facts + files + recipient + line.end.len() + line.id.as_str().len()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
