//! The vendor's public keys and what is signed by them; it holds no private key.
//!
//! What is signed is `lp(context) ‖ lp(part) ‖ …`, where `lp` writes a length as four bytes, big end first, before the bytes.
//! The context says what the signature is for, so that a response is never taken for a grant, nor either for something else
//! that the key may sign one day. Beside the parts stand the first eight bytes of the key's SHA-256, by which it is found,
//! and the Ed25519 signature (RFC 8032).

use crate::text::Line;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};
use std::fmt;

/// The first word of a key's line.
const KIND: &str = "drawbridge-ed25519";
/// The most keys that one appliance knows.
pub const MOST_KEYS: usize = 16;
const LONGEST_LIST: usize = 8 * 1024;
const ID: usize = 8;
const SIGNATURE: usize = 64;

/// A public key with its name, written as `drawbridge-ed25519 BASE64 NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorKey {
    name: Line<64>,
    public: [u8; 32],
}

/// Why a line or a list of lines is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VendorKeyFault {
    /// No key.
    #[error("it is no vendor key: one line is {KIND}, 44 characters of Base64, and a name")]
    Malformed,
    /// Too many.
    #[error("there are more than {MOST_KEYS} vendor keys: take out those that are not in use any more")]
    Many,
    /// Twice the same.
    #[error("a vendor key is there twice: take one of the lines out")]
    Twice,
}

impl VendorKey {
    /// The key by its bytes.
    pub fn new(public: [u8; 32], name: Line<64>) -> Self {
        Self { name, public }
    }

    /// Reads one line.
    pub fn parse(line: &str) -> Result<Self, VendorKeyFault> {
        let mut words = line.trim().splitn(3, ' ');
        let (Some(KIND), Some(key), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Err(VendorKeyFault::Malformed);
        };
        let bytes = STANDARD.decode(key).map_err(|_| VendorKeyFault::Malformed)?;
        let public = <[u8; 32]>::try_from(bytes).map_err(|_| VendorKeyFault::Malformed)?;
        let name = Line::new(name).map_err(|_| VendorKeyFault::Malformed)?;
        Ok(Self { name, public })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn line(&self) -> Line<64> {
        self.name.clone()
    }

    pub(crate) fn id(&self) -> [u8; ID] {
        digest(&SHA256, &self.public).as_ref().first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Display for VendorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND} {} {}", STANDARD.encode(self.public), self.name)
    }
}

/// The keys that an appliance knows.
#[derive(Clone, Debug, Default)]
pub struct VendorKeys(Vec<VendorKey>);

impl VendorKeys {
    /// Takes keys.
    pub fn new(keys: Vec<VendorKey>) -> Result<Self, VendorKeyFault> {
        if keys.len() > MOST_KEYS {
            return Err(VendorKeyFault::Many);
        }
        let is_twice =
            |(index, key): (usize, &VendorKey)| keys[..index].iter().any(|one| one.public == key.public);
        if keys.iter().enumerate().any(is_twice) {
            return Err(VendorKeyFault::Twice);
        }
        Ok(Self(keys))
    }

    /// Reads a list: a key a line, empty lines and those that begin with `#` passed over.
    pub fn parse(text: &str) -> Result<Self, VendorKeyFault> {
        if text.len() > LONGEST_LIST {
            return Err(VendorKeyFault::Many);
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self::new(lines.map(VendorKey::parse).collect::<Result<_, _>>()?)
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &VendorKey> {
        self.0.iter()
    }

    /// Whose signature it is.
    pub(crate) fn verify(&self, context: &str, signed: &Signed) -> Result<&VendorKey, SignatureFault> {
        let key = self.0.iter().find(|key| key.id() == signed.key).ok_or(SignatureFault::UnknownKey)?;
        UnparsedPublicKey::new(&ED25519, &key.public)
            .verify(&message(context, &signed.parts), &signed.signature)
            .map(|()| key)
            .map_err(|_| SignatureFault::Wrong)
    }
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureFault {
    UnknownKey,
    Wrong,
}

/// Parts with the signature over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) key: [u8; ID],
    pub(crate) signature: [u8; SIGNATURE],
}

/// What is signed.
pub(crate) fn message(context: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut message = Vec::new();
    for part in std::iter::once(context.as_bytes()).chain(parts.iter().map(Vec::as_slice)) {
        // No part is near the limit: texts are bounded long before.
        message.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        message.extend_from_slice(part);
    }
    message
}

impl Signed {
    /// As bytes: each part with its length in two bytes, the key's mark, the signature.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            bytes.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// So many parts from bytes, and nothing after them.
    pub(crate) fn from_bytes(mut bytes: &[u8], count: usize) -> Option<Self> {
        let mut parts = Vec::new();
        for _ in 0..count {
            let (length, rest) = bytes.split_first_chunk()?;
            let (part, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            parts.push(part.to_vec());
            bytes = rest;
        }
        let (key, signature) = bytes.split_first_chunk()?;
        Some(Self { parts, key: *key, signature: signature.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_keys_is_read_and_written() {
        let line = format!("{KIND} {} The vendor, 2026", STANDARD.encode([7; 32]));
        let keys = VendorKeys::parse(&format!("# keys\n\n {line} \r\n")).unwrap();
        assert!(keys.iter().map(ToString::to_string).eq(std::iter::once(line.clone())));
        assert_eq!(VendorKeys::parse(&format!("{line}\n{line}2")).unwrap_err(), VendorKeyFault::Twice);
        for wrong in [
            line.replace(KIND, "ssh-ed25519"),
            line.replace("Bw", "B!"),
            format!("{KIND} {} name", STANDARD.encode([7; 31])),
            format!("{KIND} {}", STANDARD.encode([7; 32])),
        ] {
            assert_eq!(VendorKey::parse(&wrong), Err(VendorKeyFault::Malformed), "{wrong}");
        }
        let many: String = (0..17)
            .fold(String::new(), |all, key| all + &format!("{KIND} {} a\n", STANDARD.encode([key; 32])));
        assert_eq!(VendorKeys::parse(&many).unwrap_err(), VendorKeyFault::Many);
    }

    #[test]
    fn parts_cannot_be_shifted_into_one_another() {
        let split = |parts: [&[u8]; 2]| message("x", &parts.map(<[u8]>::to_vec));
        assert_ne!(split([b"ab", b"c"]), split([b"a", b"bc"]));
        assert_ne!(message("xy", &[]), message("x", &[b"y".to_vec()]));
    }
}
