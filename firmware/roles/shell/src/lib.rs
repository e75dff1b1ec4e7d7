//! The engineer's command line and files: one process for each of his channels that is no forward. It never reaches more than
//! the grant's scope names, and never opens a file outside the grant's folder.
//!
//! ```text
//!   arguments ──► role ──► scope (session) ──► narrow ──┬─► exec         one line ──► words ──► commands
//!                                                       ├─► interactive  a line at a time ──► words ──► commands
//!                                                       ├─► exec scp -t  ──► scp ──┐
//!                                                       └─► sftp ──────────────────┴─► tree (the grant's folder)
//!   what is done with files and places ──► deeds ──► recorder: what it does not keep is not done
//! ```

mod commands;
mod deeds;
mod guided;
mod interactive;
mod output;
pub mod path;
mod role;
pub mod scp;
pub mod sftp;
mod terminal;
mod tree;
pub mod words;

pub use role::{Place, run, run_at};
