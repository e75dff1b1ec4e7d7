//! The device's public key, and what is given to whoever holds the private one; it never sees that one.

use crate::hash::{Hash, from_hex, to_hex};
use crate::line::Kind;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a signature is for, so that none for another purpose is one for a chain.
const CONTEXT: &[u8] = b"drawbridge chain v1";
const NAME: &str = "ssh-ed25519";

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// No public key.
    #[error(
        "this is no Ed25519 public key: give the line `ssh-ed25519 AAAA…` as ssh-keygen and the console write it"
    )]
    Key,
    /// No fingerprint.
    #[error("this is no fingerprint of a key: give it as ssh-keygen -l and the console write it, SHA256:…")]
    Fingerprint,
}

/// An Ed25519 public key (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceKey(pub [u8; 32]);

impl DeviceKey {
    /// Reads a line of OpenSSH, with or without a comment (RFC 8709, section 4).
    pub fn parse_ssh(line: &str) -> Result<Self, KeyFault> {
        let mut words = line.split_ascii_whitespace();
        if line.len() > 1024 || words.next() != Some(NAME) {
            return Err(KeyFault::Key);
        }
        let blob = words.next().and_then(|word| STANDARD.decode(word).ok()).ok_or(KeyFault::Key)?;
        let (head, key) = blob.split_last_chunk::<32>().ok_or(KeyFault::Key)?;
        if head == blob_head().as_slice() { Ok(Self(*key)) } else { Err(KeyFault::Key) }
    }

    /// As OpenSSH writes it, without a comment.
    pub fn to_ssh(&self) -> String {
        format!("{NAME} {}", STANDARD.encode(self.blob()))
    }

    /// As OpenSSH shows it: `SHA256:` and the hash of the key's blob in base64 without padding.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(self.hash().0))
    }

    /// The hash that its fingerprint shows.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.blob())
    }

    /// Reads a fingerprint as [`DeviceKey::fingerprint`] writes it.
    pub fn parse_fingerprint(text: &str) -> Result<Hash, KeyFault> {
        let body = text.trim().strip_prefix("SHA256:").ok_or(KeyFault::Fingerprint)?;
        let bytes = STANDARD_NO_PAD.decode(body.trim_end_matches('=')).map_err(|_| KeyFault::Fingerprint)?;
        bytes.try_into().map(Hash).map_err(|_| KeyFault::Fingerprint)
    }

    fn blob(&self) -> Vec<u8> {
        [blob_head().as_slice(), &self.0].concat()
    }

    /// Whether the signature is this key's, of that.
    pub fn verifies(&self, to_sign: &ToSign, signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(&to_sign.bytes(), &signature.0).is_ok()
    }
}

/// What stands before the key in its blob: name and lengths (RFC 4251, section 5).
fn blob_head() -> [u8; 19] {
    *b"\0\0\0\x0bssh-ed25519\0\0\0\x20"
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.fingerprint())
    }
}

impl TryFrom<String> for DeviceKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        from_hex(&text).map(Self).ok_or("no Ed25519 public key: 64 lower-case hexadecimal digits")
    }
}

impl From<DeviceKey> for String {
    fn from(key: DeviceKey) -> Self {
        to_hex(&key.0)
    }
}

/// An Ed25519 signature (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", to_hex(&self.0))
    }
}

impl TryFrom<String> for Signature {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        from_hex(&text).map(Self).ok_or("no Ed25519 signature: 128 lower-case hexadecimal digits")
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        to_hex(&signature.0)
    }
}

/// What the holder of the private key is asked to sign. He makes the bytes of it himself, by [`ToSign::bytes`], so that whoever
/// asks cannot have anything else signed; and he looks at the kind, so that who records cannot have an audit signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToSign {
    /// What sort of chain.
    pub kind: Kind,
    /// The hash of the line that is signed, and so of all before it.
    pub mark: Hash,
}

impl ToSign {
    /// The bytes to be signed: the context, the kind and the hash, with a zero byte between them.
    pub fn bytes(&self) -> Vec<u8> {
        [CONTEXT, b"\0", self.kind.word().as_bytes(), b"\0", &self.mark.0].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_and_shown_as_openssh_does() {
        // Made by ssh-keygen -t ed25519, shown by ssh-keygen -l.
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        let key = DeviceKey::parse_ssh(&format!("{line} root@somewhere")).unwrap();
        assert_eq!(key.to_ssh(), line);
        assert_eq!(key.fingerprint(), "SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE");
        assert_eq!(DeviceKey::parse_fingerprint(&key.fingerprint()), Ok(key.hash()));
        assert_eq!(DeviceKey::parse_fingerprint("SHA256:T7Sv"), Err(KeyFault::Fingerprint));
        assert_eq!(DeviceKey::parse_fingerprint("MD5:aa:bb"), Err(KeyFault::Fingerprint));
        for wrong in [
            "",
            "ssh-ed25519",
            "ssh-rsa AAAA",
            "ssh-ed25519 AAAA",
            &line.replace("NTE5", "NTE6"),
            &line[..60],
        ] {
            assert_eq!(DeviceKey::parse_ssh(wrong), Err(KeyFault::Key), "{wrong}");
        }
    }

    #[test]
    fn a_recording_s_signature_is_none_for_an_audit() {
        let of = |kind| ToSign { kind, mark: Hash::of(b"") }.bytes();
        assert_ne!(of(Kind::Recording), of(Kind::Audit));
        assert!(of(Kind::Audit).starts_with(b"drawbridge chain v1\0audit\0"));
    }
}
