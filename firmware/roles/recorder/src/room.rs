//! How much room the data partition has, and whether that is enough to begin a recording. It removes nothing.

use nix::sys::statvfs::{Statvfs, fstatvfs, statvfs};
use std::fs::File;
use std::io;
use std::path::Path;

const MIB: u64 = 1024 * 1024;
/// Below so much no recording begins: what runs already can go on for a while.
const FLOOR: u64 = 16 * MIB;
/// Or below this part of the file system, whichever is more.
const FLOOR_PART: u64 = 50;
/// So much no recording takes, whatever runs: else the audit could not even say why a session has ended. Less than what engineers' own
/// files leave free.
const SPARED: u64 = 2 * MIB;
/// Or this part of the file system, whichever is more.
const SPARED_PART: u64 = 200;
/// A warning comes when there is less than so many floors.
const WARNED: u64 = 4;
/// But on a small disk only when there is less than this part of it: else there never were enough, and whatever the server has went
/// at once.
const WARNED_PART: u64 = 2;
/// Files that a recording may need, one a terminal and some more.
const FILES: u64 = 64;

/// The room of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes in all, and those that a role may still use.
    pub(crate) total: u64,
    pub(crate) free: u64,
    /// Files that it can still have; none when it has no such bound.
    files: Option<u64>,
}

impl Room {
    /// Of the file system that a folder is on.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        Ok(Self::found(&statvfs(folder)?))
    }

    /// Of the file system that a file is on.
    pub(crate) fn of_file(file: &File) -> io::Result<Self> {
        Ok(Self::found(&fstatvfs(file)?))
    }

    fn found(found: &Statvfs) -> Self {
        let fragment = found.fragment_size();
        let files = (found.files() > 0).then(|| found.files_available());
        Self { total: found.blocks() * fragment, free: found.blocks_available() * fragment, files }
    }

    /// So many bytes are left to the rest of the appliance.
    pub(crate) fn spared(&self) -> u64 {
        (self.total / SPARED_PART).max(SPARED)
    }

    /// Below so much no recording begins.
    pub(crate) fn floor(&self) -> u64 {
        (self.total / FLOOR_PART).max(FLOOR)
    }

    /// So many bytes should be free, so that there is no warning.
    pub(crate) fn wanted(&self) -> u64 {
        (self.floor() * WARNED).min(self.total / WARNED_PART).max(self.floor())
    }

    /// Whether a recording may begin; if not, why, and what to do.
    pub(crate) fn takes(&self) -> Result<(), String> {
        if self.free < self.floor() {
            return Err(format!(
                "the data partition has {} MiB left, and a recording begins with {} MiB only: download recordings and have \
                 the support server take them, or give the machine a larger disk",
                self.free / MIB,
                self.floor().div_ceil(MIB)
            ));
        }
        if self.files.is_some_and(|files| files < FILES) {
            return Err(
                "the data partition can take hardly any more files: have the support server take recordings"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// What is wrong, as a sentence; empty when nothing is.
    pub(crate) fn trouble(&self) -> String {
        match self.takes() {
            Err(why) => format!("No session can be recorded: {why}."),
            Ok(()) if self.free < self.wanted() => format!(
                "The data partition has {} MiB left; below {} MiB no session is recorded. Have the support server take \
                 recordings, so that the oldest can go.",
                self.free / MIB,
                self.floor().div_ceil(MIB)
            ),
            Ok(()) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(total: u64, free: u64) -> Room {
        Room { total: total * MIB, free: free * MIB, files: None }
    }

    #[test]
    fn a_full_disk_says_so_early_and_then_takes_no_recording() {
        assert_eq!(room(4000, 400).trouble(), "");
        assert!(room(4000, 300).trouble().contains("300 MiB left; below 80 MiB"));
        assert_eq!(room(4000, 80).takes(), Ok(()));
        assert!(room(4000, 79).takes().is_err() && room(4000, 79).trouble().starts_with("No session"));
        // A small one has an absolute floor.
        assert_eq!(room(100, 16).takes(), Ok(()));
        assert!(room(100, 15).takes().is_err());
        assert!(Room { files: Some(3), ..room(4000, 4000) }.takes().is_err());
    }

    #[test]
    fn a_small_disk_that_is_nearly_empty_has_room_enough() {
        for total in [27, 55, 64, 100, 1000] {
            let room = room(total, total * 9 / 10);
            assert!(
                room.free >= room.wanted() && room.trouble().is_empty(),
                "{room:?} wants {}",
                room.wanted()
            );
            assert!(room.wanted() >= room.floor());
        }
        assert!(room(64, 25).trouble().contains("25 MiB left; below 16 MiB"));
    }

    #[test]
    fn the_room_of_a_folder_is_that_of_its_file_system() {
        let room = Room::of(&std::env::temp_dir()).unwrap();
        assert!(room.total > 0 && room.free <= room.total);
        assert!(Room::of(Path::new("/nowhere/at/all")).is_err());
    }
}
