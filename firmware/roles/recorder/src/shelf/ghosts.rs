//! Removes, when the role starts, what a cut has left of recordings before the first line of their chain was on the disk. It never
//! removes one that has a line, nor what is no recording's beginning.

use super::Shelf;
use crate::teller::Teller;
use drawbridge_bus::record::RecordingId;
use drawbridge_chain::{FILE, LINE_BYTES};
use drawbridge_recording::EVENTS;
use std::fs::{DirEntry, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

/// Why it was removed.
const WHY: &str = "it was cut before anything was sealed in it, so that nobody could ever verify it";

impl Shelf {
    /// Removes every beginning of a recording in which nothing is sealed. To be called while nobody records.
    pub(crate) fn remove_ghosts(&self, teller: &Teller) -> io::Result<()> {
        for id in self.ids()?.into_iter().filter(|id| is_ghost(&self.folder_of(id))) {
            match self.remove_ghost(&id) {
                Ok(()) => {
                    log::warn!("the recording {id} was removed: {WHY}");
                    // Its chain has no line, so no line's hash.
                    teller.removed(&id, [0; 32], WHY);
                }
                Err(error) => {
                    log::error!("the recording {id}, which is empty, could not be removed: {error}");
                }
            }
        }
        Ok(())
    }

    fn remove_ghost(&self, id: &RecordingId) -> io::Result<()> {
        match self.remove(id) {
            // The server never had it.
            Err(error) if error.kind() == ErrorKind::NotFound && !self.folder_of(id).exists() => Ok(()),
            removed => removed,
        }
    }
}

/// Whether a folder is what a cut leaves of a recording that has just begun. The chain's first line is durable before the file of
/// events is written, and that before any other is made: so there is at most a part of that line, and no byte beside it.
fn is_ghost(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    let mut entries = entries.take(3);
    entries.all(|entry| entry.is_ok_and(|entry| is_of_beginning(&entry)))
}

fn is_of_beginning(entry: &DirEntry) -> bool {
    let Ok(facts) = entry.metadata() else { return false };
    if !facts.is_file() {
        return false;
    }
    if entry.file_name() == EVENTS {
        return facts.len() == 0;
    }
    entry.file_name() == FILE && has_no_line(&entry.path()).unwrap_or(false)
}

/// Whether a file has no whole line. One that is longer than a line can be is none that a cut has left.
fn has_no_line(path: &Path) -> io::Result<bool> {
    let most = LINE_BYTES + 1;
    let mut bytes = Vec::new();
    File::open(path)?.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(bytes.len() < most && !bytes.contains(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teller::teller;
    use drawbridge_bus::record::RecordingId;

    #[test]
    fn what_a_cut_left_before_the_first_line_is_removed_and_nothing_that_has_a_line_or_more() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let (teller, _mouth) = teller(folder.path());
        let lay = |number: u32, files: &[(&str, &[u8])]| {
            let id = RecordingId::parse(&format!("20260101T000000Z-{number:08}")).unwrap();
            std::fs::create_dir(shelf.folder_of(&id)).unwrap();
            for (name, bytes) in files {
                std::fs::write(shelf.folder_of(&id).join(name), bytes).unwrap();
            }
            id
        };
        for (number, files) in [
            &[][..],
            &[(FILE, &b""[..])],
            &[(FILE, b"{\"header\":{\"ver")],
            &[(FILE, b"{\"header\":"), (EVENTS, b"")],
        ]
        .into_iter()
        .enumerate()
        {
            lay(u32::try_from(number).unwrap(), files);
        }
        let long = [b'x'; LINE_BYTES + 1];
        let stays = [
            lay(10, &[(FILE, b"{\"header\":{}}\n")]),
            lay(11, &[(FILE, b"{\"header\":{}}\n{\"blo")]),
            // No cut leaves these: somebody is to look into them.
            lay(12, &[(FILE, &long)]),
            lay(13, &[(FILE, b""), (EVENTS, b"x")]),
            lay(14, &[("terminal-1.ttyrec", b"")]),
            lay(15, &[(FILE, b""), (EVENTS, b""), ("more", b"")]),
        ];
        shelf.remove_ghosts(&teller).unwrap();
        let mut left = shelf.ids().unwrap();
        left.sort_unstable();
        assert_eq!(left, stays);
        assert_eq!(folder.path().read_dir().unwrap().count(), stays.len(), "nothing half removed is left");
    }
}
