//! A recording's content key for one holder of an age key: the customer's public key is read and the content key is put into an
//! age file for it. It never sees a private key: opening such a file is `verify`'s, or the program `age`'s.
//!
//! The format is age v1 (C2SP, age-encryption.org/v1) with one X25519 recipient and one chunk of payload, so that `age -d`
//! opens it.

use crate::sealed::ContentKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::error::Unspecified;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{hkdf, hmac};
use std::fmt;
use zeroize::Zeroizing;

/// The longest text that is looked at as a recipient, in bytes. One of 32 bytes has 62.
const TEXT_BYTES: usize = 128;
/// The size of the age file of a content key: 22 bytes of the version, 54 and 44 of the one recipient, 48 of the header's end, and
/// nonce, 65 bytes and tag.
pub(crate) const FILE_BYTES: u64 = 22 + 54 + 44 + 48 + 16 + 65 + 16;
/// The size of the key that age makes for each file.
const FILE_KEY_BYTES: usize = 16;

/// A text is no public key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientFault {
    /// It is a private key.
    #[error(
        "this is a private key: keep it to yourself, and give the public one, which `age-keygen -y` shows and which begins with age1"
    )]
    Private,
    /// It is something else.
    #[error(
        "this is no public key of age: one begins with age1 and has 62 characters, and `age-keygen` makes it"
    )]
    Other,
    /// It is one of the few points that make every secret the same.
    #[error(
        "this public key is of no use: nothing that is encrypted to it would be secret. Make another with `age-keygen`"
    )]
    Weak,
}

/// Nothing could be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be encrypted: the kernel gives no random numbers, or the key is of no use")]
pub struct CannotEncrypt;

impl From<Unspecified> for CannotEncrypt {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// A customer's public key: `age1...` as `age-keygen` makes it, of an X25519 key (RFC 7748).
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient {
    text: String,
    point: [u8; 32],
}

impl Recipient {
    /// Reads one, and tries it.
    pub fn parse(text: &str) -> Result<Self, RecipientFault> {
        if text.get(..15).is_some_and(|begin| begin.eq_ignore_ascii_case("AGE-SECRET-KEY-")) {
            return Err(RecipientFault::Private);
        }
        if text.len() > TEXT_BYTES {
            return Err(RecipientFault::Other);
        }
        let decoded = CheckedHrpstring::new::<Bech32>(text).map_err(|_| RecipientFault::Other)?;
        let mut bytes = decoded.byte_iter();
        let mut point = [0; 32];
        for byte in &mut point {
            *byte = bytes.next().ok_or(RecipientFault::Other)?;
        }
        if bytes.next().is_some() || !decoded.hrp().as_str().eq_ignore_ascii_case("age") {
            return Err(RecipientFault::Other);
        }
        let recipient = Self { text: text.to_ascii_lowercase(), point };
        let own = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new());
        let tried = own.map(|own| agree_ephemeral(own, &recipient.key(), |_| ()));
        // Without random numbers it is tried when it is used.
        if tried.is_ok_and(|agreed| agreed.is_err()) { Err(RecipientFault::Weak) } else { Ok(recipient) }
    }

    /// It as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn key(&self) -> UnparsedPublicKey<[u8; 32]> {
        UnparsedPublicKey::new(&X25519, self.point)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}

/// The age file in which only the recipient finds the content key: as 64 hexadecimal digits and a line's end.
pub(crate) fn wrap(content: &ContentKey, to: &Recipient) -> Result<Vec<u8>, CannotEncrypt> {
    let random = SystemRandom::new();
    let mut file_key = Zeroizing::new([0; FILE_KEY_BYTES]);
    let mut nonce = [0; 16];
    random.fill(file_key.as_mut_slice())?;
    random.fill(&mut nonce)?;

    let own = EphemeralPrivateKey::generate(&X25519, &random)?;
    let share = own.compute_public_key()?;
    let salt = [share.as_ref(), &to.point].concat();
    let wrapped = agree_ephemeral(own, &to.key(), |secret| {
        let key = derived(secret, &salt, b"age-encryption.org/v1/X25519")?;
        encrypted(&key, [0; 12], file_key.as_slice())
    })??;

    let mut file = format!(
        "age-encryption.org/v1\n-> X25519 {}\n{}\n---",
        STANDARD_NO_PAD.encode(share.as_ref()),
        STANDARD_NO_PAD.encode(&wrapped)
    );
    let mac_key = derived(file_key.as_slice(), &[], b"header")?;
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, mac_key.as_slice()), file.as_bytes());
    file.push(' ');
    file.push_str(&STANDARD_NO_PAD.encode(mac.as_ref()));
    file.push('\n');

    let mut file = file.into_bytes();
    file.extend_from_slice(&nonce);
    let payload = derived(file_key.as_slice(), &nonce, b"payload")?;
    // The first chunk is the last: 11 bytes of its number, and one that says so.
    let mut last = [0; 12];
    last[11] = 1;
    file.extend_from_slice(&encrypted(&payload, last, content.to_text().as_bytes())?);
    Ok(file)
}

/// Whether this is such a file from its beginning to its end.
pub(crate) fn is_whole(file: &[u8]) -> bool {
    let is_long = u64::try_from(file.len()).is_ok_and(|length| length == FILE_BYTES);
    is_long && file.starts_with(b"age-encryption.org/v1\n") && file.get(120..124) == Some(b"--- ")
}

/// HKDF-SHA-256 (RFC 5869) to 32 bytes.
pub(crate) fn derived(
    secret: &[u8],
    salt: &[u8],
    purpose: &[u8],
) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
    let mut key = Zeroizing::new([0; 32]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    extracted.expand(&[purpose], hkdf::HKDF_SHA256)?.fill(key.as_mut_slice())?;
    Ok(key)
}

/// ChaCha20-Poly1305 (RFC 8439) with this key.
pub(crate) fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new)
}

fn encrypted(key: &[u8; 32], nonce: [u8; 12], plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let mut bytes = plain.to_vec();
    cipher(key)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes)?;
    Ok(bytes)
}
