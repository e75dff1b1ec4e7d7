//! What the server has, and what it has not: told to who sends recordings, and kept when the server has confirmed one. It never takes
//! the server's word for more than what is here.

use super::{CONFIRMED, CONFIRMING, Shelf, hex, line};
use drawbridge_bus::record::RecordingId;
use drawbridge_bus::upload::{UNSENT_MOST, Unsent};
use drawbridge_chain::FILE;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{MutexGuard, PoisonError};

/// Why a confirmation is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConfirmed {
    /// The server has something else, or less.
    #[error(
        "what the server has is not all of this recording as it is here: it stays unconfirmed, and is sent again"
    )]
    Other,
    /// It could not be kept.
    #[error("that the server has it could not be kept ({0}): it is sent again")]
    Disk(#[from] io::Error),
}

/// What was found out before, so that it is not looked for each time.
#[derive(Default)]
pub(super) struct Known {
    /// The server has these whole.
    sent: BTreeSet<RecordingId>,
    /// So much of these chains is on the disk for good.
    durable: BTreeMap<RecordingId, u64>,
}

impl Shelf {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is one step: what a panic leaves is whole.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server has confirmed all of it.
    pub(crate) fn is_sent(&self, id: &RecordingId) -> bool {
        if self.known().sent.contains(id) {
            return true;
        }
        let is_marked = self.folder.join(format!("{id}{CONFIRMED}")).exists();
        let is_sent =
            is_marked && line::head(&self.folder_of(id)).is_some_and(|head| self.is_confirmed(id, head));
        if is_sent {
            // Nothing can be added to a chain whose end is signed.
            self.known().sent.insert(id.clone());
        }
        is_sent
    }

    /// What the server has not confirmed: what runs first, then the oldest.
    pub(crate) fn unsent(&self, running: &BTreeSet<RecordingId>) -> io::Result<Vec<Unsent>> {
        let mut ids = self.ids()?;
        ids.reverse();
        ids.sort_by_key(|id| !running.contains(id));
        {
            let there: BTreeSet<_> = ids.iter().collect();
            let mut known = self.known();
            // What was removed is asked for no more.
            known.sent.retain(|id| there.contains(id));
            known.durable.retain(|id, _| there.contains(id));
        }
        let mut unsent = Vec::new();
        for id in ids {
            if unsent.len() == UNSENT_MOST {
                break;
            }
            if self.is_sent(&id) {
                continue;
            }
            // One that has just begun has no chain yet.
            let Ok(chain) = self.durable(&id) else { continue };
            unsent.push(Unsent { running: running.contains(&id), id, chain });
        }
        Ok(unsent)
    }

    /// How much of a chain outlives a power cut. A line that the server had, and a power cut took away here, would be followed by another
    /// one, and the two chains could never be one again.
    fn durable(&self, id: &RecordingId) -> io::Result<u64> {
        let file = File::open(self.folder_of(id).join(FILE))?;
        let length = file.metadata()?.len();
        if self.known().durable.get(id) != Some(&length) {
            file.sync_data()?;
            self.known().durable.insert(id.clone(), length);
        }
        Ok(length)
    }

    /// Keeps that the server has all of a recording, up to this line of its chain.
    pub(crate) fn confirm(&self, id: &RecordingId, head: [u8; 32]) -> Result<(), NotConfirmed> {
        if line::head(&self.folder_of(id)) != Some(head) {
            return Err(NotConfirmed::Other);
        }
        // Two that are confirmed at one time would write the same.
        let _one = self.removing.lock().unwrap_or_else(PoisonError::into_inner);
        let (new, path) =
            (self.folder.join(format!("{id}{CONFIRMING}")), self.folder.join(format!("{id}{CONFIRMED}")));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(format!("{}\n", hex(&head)).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(&self.folder)?.sync_all()?;
        self.known().sent.insert(id.clone());
        log::info!("the server has the recording {id}, whole");
        Ok(())
    }
}
