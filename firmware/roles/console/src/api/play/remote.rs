//! A file of a recording, read part by part from the role that keeps it, for whoever reads on a thread. It never reads beyond the file.

use crate::facts::Asker;
use drawbridge_bus::record::{PART_BYTES, RecordingId};
use drawbridge_bus::{Reply, Request, Role};
use std::io::{self, Read};
use std::sync::Arc;
use tokio::runtime::Handle;

/// The way to the role.
pub(super) struct Wire {
    pub(super) asker: Arc<Asker>,
    pub(super) handle: Handle,
}

/// The file. To be read where the runtime does not run.
pub(super) struct Remote {
    wire: Wire,
    id: RecordingId,
    file: String,
    length: u64,
    offset: u64,
    part: Vec<u8>,
    read: usize,
}

impl Remote {
    /// The file of this name and length.
    pub(super) fn new(wire: Wire, id: RecordingId, file: String, length: u64) -> Self {
        Self { wire, id, file, length, offset: 0, part: Vec::new(), read: 0 }
    }

    fn fetch(&mut self) -> io::Result<()> {
        let left = self.length.saturating_sub(self.offset);
        let most = u32::try_from(left).unwrap_or(u32::MAX).min(PART_BYTES);
        let part = Request::RecordingPart {
            id: self.id.clone(),
            file: self.file.clone(),
            offset: self.offset,
            most,
        };
        match self.wire.handle.block_on(self.wire.asker.call(Role::Recorder, part)) {
            Ok(Reply::RecordingPart(bytes, _)) if !bytes.is_empty() && bytes.len() <= most as usize => {
                self.offset += bytes.len() as u64;
                (self.part, self.read) = (bytes, 0);
                Ok(())
            }
            Ok(_) => Err(io::Error::other("it is not there any more")),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }
}

impl Read for Remote {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.part.len() {
            if self.offset >= self.length {
                return Ok(0);
            }
            self.fetch()?;
        }
        let left = self.part.get(self.read..).unwrap_or_default();
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.read += length;
        Ok(length)
    }
}
