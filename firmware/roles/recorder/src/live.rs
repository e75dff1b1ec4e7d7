//! What others see of a recording while it runs: whose it is, which terminals are open, and whether it has failed. It is never waited for.

use drawbridge_bus::record::{
    LIVE_MOST, LIVE_WORDS_BYTES, LiveChannel, LiveRecording, RecordingFacts, RecordingId, SCREEN_MOST,
};
use drawbridge_recording::ContentKey;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// A recording that runs.
pub(crate) struct Live {
    pub(crate) id: RecordingId,
    pub(crate) connection: u64,
    pub(crate) facts: RecordingFacts,
    pub(crate) began: Instant,
    /// In seconds since 1970.
    pub(crate) began_at: i64,
    /// To whose key it is encrypted, once it has begun.
    pub(crate) recipient: OnceLock<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failed: String,
    head: Option<[u8; 32]>,
    channels: BTreeMap<u32, Seen>,
}

/// A terminal.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) command: Option<String>,
    /// Columns and rows.
    pub(crate) size: (u16, u16),
    /// What it shows.
    pub(crate) film: Film,
}

/// Where it can be read what a terminal shows.
#[derive(Clone, Debug)]
pub(crate) struct Film {
    /// Its file.
    pub(crate) path: PathBuf,
    /// What the file is encrypted with, and the name that it would have.
    pub(crate) content: Option<(ContentKey, String)>,
}

impl Live {
    /// One that begins now.
    pub(crate) fn new(id: RecordingId, connection: u64, facts: RecordingFacts, began_at: i64) -> Self {
        let (began, recipient, state) = (Instant::now(), OnceLock::new(), Mutex::default());
        Self { id, connection, facts, began, began_at, recipient, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step: what a panic leaves is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more is recorded. True the first time.
    pub(crate) fn fail(&self, why: &str) -> bool {
        let mut state = self.state();
        let is_first = state.failed.is_empty();
        if is_first {
            why.clone_into(&mut state.failed);
        }
        is_first
    }

    /// Why nothing more is recorded; empty while it is.
    pub(crate) fn failed(&self) -> String {
        self.state().failed.clone()
    }

    /// The hash of the last line that has a signature.
    pub(crate) fn signed(&self, head: [u8; 32]) {
        self.state().head = Some(head);
    }

    /// That hash.
    pub(crate) fn head(&self) -> Option<[u8; 32]> {
        self.state().head
    }

    /// A terminal is there.
    pub(crate) fn opened(&self, channel: u32, seen: Seen) {
        self.state().channels.insert(channel, seen);
    }

    /// It has another size.
    pub(crate) fn sized(&self, channel: u32, size: (u16, u16)) {
        if let Some(seen) = self.state().channels.get_mut(&channel) {
            seen.size = size;
        }
    }

    /// It has gone.
    pub(crate) fn closed(&self, channel: u32) {
        self.state().channels.remove(&channel);
    }

    /// All have gone.
    pub(crate) fn all_closed(&self) {
        self.state().channels.clear();
    }

    /// A terminal of it that is open.
    pub(crate) fn seen(&self, channel: u32) -> Option<Seen> {
        self.state().channels.get(&channel).cloned()
    }

    /// The numbers and files of its terminals.
    pub(crate) fn terminals(&self) -> Vec<(u32, Film)> {
        self.state().channels.iter().map(|(channel, seen)| (*channel, seen.film.clone())).collect()
    }

    /// How long it has been, in milliseconds.
    pub(crate) fn milliseconds(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// As it is told.
    pub(crate) fn told(&self) -> LiveRecording {
        let state = self.state();
        let channels = state.channels.iter().rev().take(LIVE_MOST).map(|(channel, seen)| LiveChannel {
            channel: *channel,
            command: seen.command.as_deref().map(|command| cut(command, LIVE_WORDS_BYTES)),
            size: seen.size,
        });
        LiveRecording {
            id: self.id.clone(),
            connection: self.connection,
            facts: self.facts.clone(),
            milliseconds: self.milliseconds(),
            failed: state.failed.clone(),
            channels: channels.collect(),
        }
    }
}

/// Columns and rows, no more than are shown.
pub(crate) fn shown_size((columns, rows): (u16, u16)) -> (u16, u16) {
    (columns.clamp(1, SCREEN_MOST.0), rows.clamp(1, SCREEN_MOST.1))
}

/// A text as one printable line of at most so many bytes.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let mut line = String::new();
    for char in text.chars().map(|char| if drawbridge_chain::is_hidden(char) { '?' } else { char }) {
        if line.len() + char.len_utf8() > most {
            break;
        }
        line.push(char);
    }
    line
}
