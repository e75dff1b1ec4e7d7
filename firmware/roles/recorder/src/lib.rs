//! What engineers do, written down and read out again: every connection's recording. It never decides who may do what, never speaks
//! with the network, and holds no key.
//!
//! ```text
//!   sshd, shell ── bus ──► desk ──► worker, a thread for each recording ──► tape ──► bundle on the disk
//!                           │          │                                     └► typed  what of the typing may be kept
//!                           │          └► signer ──► session, which holds the key
//!                           └► closer   what was cut, has failed, or lacks its last signature
//!   console ────── bus ──► shelf      what there is, and what may go when there is no room
//!                  └─────► screens    running terminals as they look, from their files
//!   tunnel ─────── bus ──► shelf      what the server has not confirmed, to be sent, and its word when it has
//! ```

mod closer;
mod customer;
mod desk;
mod live;
mod role;
mod room;
mod screens;
mod shelf;
mod signer;
mod sparing;
pub mod tape;
mod teller;
pub mod typed;
mod worker;

pub use role::{Place, run, run_at};
