//! The signed hash chain under recordings and audit, and its verifier; it never holds a private key and never uses a network.
//!
//! A chain is a text file of JSON lines beside the files that it vouches for, its *tracks*. Each line but the first has the
//! SHA-256 of the line before it, so that the last line stands for all of them.
//!
//! ```text
//!   header     version, kind, id, serial, public key, start, and what chain it continues
//!   block      number, track, offset, length and SHA-256 of at most 64 KiB of a track
//!   mark       what is to be signed: up to which block, when; the last one says why the chain ends
//!   signature  of the mark before it, by the device's Ed25519 key (RFC 8032), which lives in another process
//!   resumed    the chain was cut here, and goes on
//! ```
//!
//! What is signed is `drawbridge chain v1`, the kind and the hash of the mark's line ([`ToSign::bytes`]). Every line has one
//! spelling only: what is not written as [`Line::encode`] writes it is no line.
//!
//! On disk a track's data is durable before its block's line is written ([`Writer::seal`]). After a cut, [`Recovered::read`]
//! tells what is sealed and what lies beyond; [`verify`] finds each change by anybody who has not the key.

mod hash;
mod key;
mod line;
mod lines;
mod recover;
mod state;
mod text;
mod time;
mod track;
mod verify;
mod writer;

pub use hash::{Hash, Hasher};
pub use key::{DeviceKey, KeyFault, Signature, ToSign};
pub use line::{
    BLOCK_BYTES, Block, Header, Kind, LINE_BYTES, Line, LineFault, MOST_BLOCKS, MOST_OFFSET, MOST_TRACKS,
    Mark, Resumed, Signed, VERSION,
};
pub use lines::{LineReader, ReadFault};
pub use recover::{Recovered, RecoveryFault};
pub use state::{Fault, State, TrackState};
pub use text::{Text, TextFault, TrackName, is_hidden};
pub use time::Utc;
pub use track::{Durable, Track};
pub use verify::{
    Break, Expected, FolderTracks, MOST_BREAKS, Place, Report, Tracks, Trust, Verdict, VerifyFault, verify,
};
pub use writer::{ChainError, Writer};

/// The name of a chain's file in its folder.
pub const FILE: &str = "chain.jsonl";
