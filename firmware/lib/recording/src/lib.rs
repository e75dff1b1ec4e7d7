//! Recordings of engineers' connections: written while they happen, recovered after a cut, read again, and shown as a screen.
//! Nothing here speaks with a network, holds a private key or decides who may look.
//!
//! A *bundle* is a folder for each connection:
//!
//! ```text
//!   chain.jsonl         what proves the rest (drawbridge_chain)
//!   events.jsonl        who and why, commands, files, forwards, windows, pauses, messages, gaps      event
//!   terminal-N.ttyrec   what terminal N showed, as `ttyplay` plays it                                ttyrec
//!   typed-N.jsonl       what was typed there; a count while the terminal did not show it             event
//! ```
//!
//! Where the customer wants it, all of it but chain, beginning and end is encrypted to his key: `sealed` has that form.
//!
//! Where to begin: [`Recorder`] writes one, [`recover`] closes one that was cut, [`Bundle`] reads one, [`Screen`] is what a
//! terminal shows at an instant, [`cast::export`] is for players in browsers, [`space::removal`] for a disk that is full.
//!
//! A recorder is strict: after any error of the disk each later call returns that error, so that the connection can be
//! stopped. What was sealed, once a second, outlives a kill or a power cut.

mod age;
mod bundle;
pub mod cast;
mod event;
mod kept;
pub mod open;
mod quoted;
mod recorder;
mod recovery;
mod screen;
mod sealed;
pub mod space;
mod store;
pub mod tar;
mod ttyrec;

pub use age::{CannotEncrypt, Recipient, RecipientFault};
pub use bundle::{Bundle, BundleFault, Files, FolderFiles, Section};
pub use event::{
    Change, EVENT_BYTES, Entry, EntryFault, EntryReader, Event, Facts, Guidance, Protocol, Typed, Way,
};
pub use quoted::{Cut, QUOTED_BYTES, Quoted};
pub use recorder::{MOST_TERMINALS, RecordError, Recorder, SEAL_EVERY, Terminal};
pub use recovery::{Recovery, RecoveryError, close, recover};
pub use screen::{Attributes, Colour, Cursor, Run, Screen, Snapshot};
pub use sealed::{
    ContentKey, ContentKeyFault, KEY_FILE, Opening, RecordFault, RecordReader, opened_file, sealed_file,
};
pub use store::{FolderStore, Store};
pub use ttyrec::{
    Clock, FRAME_BYTES, Frame, FrameFault, FrameReader, HEADER_BYTES, MOST_COLUMNS, MOST_ROWS, Moment,
    READ_BYTES, Size, encode,
};

/// The name of the file of events.
pub const EVENTS: &str = "events.jsonl";

/// The name of a terminal's file.
pub fn terminal_file(terminal: u32) -> String {
    format!("terminal-{terminal}.ttyrec")
}

/// The name of the file of what was typed at a terminal.
pub fn typed_file(terminal: u32) -> String {
    format!("typed-{terminal}.jsonl")
}

/// The number of the terminal that a file is of: of its screen.
pub fn terminal_of(name: &str) -> Option<u32> {
    let number = name.strip_prefix("terminal-")?.strip_suffix(".ttyrec")?.parse().ok()?;
    (terminal_file(number) == name).then_some(number)
}
