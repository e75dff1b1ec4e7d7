//! The tunnel role as a whole, against a Remote Support Server that the test plays.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;
mod honest;
mod hostile;
mod lives;
mod uploads;
