//! A file of a bundle while it is written: as it is, or encrypted. It never writes in the clear what is to be encrypted.

use crate::age::CannotEncrypt;
use crate::sealed::{ContentKey, Sealing, sealed_file};
use crate::store::Store;
use drawbridge_chain::{Durable, Track, TrackName};
use std::io;

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeFault {
    #[error("{0} could not be made: {1}")]
    File(String, io::Error),
    #[error("{0} could not be made: {1}")]
    Encrypt(String, CannotEncrypt),
}

#[derive(Debug)]
pub(crate) struct Kept<F> {
    track: Track<F>,
    sealing: Option<Sealing>,
    record: Vec<u8>,
}

impl<F: Durable> Kept<F> {
    /// A new file in the clear.
    pub(crate) fn clear<S: Store<File = F>>(store: &mut S, name: &str) -> Result<Self, MakeFault> {
        let failed = |error| MakeFault::File(name.to_owned(), error);
        let track = TrackName::new(name).map_err(|error| failed(io::Error::other(error)))?;
        let file = store.create(name).map_err(failed)?;
        Ok(Self { track: Track::new(track, file), sealing: None, record: Vec::new() })
    }

    /// A new file, encrypted where there is a key.
    pub(crate) fn create<S: Store<File = F>>(
        store: &mut S,
        name: &str,
        key: Option<&ContentKey>,
    ) -> Result<Self, MakeFault> {
        let Some(key) = key else { return Self::clear(store, name) };
        let sealing = Sealing::new(key, name).map_err(|error| MakeFault::Encrypt(name.to_owned(), error))?;
        Ok(Self { sealing: Some(sealing), ..Self::clear(store, &sealed_file(name))? })
    }

    pub(crate) fn name(&self) -> &TrackName {
        self.track.name()
    }

    /// So many bytes are not sealed by the chain.
    pub(crate) fn unsealed(&self) -> u64 {
        let waiting = self.sealing.as_ref().map_or(0, Sealing::waiting);
        self.track.unsealed().saturating_add(u64::try_from(waiting).unwrap_or(u64::MAX))
    }

    /// Writes whole frames or lines.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.sealing {
            None => self.track.write(bytes),
            Some(sealing) => {
                sealing.take(bytes, &mut self.record)?;
                self.pass()
            }
        }
    }

    /// Hands all of it to the file.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.close()?;
        self.track.flush()
    }

    /// All of it, as the chain's to be sealed.
    pub(crate) fn track(&mut self) -> &mut Track<F> {
        &mut self.track
    }

    /// Ends the record that is being filled.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        match &mut self.sealing {
            None => Ok(()),
            Some(sealing) => {
                sealing.close(&mut self.record)?;
                self.pass()
            }
        }
    }

    fn pass(&mut self) -> io::Result<()> {
        if self.record.is_empty() {
            return Ok(());
        }
        let written = self.track.write(&self.record);
        self.record.clear();
        written
    }
}
