//! The support session: it alone decides who may come in, and when it ends. It never carries a byte of an engineer's.
//!
//! So far its core stands, without a process around it: [`secret`] makes, judges and checks the one-time secret, and
//! [`machine`] is the session's course, told the time and what happens, and telling what is to be done.

pub mod machine;
pub mod secret;
