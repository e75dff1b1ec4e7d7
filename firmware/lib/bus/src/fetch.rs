//! What console and tunnel tell each other of recordings that the server keeps. Types and their bounds only: it never fetches one.
//!
//! The tunnel is the one way to the server, and there is one while the bridge is lowered. A recording is fetched by pulling: of one that
//! nobody pulls the tunnel holds a part at most, and lets it go after [`IDLE_FOR`] seconds.

use crate::record::RecordingId;
use serde::{Deserialize, Serialize};

/// The most recordings in one answer.
pub const KEPT_MOST: usize = 50;
/// The longest text of a [`KeptRecording`], in bytes.
pub const KEPT_WORDS_BYTES: usize = 256;
/// The most bytes of a bundle in one answer.
pub const FETCHED_BYTES: usize = 64 * 1024;
/// A fetch that nobody pulls for so many seconds is given up.
pub const IDLE_FOR: u64 = 30;
/// An answer of the tunnel to one of these questions may take so many seconds: it asks the server, over whatever way there is.
pub const ANSWER_WITHIN: u64 = 25;

/// A recording that the server keeps, by its word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRecording {
    /// Its name.
    pub id: RecordingId,
    /// When it began, in seconds since 1970 by the appliance's clock of then.
    pub began: u64,
    /// How long it is, as far as it is there.
    pub seconds: u64,
    /// Bytes that are there.
    pub bytes: u64,
    /// Who came in (at most [`KEPT_WORDS_BYTES`]); empty where the server does not know it yet.
    pub engineer: String,
    /// What the support session was called, likewise.
    pub session: String,
    /// Why it ended, likewise; empty where its end is not there.
    pub end: String,
    /// Its end is signed: nothing more of it can come.
    pub whole: bool,
    /// The server knows it by one of the keys that it has accepted of this appliance.
    pub verified: bool,
}

/// Why there is nothing, or nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unfetched {
    /// This server gives no recordings back.
    Unable,
    /// It has none of that name of this appliance.
    Unknown,
    /// It did not come to that.
    Failed {
        /// Why, as a sentence without its end.
        why: String,
        /// What to do, as a sentence.
        remedy: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_answer_fits_a_frame() {
        let text = || "x".repeat(KEPT_WORDS_BYTES);
        let one = KeptRecording {
            id: RecordingId::parse(&"x".repeat(40)).unwrap(),
            began: u64::MAX,
            seconds: u64::MAX,
            bytes: u64::MAX,
            engineer: text(),
            session: text(),
            end: text(),
            whole: true,
            verified: true,
        };
        let list = crate::Reply::KeptRecordings { recordings: vec![one; KEPT_MOST], more: true };
        let part = crate::Reply::RecordingPart(vec![0xff; FETCHED_BYTES], u64::MAX);
        for reply in [list, part] {
            assert!(crate::frame::encode(&crate::frame::Frame::Reply { id: u32::MAX, reply }).is_ok());
        }
    }
}
