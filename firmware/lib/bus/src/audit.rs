//! What is said of the audit: by roles, what has happened; to the console and the courier, what is written down. Types and their
//! bounds only: it writes nothing, and never reads an event.
//!
//! Events are JSON here, one line each, as `drawbridge-audit` writes and reads them: the bus stands below it.

use serde::{Deserialize, Serialize};

/// The longest event that is told, in bytes of JSON.
pub const TOLD_BYTES: usize = 8 * 1024;
/// The longest filter, in bytes of JSON.
pub const FILTER_BYTES: usize = 4 * 1024;
/// The most lines in one answer; fewer when they are long.
pub const AUDIT_LINES_MOST: u16 = 200;
/// The most bytes of lines in one answer: they fit a frame of the bus.
pub const AUDIT_BYTES: usize = 192 * 1024;
/// The most bytes of a file in one answer.
pub const AUDIT_PART_BYTES: u32 = 128 * 1024;
/// The most files that are listed: two of each segment.
pub const AUDIT_FILES_MOST: usize = 2_000;

/// Lines of the log, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLines {
    /// Each without its end.
    pub lines: Vec<String>,
    /// The number of the last event that there is.
    pub last: u64,
}

/// Lines of the log for people, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// Each without its end.
    pub lines: Vec<String>,
    /// Where the next page begins, if there is one: before this number.
    pub before: Option<u64>,
}

/// How the log stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditState {
    /// The numbers of the oldest and of the newest event.
    pub range: Option<(u64, u64)>,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
    /// The segment that is written to, and the hash of its chain's last line.
    pub head: Option<(u32, [u8; 32])>,
    /// The public key by which it is signed.
    pub key: [u8; 32],
    /// What is wrong and what to do, as a sentence; empty when nothing is.
    pub trouble: String,
}

/// What was found when the log was verified on the appliance itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditChecked {
    /// Segments that there are.
    pub segments: u32,
    /// The number of the last event that a right signature stands for, with all before it; 0 when there is none.
    pub proved: u64,
    /// What is wrong, each as a sentence (at most 64); nothing is, when there is none.
    pub faults: Vec<String>,
}
