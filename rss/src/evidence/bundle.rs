//! A recording as the tar file that `verify` takes, of the form that the appliance's console gives: read piece by piece, of a length that
//! is known before. Of one that still comes in, what is proved so far. It never holds more of a recording than is asked for.

use super::intake::sealed;
use drawbridge_chain::FILE;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::vec;

/// The blocks of a tar file (POSIX.1-1988, ustar).
const BLOCK: u64 = 512;
/// So many bytes of zeros end one.
const END: u64 = 1024;

/// The tar file.
pub(crate) struct Tar {
    folder: PathBuf,
    name: String,
    /// In seconds since 1970.
    began: u64,
    /// Those that come next, with their lengths.
    files: vec::IntoIter<(String, u64)>,
    current: Box<dyn Read + Send>,
    is_ending: bool,
    length: u64,
}

impl Tar {
    /// Of the recording of this name in its folder, whose chain is to count up to so many bytes of its file: what the index says to be
    /// on the disk, whatever comes in meanwhile.
    pub(crate) fn open(folder: &Path, name: &str, chain: u64) -> io::Result<Self> {
        let state = sealed(folder, chain)?;
        let mut files = vec![(FILE.to_owned(), chain)];
        files.extend(state.tracks().iter().map(|(track, sealed)| (track.as_str().to_owned(), sealed.bytes)));
        // In the order of their names, as the console has them.
        files.sort_unstable();
        let length = files.iter().map(|(_, length)| BLOCK + length.next_multiple_of(BLOCK)).sum::<u64>();
        Ok(Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            began: state.header().start.millis() / 1000,
            files: files.into_iter(),
            current: Box::new(io::empty()),
            is_ending: false,
            length: length + END,
        })
    }

    /// So many bytes it has in all.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    fn entry(&self, file: String, length: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut header = tar::Header::new_ustar();
        header.set_path(format!("{}/{file}", self.name))?;
        header.set_size(length);
        header.set_mode(0o644);
        header.set_mtime(self.began);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        let content = Content { open: File::open(self.folder.join(&file))?, left: length, file };
        let padding = io::repeat(0).take(length.next_multiple_of(BLOCK) - length);
        Ok(Box::new(io::Cursor::new(header.as_bytes().to_vec()).chain(content).chain(padding)))
    }
}

impl Read for Tar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.current = match self.files.next() {
                Some((file, length)) => self.entry(file, length)?,
                None if self.is_ending => return Ok(0),
                None => {
                    self.is_ending = true;
                    Box::new(io::repeat(0).take(END))
                }
            };
        }
    }
}

/// So many bytes of a file: neither fewer nor more.
struct Content {
    open: File,
    left: u64,
    file: String,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.open.read(buffer.get_mut(..most).unwrap_or_default())?;
        if read == 0 {
            let file = &self.file;
            let why = format!("{file} ends before what its chain names: rss sessions verify says more");
            return Err(io::Error::other(why));
        }
        self.left = self.left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
