//! Names to addresses over the servers of the port that is asked for; it never reads a configuration file.
//!
//! The C library's way (`getaddrinfo`, `/etc/resolv.conf`, `/etc/hosts`) is not there in a static binary and knows no ports.
//! Here each port has servers of its own, as its settings or its lease name them, and a question about a name leaves by the
//! port whose servers are asked: the sockets are bound to it. The messages, retransmission and the way over TCP are
//! `hickory`'s; which server is asked when, what is believed and what is kept is decided here:
//!
//! ```text
//!   lookup ──► an address, or localhost? ─────────────────────────► answered at once
//!     │
//!     ▼ the name as it is; a name without a dot below each search domain first
//!   kept? ────────────────────────────────────────────────────────► answered from memory
//!     │ no
//!     ▼ each port's servers in order; those that failed lately last
//!   A and AAAA together ──► addresses ────────────────────────────► kept, answered
//!     │        │      └───► no such name ──► next port, next name ──► kept, not found
//!     │        └──────────► failed ──► next server, two rounds ─────► failed, with each server's reason
//!     ▼
//!   2 s for each server, 10 s in all
//! ```
//!
//! What a server says is believed for the question alone that it was asked. Addresses that no other host can have (loopback,
//! multicast, unspecified, link-local of IPv6) are left out: a name must not lead back into the appliance.

mod cache;
mod error;
mod exchange;
mod lookup;
mod name;
mod provider;

pub use error::{Failure, Reason, ResolveError};
pub use lookup::{Answer, Limits, Resolver, Servers};
pub use name::{HostName, NameError};
