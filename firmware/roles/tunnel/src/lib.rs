//! The tunnel role: the way out to the Remote Support Server. One process for one grant, or for one test of the way; it never
//! lets anybody in, never sees an engineer's bytes, and ends with the grant.
//!
//! ```text
//!   session ──orders──► role ──► narrow (to the ports of the way, for good)
//!      ▲                 │
//!      │ news            ├──► keep ──► way (dial, TLS) ──► ssh (log in) ──► control (frames)
//!      └─────────────────┤     ▲                                              │ Dial
//!                        │     └── carrier (a cable that comes back)          ▼
//!                        │                              engineers ──► way, ticket ══ copy ══► 127.0.0.1: the SSH daemon
//!                        ├──► upload (recorder's parts) ──► way, ticket ══ a recording's chain and what it names ══► the server
//!                        ├──► archive ◄── console: a list, or a bundle part by part ◄══ ticket, way ══ the server
//!                        └──► doctor (the same way, told step by step)
//! ```
//!
//! The server may be hostile. Whatever it sends is bounded in bytes, messages, dials and time (`bounds`, `guard`), and a
//! control connection on which something else comes than the protocol's messages is ended and made again.

mod archive;
mod bounds;
mod bus;
mod carrier;
mod control;
mod copy;
mod doctor;
mod engineers;
mod guard;
mod hand;
mod keep;
mod leave;
mod news;
mod pace;
mod role;
mod ssh;
mod trouble;
mod upload;
mod way;

pub use pace::Pace;
pub use role::{Place, run, run_at};
