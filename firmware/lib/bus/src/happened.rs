//! What has happened to the machine itself, as init tells it and session writes it down. Types only, as in `message`.

use crate::role::Role;
use serde::{Deserialize, Serialize};

/// The most that one reply carries: with texts as long as a log line they fit a frame.
pub const HAPPENED_MOST: usize = 64;

/// A part of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// A disk.
    Disk,
    /// The data partition.
    Data,
    /// Memory.
    Memory,
    /// The processor.
    Processor,
    /// A temperature.
    Temperature,
    /// The link of an Ethernet port.
    Link,
}

/// How it is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// It works, or works again.
    Well,
    /// It works, and perhaps will not for long.
    Failing,
    /// It does not work.
    Failed,
}

/// Something that has happened to the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happened {
    /// A role has failed, or works again.
    Role {
        /// Which.
        role: Role,
        /// Whether it works again.
        works: bool,
        /// How it ended, or what came before it worked again, as a part of a sentence.
        why: String,
    },
    /// A part is as it was not before.
    Part {
        /// Which.
        part: Part,
        /// How it is.
        health: Health,
        /// Which one of them, and what is known: printable, one line, at most [`crate::message::LOG_LINE_BYTES`].
        text: String,
    },
    /// The clock was set. Both are what it said, in milliseconds since 1970 (negative: before).
    Clock {
        /// Before.
        from: i64,
        /// After.
        to: i64,
        /// Whose word it is (at most [`crate::message::TIME_SERVERS_MOST`]); empty: the machine's own, at its start.
        servers: Vec<String>,
    },
    /// So many more have happened at this place, for which there was no room.
    Missed(u64),
}
