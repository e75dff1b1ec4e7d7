//! Finds a recording's content key with the customer's private age key, as `age -d` does; the private key is wiped after use and
//! shown nowhere.
//!
//! The formats are those of age v1 (C2SP, age-encryption.org/v1): identities that begin with `AGE-SECRET-KEY-1`, and a file whose
//! payload is one chunk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;
use curve25519_dalek::MontgomeryPoint;
use drawbridge_recording::ContentKey;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

/// The most private keys of one file, and recipients of one age file: each is tried with each.
const KEYS_MOST: usize = 64;
/// The longest age file that is looked at, in bytes. That of a content key has 265.
pub const AGE_FILE_BYTES: usize = 64 * 1024;

/// Why there is no content key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// No private key is in the file.
    #[error("there is no private key of age in it: one is a line that begins with AGE-SECRET-KEY-1")]
    NoKey,
    /// The file is encrypted itself.
    #[error("the file of the private key is encrypted: decrypt it with `age -d` first")]
    Encrypted,
    /// More than the bound.
    #[error("there are more than {KEYS_MOST} private keys in it: give the file of one")]
    Many,
    /// Something else than an age file, or not all of it.
    #[error("key.age is no age file, or was changed")]
    File,
    /// None of the private keys fits.
    #[error("the recording is not encrypted to this key")]
    Other,
    /// What it holds is no content key.
    #[error("key.age holds something else than the key of a recording")]
    Content,
}

/// Private keys of the customer.
pub struct Identity(Vec<Zeroizing<[u8; 32]>>);

impl std::fmt::Debug for Identity {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Identity")
    }
}

impl Identity {
    /// Reads a file of them, as `age-keygen` makes it: a line each, and comments.
    pub fn parse(text: &str) -> Result<Self, IdentityFault> {
        if text.starts_with("age-encryption.org/") || text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") {
            return Err(IdentityFault::Encrypted);
        }
        let mut keys = Vec::new();
        for line in text.lines().map(str::trim) {
            let Some(key) = secret(line) else { continue };
            if keys.len() == KEYS_MOST {
                return Err(IdentityFault::Many);
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(IdentityFault::NoKey) } else { Ok(Self(keys)) }
    }

    /// Opens the age file of a content key.
    pub fn content(&self, file: &[u8]) -> Result<ContentKey, IdentityFault> {
        if file.len() > AGE_FILE_BYTES {
            return Err(IdentityFault::File);
        }
        let sealed = Sealed::parse(file).ok_or(IdentityFault::File)?;
        let file_key = self.file_key(&sealed).ok_or(IdentityFault::Other)?;
        let mac_key = derived(file_key.as_slice(), &[], b"header").ok_or(IdentityFault::File)?;
        let mac_key = hmac::Key::new(hmac::HMAC_SHA256, mac_key.as_slice());
        hmac::verify(&mac_key, sealed.header, &sealed.mac).map_err(|_| IdentityFault::File)?;
        let payload = derived(file_key.as_slice(), sealed.nonce, b"payload").ok_or(IdentityFault::File)?;
        // The first chunk is the last: 11 bytes of its number, and one that says so.
        let mut last = [0; 12];
        last[11] = 1;
        let text = decrypted(&payload, last, sealed.chunk).ok_or(IdentityFault::File)?;
        let text = std::str::from_utf8(&text).map_err(|_| IdentityFault::Content)?;
        ContentKey::from_text(text).map_err(|_| IdentityFault::Content)
    }

    fn file_key(&self, sealed: &Sealed<'_>) -> Option<Zeroizing<Vec<u8>>> {
        for key in &self.0 {
            let public = MontgomeryPoint::mul_base_clamped(**key);
            for (share, body) in &sealed.recipients {
                let secret = Zeroizing::new(MontgomeryPoint(*share).mul_clamped(**key).to_bytes());
                // Shares of small order make every secret 0 (RFC 7748, section 6.1).
                if secret.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let salt = [share.as_slice(), &public.to_bytes()].concat();
                let wrapping = derived(secret.as_slice(), &salt, b"age-encryption.org/v1/X25519")?;
                if let Some(file_key) = decrypted(&wrapping, [0; 12], body)
                    && file_key.len() == 16
                {
                    return Some(file_key);
                }
            }
        }
        None
    }
}

/// The private key in a line.
fn secret(line: &str) -> Option<Zeroizing<[u8; 32]>> {
    let decoded = CheckedHrpstring::new::<Bech32>(line).ok()?;
    if !decoded.hrp().as_str().eq_ignore_ascii_case("age-secret-key-") {
        return None;
    }
    let mut bytes = decoded.byte_iter();
    let mut key = Zeroizing::new([0; 32]);
    for byte in key.iter_mut() {
        *byte = bytes.next()?;
    }
    bytes.next().is_none().then_some(key)
}

/// An age file, taken apart.
struct Sealed<'a> {
    /// What the code stands for.
    header: &'a [u8],
    /// Of X25519: the share and what is wrapped. All others are passed over.
    recipients: Vec<([u8; 32], Vec<u8>)>,
    mac: Vec<u8>,
    nonce: &'a [u8],
    chunk: &'a [u8],
}

impl<'a> Sealed<'a> {
    fn parse(file: &'a [u8]) -> Option<Self> {
        let mut at = 0;
        let mut line = || {
            let rest = file.get(at..)?;
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let begin = at;
            at += end + 1;
            Some((begin, std::str::from_utf8(rest.get(..end)?).ok()?))
        };
        if line()?.1 != "age-encryption.org/v1" {
            return None;
        }
        let mut recipients = Vec::new();
        let (end, mac) = loop {
            let (begin, text) = line()?;
            if let Some(mac) = text.strip_prefix("--- ") {
                break (begin + 3, STANDARD_NO_PAD.decode(mac).ok()?);
            }
            let mut words = text.strip_prefix("-> ")?.split(' ');
            // The body: lines of 64 characters, and one that is shorter.
            let mut body = String::new();
            loop {
                let (_, part) = line()?;
                body.push_str(part);
                match part.len() {
                    64 => {}
                    ..64 => break,
                    _ => return None,
                }
            }
            if words.next() != Some("X25519") {
                continue;
            }
            let share = STANDARD_NO_PAD.decode(words.next()?).ok()?.try_into().ok()?;
            if recipients.len() == KEYS_MOST {
                return None;
            }
            recipients.push((share, STANDARD_NO_PAD.decode(body).ok()?));
        };
        let (header, payload) = (file.get(..end)?, file.get(at..)?);
        let (nonce, chunk) = payload.split_at_checked(16)?;
        Some(Self { header, recipients, mac, nonce, chunk })
    }
}

/// HKDF-SHA-256 (RFC 5869) to 32 bytes.
fn derived(secret: &[u8], salt: &[u8], purpose: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    extracted.expand(&[purpose], hkdf::HKDF_SHA256).ok()?.fill(key.as_mut_slice()).ok()?;
    Some(key)
}

/// ChaCha20-Poly1305 (RFC 8439).
fn decrypted(key: &[u8; 32], nonce: [u8; 12], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key(nonce);
    let length = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}
