//! What tunnel and recorder tell each other of recordings that go to the server. Types and their bounds only: it never sends one.
//!
//! The tunnel speaks with the world. It is told of recordings that the server has not confirmed yet, and of no others.

use crate::record::RecordingId;
use serde::{Deserialize, Serialize};

/// The most recordings in one answer.
pub const UNSENT_MOST: usize = 64;

/// A recording that the server has not confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsent {
    /// Its name.
    pub id: RecordingId,
    /// Whether it still runs.
    pub running: bool,
    /// So many bytes of its chain are on the disk, and outlive a power cut, with all that their lines name. What comes after them is not
    /// to be sent yet: a cut could take it back.
    pub chain: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_answer_fits_a_frame() {
        let id = RecordingId::parse(&"x".repeat(40)).unwrap();
        let unsent = vec![Unsent { id, running: true, chain: u64::MAX }; UNSENT_MOST];
        let reply = crate::Reply::Unsent(unsent);
        assert!(crate::frame::encode(&crate::frame::Frame::Reply { id: u32::MAX, reply }).is_ok());
    }
}
