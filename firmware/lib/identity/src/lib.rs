//! What is proved by keys: the console's certificate and the vendor's signed word; it never opens a file or a socket and
//! has no clock but what it is told.
//!
//! Where to begin: [`upload`] for the check of an uploaded certificate, [`request`] for a new one, [`challenge`] and
//! [`desk`] for the login while the array is down, [`grant`] for an approval made by the vendor, [`signer`] for the
//! vendor's side of both, [`vendor`] for the public keys that an appliance knows.

pub mod armour;
pub mod challenge;
pub mod desk;
pub mod facts;
pub mod grant;
mod pem;
pub mod qr;
pub mod request;
pub mod response;
pub mod signer;
mod text;
pub mod upload;
pub mod vendor;

pub use text::{Line, LineFault, Serial, printable};
