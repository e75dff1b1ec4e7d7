//! What is said over the control connection. Types only: it never sends, and never answers.

use crate::line::Line;
use crate::token::Token;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The version of the protocol. A server that knows only older ones says [`ToAppliance::Refused`]. What one side may leave out is no
/// version of its own, but one of the [`Features`].
pub const PROTOCOL: u16 = 2;

/// What the server can do beside bringing engineers. Nothing of it is asked of a server that does not say so; bits that are not known
/// are passed over, so that a later server can say more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features(u32);

impl Features {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// It takes recordings ([`ToServer::Upload`], [`crate::upload`]).
    pub const RECORDINGS: Self = Self(1);
    /// It gives back what it has of them ([`ToServer::Archive`], [`crate::archive`]).
    pub const ARCHIVE: Self = Self(2);

    /// All of both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of these are among them.
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// The server's number of an engineer's request; no two of one control connection have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// From the appliance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToServer {
    /// First, once. Answered with [`ToAppliance::Welcome`], [`ToAppliance::Unenrolled`] or [`ToAppliance::Refused`].
    Hello {
        /// [`PROTOCOL`].
        protocol: u16,
        /// The version of the firmware.
        version: Line<64>,
        /// The system's serial number: by it the system is known, whatever it is called.
        serial: Line<64>,
        /// The system's name.
        name: Line<64>,
        /// The host key of the appliance's SSH daemon as OpenSSH writes it, without comment.
        host_key: Line<512>,
    },
    /// To a server that does not know the appliance: the enrolment token that the server's operator has made. Answered with
    /// [`ToAppliance::Welcome`] or [`ToAppliance::Refused`].
    Enrol {
        /// As it was typed.
        token: Line<128>,
    },
    /// It does not dial for this request.
    Declined {
        /// Which.
        request: RequestId,
        /// Why, as a sentence for the engineer.
        why: Line<256>,
    },
    /// The engineer's connection has ended.
    Ended {
        /// Which.
        request: RequestId,
    },
    /// To be answered with [`ToAppliance::Pong`].
    Ping(u64),
    /// The answer to [`ToAppliance::Ping`].
    Pong(u64),
    /// The owner has raised the bridge: nothing more comes.
    Bye,
    /// It has recordings to hand over, to a server with [`Features::RECORDINGS`]. Answered with [`ToAppliance::Upload`] or
    /// [`ToAppliance::NoUpload`].
    Upload {
        /// The appliance's own number, which the answer gives back.
        request: RequestId,
        /// The key by which it signs recordings, as OpenSSH writes it, without comment.
        key: Line<128>,
    },
    /// Its owner asks for recordings that a server with [`Features::ARCHIVE`] has of it. Answered with [`ToAppliance::Archive`] or
    /// [`ToAppliance::NoArchive`].
    Archive {
        /// The appliance's own number, which the answer gives back.
        request: RequestId,
    },
}

/// From the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAppliance {
    /// The appliance is known, and connected from now on.
    Welcome {
        /// The server's version.
        version: Line<64>,
        /// What engineers call the system.
        system: Line<64>,
        /// What it can do.
        can: Features,
    },
    /// The appliance is not known: it may send [`ToServer::Enrol`] once, or go.
    Unenrolled,
    /// The appliance is refused; the connection ends.
    Refused {
        /// Why, as a sentence.
        why: Line<256>,
        /// What the owner can do, as a sentence.
        remedy: Line<256>,
    },
    /// An engineer waits: dial, show the ticket, and carry his bytes.
    Dial {
        /// Which.
        request: RequestId,
        /// The ticket's token: good once, and for [`crate::TICKET_LIVES`] seconds.
        token: Token,
        /// Who, by the server's word.
        engineer: Line<64>,
        /// From where, by the server's word.
        source: IpAddr,
    },
    /// To be answered with [`ToServer::Pong`].
    Ping(u64),
    /// The answer to [`ToServer::Ping`].
    Pong(u64),
    /// The server goes down; it is worth trying again soon.
    Bye {
        /// Why, as a sentence.
        why: Line<256>,
    },
    /// Recordings are taken: dial, show the ticket, and hand them over ([`crate::upload`]).
    Upload {
        /// The appliance's number.
        request: RequestId,
        /// The ticket's token: good once, and for [`crate::TICKET_LIVES`] seconds.
        token: Token,
    },
    /// They are not, for now.
    NoUpload {
        /// The appliance's number.
        request: RequestId,
        /// Why, as a sentence.
        why: Line<256>,
        /// What can be done, as a sentence.
        remedy: Line<256>,
    },
    /// Recordings are given back: dial, show the ticket, and ask ([`crate::archive`]).
    Archive {
        /// The appliance's number.
        request: RequestId,
        /// The ticket's token: good once, and for [`crate::TICKET_LIVES`] seconds.
        token: Token,
    },
    /// They are not, for now.
    NoArchive {
        /// The appliance's number.
        request: RequestId,
        /// Why, as a sentence.
        why: Line<256>,
        /// What can be done, as a sentence.
        remedy: Line<256>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_server_can_do_beside_is_passed_over() {
        let later: Features = postcard::from_bytes(&postcard::to_stdvec(&0x8001_u32).unwrap()).unwrap();
        assert!(later.has(Features::RECORDINGS) && later.has(Features::NONE));
        assert!(!Features::NONE.has(Features::RECORDINGS) && !later.has(Features::ARCHIVE));
        let both = Features::RECORDINGS.and(Features::ARCHIVE);
        assert!(both.has(Features::ARCHIVE) && both.has(Features::RECORDINGS));
        assert!(!Features::RECORDINGS.has(both));
    }
}
