//! The files of a recording, which never take the disk's last room: that is for the audit and the settings, so that what ends a session
//! can still be written down. It keeps nothing free from anybody else.

use crate::room::Room;
use drawbridge_chain::Durable;
use drawbridge_recording::{FolderStore, Store};
use nix::errno::Errno;
use std::fs::File;
use std::io::{self, Write};

/// A folder whose files leave [`Room::spared`] bytes.
#[derive(Debug)]
pub(crate) struct Sparing(pub(crate) FolderStore);

impl Store for Sparing {
    type File = SparingFile;

    fn create(&mut self, name: &str) -> io::Result<SparingFile> {
        self.0.create(name).map(SparingFile)
    }
}

/// One of them.
#[derive(Debug)]
pub(crate) struct SparingFile(File);

impl Write for SparingFile {
    /// Fails as a full disk does (`ENOSPC`) where the bytes would go into what is spared.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = Room::of_file(&self.0)?;
        let wanted = room.spared().saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if room.free < wanted {
            return Err(Errno::ENOSPC.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Durable for SparingFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}
