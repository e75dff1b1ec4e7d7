//! The control protocol between the appliance and the Remote Support Server; it never dials, listens or decides.
//!
//! ```text
//!   control:  TLS, ALPN drawbridge-control/1  ─► SSH, the appliance is the client and logs in with its login key
//!             ─► one channel with the subsystem "drawbridge-control" ─► frames, both ways (message)
//!   session:  TLS, ALPN drawbridge-session/1  ─► the appliance sends a ticket (ticket), the server one byte
//!             ─► the engineer's own SSH bytes and nothing else
//!   recordings: TLS, ALPN drawbridge-recording/1 ─► a ticket and its answer as above ─► frames, both ways (upload)
//!   archive:  TLS, ALPN drawbridge-archive/1 ─► a ticket and its answer as above ─► one question, and recordings back (archive)
//!   engineer: plain SSH, or TLS with ALPN drawbridge-engineer/1 or none
//! ```
//!
//! A frame is a big-endian `u32` length of 1 to [`FRAME_BYTES`], then that many bytes of postcard. Whatever is longer, is no
//! message, or has bytes behind the message ends the connection. Texts are bounded and printable when they are read
//! ([`Line`]).

pub mod archive;
mod frame;
mod line;
mod message;
pub mod ticket;
mod token;
pub mod upload;

pub use frame::{Decoder, FRAME_BYTES, FrameError, encode};
pub use line::{Line, LineError};
pub use message::{Features, PROTOCOL, RequestId, ToAppliance, ToServer};
pub use token::{Token, TokenError};

/// The application protocol (RFC 7301) of the control connection.
pub const CONTROL: &[u8] = b"drawbridge-control/1";
/// The application protocol of an engineer's own connection, from the appliance.
pub const SESSION: &[u8] = b"drawbridge-session/1";
/// The application protocol of a connection on which the appliance hands recordings over.
pub const RECORDING: &[u8] = b"drawbridge-recording/1";
/// The application protocol of a connection on which the appliance asks for recordings back.
pub const ARCHIVE: &[u8] = b"drawbridge-archive/1";
/// The application protocol of an engineer who comes in over TLS.
pub const ENGINEER: &[u8] = b"drawbridge-engineer/1";
/// The SSH subsystem of the control connection (RFC 4254, section 6.5).
pub const SUBSYSTEM: &str = "drawbridge-control";
/// The server's ports, where nothing else is said.
pub const TLS_PORT: u16 = 443;
/// The server's port for engineers' SSH.
pub const SSH_PORT: u16 = 22;

/// Each side says something at least so often, in seconds: a ping when there is nothing else.
pub const PING_EVERY: u64 = 10;
/// A side from which nothing has come for so many seconds is gone.
pub const SILENT_FOR: u64 = 30;
/// A ticket is of no use after so many seconds.
pub const TICKET_LIVES: u64 = 30;
