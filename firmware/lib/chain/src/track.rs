//! A file that a chain vouches for, while it is written: what was written, hashed in blocks; it is sealed by
//! [`crate::Writer::seal`] only.

use crate::hash::{Hash, Hasher};
use crate::line::{BLOCK_BYTES, MOST_OFFSET};
use crate::text::TrackName;
use std::fs::File;
use std::io::{self, Read, Write};

/// What can be written to and made durable. Tests have one that fails where they want.
pub trait Durable: Write {
    /// Returns when all that was written would outlive a power cut.
    fn sync(&mut self) -> io::Result<()>;
}

impl Durable for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl<D: Durable + ?Sized> Durable for Box<D> {
    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

/// Written in pieces of so many bytes, so that single letters are no system calls.
const BUFFER_BYTES: usize = 64 * 1024;

/// A block that is complete and not sealed yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) sha256: Hash,
}

/// A file of a chain.
#[derive(Debug)]
pub struct Track<D> {
    name: TrackName,
    to: D,
    buffer: Vec<u8>,
    hasher: Hasher,
    /// Where the block begins that is being hashed, and where the track ends, buffer included.
    start: u64,
    end: u64,
    parts: Vec<Part>,
    is_dirty: bool,
    failure: Option<io::ErrorKind>,
}

impl<D: Durable> Track<D> {
    /// An empty file.
    pub fn new(name: TrackName, to: D) -> Self {
        Self::at(name, to, 0)
    }

    /// A file that is sealed up to `sealed` and to which `to` appends from there.
    pub fn at(name: TrackName, to: D, sealed: u64) -> Self {
        Self {
            name,
            to,
            buffer: Vec::new(),
            hasher: Hasher::default(),
            start: sealed,
            end: sealed,
            parts: Vec::new(),
            is_dirty: false,
            failure: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &TrackName {
        &self.name
    }

    /// So many bytes were written, sealed or not.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// So many bytes wait to be sealed.
    pub fn unsealed(&self) -> u64 {
        let sealed = self.parts.first().map_or(self.start, |part| part.offset);
        self.end - sealed
    }

    /// Writes all of it. After an error the track has failed for good: each later call returns an error of the same kind.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.end.checked_add(length).is_none_or(|end| end > MOST_OFFSET) {
            return Err(self.fail(io::ErrorKind::FileTooLarge.into()));
        }
        self.is_dirty = true;
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.to.write_all(bytes).map_err(|error| self.fail(error))?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        self.digest(bytes);
        Ok(())
    }

    /// Takes up what lies in the file beyond what is sealed, after a cut: it is hashed and not written, and is sealed with
    /// what comes. To be called before anything is written.
    pub fn absorb(&mut self, found: impl Read) -> io::Result<u64> {
        self.check()?;
        let mut found = found.take(MOST_OFFSET - self.end);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut taken = 0;
        loop {
            let read = match found.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.fail(error)),
            };
            self.digest(buffer.get(..read).unwrap_or_default());
            self.is_dirty = true;
            taken += u64::try_from(read).unwrap_or(u64::MAX);
        }
        Ok(taken)
    }

    /// Hands what is buffered to the file, so that others can read it; it is not durable by that.
    pub fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        if !self.buffer.is_empty() {
            let written = self.to.write_all(&self.buffer);
            self.buffer.clear();
            written.map_err(|error| self.fail(error))?;
        }
        Ok(())
    }

    fn digest(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - (self.end - self.start);
            let now = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let (part, rest) = bytes.split_at(now);
            self.hasher.update(part);
            self.end += u64::try_from(now).unwrap_or(0);
            if self.end - self.start == BLOCK_BYTES {
                self.complete();
            }
            bytes = rest;
        }
    }

    fn complete(&mut self) {
        if self.end > self.start {
            let sha256 = std::mem::take(&mut self.hasher).finish();
            self.parts.push(Part { offset: self.start, length: self.end - self.start, sha256 });
            self.start = self.end;
        }
    }

    /// Makes all that was written durable, and gives the blocks that are to be sealed.
    pub(crate) fn settle(&mut self) -> io::Result<&[Part]> {
        self.check()?;
        if self.is_dirty {
            self.flush()?;
            self.to.sync().map_err(|error| self.fail(error))?;
            self.complete();
            self.is_dirty = false;
        }
        Ok(&self.parts)
    }

    /// The blocks have their lines.
    pub(crate) fn sealed(&mut self) {
        self.parts.clear();
    }

    fn check(&self) -> io::Result<()> {
        self.failure.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn fail(&mut self, error: io::Error) -> io::Error {
        self.failure = Some(error.kind());
        error
    }
}
