//! What is said of an engineer's supervision: by the console, what the owner wants; to the SSH daemon and the shells, what follows.
//! Types and their bounds only: it never decides.

use serde::{Deserialize, Serialize};

/// Who watches says so again within this time, in milliseconds, or watches no longer.
pub const WATCH_WITHIN: u64 = 4_000;
/// How often the SSH daemon asks what is ordered, in milliseconds: a freeze takes hold within this time.
pub const LOOK_EVERY: u64 = 500;
/// The longest message to an engineer's screen, in characters.
pub const MESSAGE_MOST: usize = 500;
/// The most messages that wait for one engineer.
pub const MESSAGES_MOST: usize = 8;
/// The most who watch one engineer.
pub const WATCHERS_MOST: usize = 16;
/// The longest line that is proposed, in bytes.
pub const LINE_BYTES: usize = 4_096;

/// What the owner wants of an engineer's connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Supervision {
    /// He watches: to be said again within [`WATCH_WITHIN`].
    Watch,
    /// He watches no longer.
    Leave,
    /// Nothing that the engineer types goes on.
    Pause,
    /// It goes on again.
    Resume,
    /// A line for the engineer's screen (at most [`MESSAGE_MOST`] characters).
    Message(String),
    /// The connection ends.
    End,
    /// The proposed line of this number runs, or does not.
    Judge {
        /// Which.
        number: u64,
        /// Whether it runs.
        approved: bool,
    },
}

/// Whether what an engineer types goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Somebody has paused him.
    Paused {
        /// Who.
        by: String,
    },
    /// He is to be watched, and nobody does; in so many seconds the connection ends.
    Unwatched {
        /// Seconds until then.
        seconds: u32,
    },
}

impl std::fmt::Display for Hold {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Paused { by } => {
                write!(to, "{by} has paused the session; what you type is not taken until it goes on")
            }
            Self::Unwatched { seconds } => write!(
                to,
                "nobody is watching; what you type is not taken, and the session ends in {seconds} s unless somebody does"
            ),
        }
    }
}

/// A line that waits for the owner's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Counts from 1 in a connection.
    pub number: u64,
    /// What would run (printable, one line, at most [`LINE_BYTES`]).
    pub line: String,
    /// How long it has waited, in seconds.
    pub seconds: u64,
}

/// What became of a proposed line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judgement {
    /// Nobody has said anything yet.
    Waiting,
    /// It may run.
    Approved {
        /// Who has said so.
        by: String,
    },
    /// It may not.
    Refused {
        /// Who has said so.
        by: String,
    },
}

/// How an engineer is supervised, for the pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervised {
    /// Who watches.
    pub watchers: Vec<String>,
    /// Why what he types is not taken; none while it is.
    pub hold: Option<Hold>,
    /// What he proposes.
    pub proposal: Option<Proposal>,
}

/// What the SSH daemon is to do with an engineer's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineerOrders {
    /// Why what he types is to wait; none: it goes on.
    pub hold: Option<Hold>,
    /// Lines for his screen that were not told before.
    pub messages: Vec<String>,
    /// Who watches.
    pub watchers: Vec<String>,
    /// It is to end, for this reason.
    pub end: Option<String>,
}
