//! The vendor's side: the key that signs responses and grants; it is not used on the appliance.

use crate::challenge::{Challenge, NoRandomness};
use crate::grant::{self, Grant};
use crate::pem;
use crate::response::{self, Claims, Response};
use crate::text::Line;
use crate::vendor::{Signed, VendorKey, message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

/// The longest text that may hold a key, in bytes.
const LONGEST_KEY: usize = 4096;
const LABEL: &str = "PRIVATE KEY";

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerFault {
    /// None can be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The text holds none.
    #[error(
        "it is no signing key: give the file that rss key wrote, an Ed25519 key in PEM (PKCS#8), not encrypted"
    )]
    NoKey,
}

/// A signing key. Its bytes are in no output but [`Signer::generate`]'s.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: VendorKey,
}

impl Signer {
    /// A new key as the PEM text to keep (PKCS#8, RFC 5958).
    pub fn generate() -> Result<Zeroizing<String>, SignerFault> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| NoRandomness)?;
        // `ring` does not wipe its document; it goes with the process, which is a short one.
        let base64 = Zeroizing::new(STANDARD.encode(document.as_ref()));
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str("-----BEGIN PRIVATE KEY-----\n");
        for line in base64.as_bytes().chunks(64) {
            text.extend(line.iter().map(|byte| char::from(*byte)));
            text.push('\n');
        }
        text.push_str("-----END PRIVATE KEY-----\n");
        Ok(text)
    }

    /// Reads such a text, or what `openssl genpkey -algorithm ED25519` writes. The name is the one that its public line gets.
    pub fn read(text: &str, name: Line<64>) -> Result<Self, SignerFault> {
        if text.len() > LONGEST_KEY {
            return Err(SignerFault::NoKey);
        }
        let blocks = pem::blocks(text).map_err(|_| SignerFault::NoKey)?;
        let [block] = blocks.as_slice() else { return Err(SignerFault::NoKey) };
        if block.label != LABEL || block.encrypted {
            return Err(SignerFault::NoKey);
        }
        // OpenSSL leaves the public half out, which is then worked out anew.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&block.der).map_err(|_| SignerFault::NoKey)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| SignerFault::NoKey)?;
        Ok(Self { pair, public: VendorKey::new(public, name) })
    }

    /// The public key, whose text goes into the appliance's profile.
    pub fn public(&self) -> &VendorKey {
        &self.public
    }

    /// The text of a response.
    pub fn respond(&self, challenge: &Challenge, claims: &Claims) -> String {
        Response::text(&self.sign(response::CONTEXT, Response::parts(challenge, claims)))
    }

    /// The text of a grant.
    pub fn grant(&self, grant: &Grant) -> String {
        Grant::text(&self.sign(grant::CONTEXT, grant.parts()))
    }

    fn sign(&self, context: &str, parts: Vec<Vec<u8>>) -> Signed {
        let signature = self.pair.sign(&message(context, &parts));
        let mut bytes = [0; 64];
        bytes.copy_from_slice(signature.as_ref());
        Signed { parts, key: self.public.id(), signature: bytes }
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Signer {
    pub(crate) fn sign_for_test(&self, context: &str, parts: Vec<Vec<u8>>) -> Signed {
        self.sign(context, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn openssl(words: &str, folder: &std::path::Path) {
        let output = Command::new("openssl").args(words.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn openssl_reads_the_key_and_its_keys_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        openssl("genpkey -algorithm ED25519 -out theirs.pem", folder.path());
        openssl("pkey -in theirs.pem -pubout -outform DER -out theirs.pub", folder.path());
        let name = Line::new("The vendor").unwrap();
        let signer = Signer::read(&std::fs::read_to_string(path("theirs.pem")).unwrap(), name).unwrap();
        let public = std::fs::read(path("theirs.pub")).unwrap();
        // RFC 8410, section 4: the key's own 32 bytes stand last.
        let line = format!("drawbridge-ed25519 {} The vendor", STANDARD.encode(&public[public.len() - 32..]));
        assert_eq!(signer.public().to_string(), line);
        // And the signature is one that OpenSSL verifies.
        let parts = vec![b"something".to_vec()];
        let made = signer.sign("a context", parts.clone());
        std::fs::write(path("message"), message("a context", &parts)).unwrap();
        std::fs::write(path("signature"), made.signature).unwrap();
        openssl(
            "pkeyutl -verify -pubin -keyform DER -inkey theirs.pub -rawin -in message -sigfile signature",
            folder.path(),
        );
    }

    #[test]
    fn a_new_key_is_read_again_and_is_not_shown() {
        let text = Signer::generate().unwrap();
        let signer = Signer::read(&text, Line::new("a").unwrap()).unwrap();
        let secret = text.lines().nth(1).unwrap();
        assert!(!format!("{signer:?}").contains(&secret[..16]));
        for wrong in ["", "hello", &text.replace("PRIVATE", "PUBLIC"), &format!("{}{}", *text, *text)] {
            assert_eq!(Signer::read(wrong, Line::new("a").unwrap()).err(), Some(SignerFault::NoKey));
        }
    }
}
