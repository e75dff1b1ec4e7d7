//! The time of day from several servers (SNTP: RFC 4330, RFC 5905). It never sets a clock: it says by how much it is off.
//!
//! ```text
//!   sources ──► a round: each source's name resolved, its server asked ──samples──► selection ──► news
//!      ▲                          │ (exchange, packet)                                 │
//!      └──── schedule: the wait ◄─┴────────────── agreed, doubt, silence ──────────────┘
//! ```
//! A client of our own: `rsntp` 4 cannot bind to a device, leaves out the root delay and dispersion that a selection among
//! several servers is made of, measures against a clock that may be set meanwhile, and sends that clock's time in the clear.

mod client;
mod exchange;
pub mod packet;
pub mod schedule;
pub mod selection;

pub use client::{Correction, Host, News, Resolve, SOURCES_MOST, Source, run};
pub use packet::Bounds;
pub use schedule::Pace;
