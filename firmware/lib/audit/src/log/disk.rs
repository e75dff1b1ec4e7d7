//! The files that the log appends to, and the folder operations that it makes durable; what fails here is told, and never
//! tried again here.

use drawbridge_chain::Durable;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// A file that is appended to.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    #[cfg(test)]
    pub(super) trouble: super::tests::Trouble,
}

impl Disk {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            #[cfg(test)]
            trouble: super::tests::Trouble::here(),
        }
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        let bytes = self.trouble.write(bytes)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Durable for Disk {
    fn sync(&mut self) -> io::Result<()> {
        #[cfg(test)]
        self.trouble.sync()?;
        self.file.sync_data()
    }
}

/// Brings what was made, renamed or removed in a folder to the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Opens a plain file to read and append; no link is followed and nothing is waited for.
pub(super) fn open(path: &Path, append: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).append(append).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no plain file")) }
}

/// Makes a file that was not there, for its owner only.
pub(super) fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().append(true).create_new(true).mode(0o600).open(path)
}
