//! What takes events: the array, syslog, mail. Each knows one way out and nothing of the others; none keeps what it could not
//! deliver, which is the queue's business.

pub mod array;
pub mod mail;
pub mod syslog;
mod way;

pub use way::{Datagrams, PlainDatagrams, Security, Way};

use crate::entry::Kept;
use drawbridge_chain::Text;
use serde::Serialize;
use std::future::pending;
use std::time::Duration;

/// Why something was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What happened, as a sentence without an end: one printable line of at most 512 bytes, with no secret in it.
    pub what: Text<512>,
    /// What to do, as a sentence.
    pub remedy: Text<512>,
}

impl Failure {
    /// Of any texts: what is not printable in them becomes `?`.
    pub fn new(what: &str, remedy: &str) -> Self {
        Self { what: Text::of(what), remedy: Text::of(remedy) }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}: {}", self.what, self.remedy)
    }
}

/// How far events have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of the last event that need not be sent again unless something fails.
    pub sent: u64,
    /// The number of the last event that the other side has for good, as far as its protocol can tell.
    pub settled: u64,
}

/// Something that takes events.
pub trait Sink: Send {
    /// How long to wait before these are delivered, so that a flood becomes a trickle or one message.
    fn wait(&mut self, _waiting: &[Kept]) -> Duration {
        Duration::ZERO
    }

    /// So many events are given to it at once, at most.
    fn batch(&self) -> usize {
        64
    }

    /// Delivers events, in order. How far they have come, and why not to the end.
    fn deliver(&mut self, events: &[Kept]) -> impl Future<Output = (Progress, Option<Failure>)> + Send;

    /// While there is nothing to deliver: the number of the last event that is settled, each time that it grows; or why what
    /// was sent and is not settled has to be sent again. Dropping what it gives does no harm.
    fn idle(&mut self) -> impl Future<Output = Result<u64, Failure>> + Send {
        pending()
    }
}
