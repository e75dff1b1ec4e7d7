//! What is said of the vendor's word: whose keys count, and what a signed grant allows. Types and their bounds only: it never
//! verifies a signature.

use crate::support::Scope;
use serde::{Deserialize, Serialize};

/// The most keys, of vendor and owner together, that count at one time.
pub const VENDOR_KEYS_MOST: usize = 16;
/// The longest line of such a key, in bytes.
pub const VENDOR_KEY_BYTES: usize = 512;
/// The longest text of a grant with all that a mail program put around it, in bytes.
pub const GRANT_BYTES: usize = 32 * 1024;

/// A key of the vendor's, as `drawbridge-ed25519 BASE64 NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorKeyLine {
    /// The line, at most [`VENDOR_KEY_BYTES`].
    pub line: String,
    /// Its name.
    pub name: String,
    /// It came with the image; or else the owner has added it.
    pub built_in: bool,
    /// It counts. The owner can switch one off that is built in.
    pub on: bool,
}

/// Whose word the owner takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorKeyChange {
    /// The lines that the owner adds: all of them, in the place of those before.
    pub own: Vec<String>,
    /// The lines of built-in keys that do not count.
    pub off: Vec<String>,
    /// Who asks, for the record.
    pub by: String,
}

/// What a grant that counts allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTerms {
    /// By which it is known, and used once.
    pub id: [u8; 16],
    /// The vendor's case.
    pub case: String,
    /// The name of the key that has signed it.
    pub signer: String,
    /// The engineer's public key as OpenSSH writes it.
    pub engineer: String,
    /// What may be opened, at most.
    pub scope: Scope,
    /// For how long, at most.
    pub minutes: u32,
    /// The last second in which it may be used, since 1970.
    pub not_after: u64,
    /// The support session that is open was opened by it: it can be used for that one, and for no other.
    pub is_open: bool,
}

/// Why a grant does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantFault {
    /// A stable name, for programs: small letters and hyphens.
    pub code: String,
    /// Why, and what to do, as a sentence.
    pub sentence: String,
}

/// Of which grant an open session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedBy {
    /// The grant.
    pub id: [u8; 16],
    /// The vendor's case.
    pub case: String,
    /// The name of the key that has signed it.
    pub signer: String,
}
