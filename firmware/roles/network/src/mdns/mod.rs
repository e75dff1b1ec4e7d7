//! Says on a link which console there is, under which name (mDNS: RFC 6762, DNS-SD: RFC 6763). It never asks for the
//! services of others, and never speaks on a port that it was not given.
//!
//! ```text
//!              quiet for 0 to 250 ms           three questions            two announcements
//!   port ──► Probing ────────────────────────► Probing ──nobody's──► Announcing ──────────► Standing
//!               ▲                                 │ taken: the name gets another number         │
//!               └─────────────────────────────────┴───── somebody else uses it too ◄────────────┘
//! ```
//! [`machine`] is that, for one port, without a clock and without sockets; [`responder`] gives it both. Messages are made and
//! read by `hickory-proto`, which the resolver brings. `mdns-sd` would be a second codec with a thread and a socket for all
//! ports at once.
//!
//! The sockets are bound to the groups' addresses and to a port each, so that the kernel gives them nothing but multicast of
//! that link, which no router forwards. Hence questions of a probe ask for multicast answers.

pub mod machine;
pub mod message;
mod records;
mod responder;

pub use records::{Service, host_label};
pub use responder::{MdnsPort, run};
