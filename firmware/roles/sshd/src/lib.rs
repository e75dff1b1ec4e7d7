//! The SSH daemon for engineers: it lets in whom the session role lets in, and carries his bytes to shells and targets. It
//! never decides who comes in, never starts a process, and keeps nothing.
//!
//! ```text
//!   tunnel ──preface, SSH──► listen ──► guest (who is it?) ──► channel ──► a shell process, which init starts
//!                               │          │                  forward ──► a place of the scope
//!                               └──bus── session: may he?     │
//!                                        recorder ◄──bus── tap: is it kept?
//! ```
//! It runs while a grant is open, listens on the loopback address only, and answers nobody who does not show the grant's
//! token first. All of it is one thread; every channel has tasks and a buffer of its own, so that one whose reader stands
//! still holds up no other for longer than `inbox` says.

mod algorithms;
mod bus;
mod channel;
mod forward;
mod guest;
mod inbox;
mod line;
mod listen;
mod orders;
mod proof;
mod refusal;
mod role;
mod scope;
mod shells;
mod tap;
mod terminal;

pub use role::{Limits, Place, run, run_at};
