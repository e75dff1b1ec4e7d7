//! The private key of an upload; it never keeps a copy that is not wiped.

use super::fault::{Code, Fault};
use crate::facts::{KeyKind, bits, kind_of, kind_of_curve};
use crate::pem::Block;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, UintRef};
use x509_cert::der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use zeroize::Zeroizing;

/// A key that TLS can sign with.
pub(super) struct Key {
    pub(super) der: Zeroizing<PrivateKeyDer<'static>>,
    pub(super) kind: KeyKind,
    pub(super) public: SubjectPublicKeyInfoOwned,
}

/// Whether a block is a private key of any kind.
pub(super) fn is_key(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

/// Reads the key of a block.
pub(super) fn read(block: &Block) -> Result<Key, Fault> {
    if block.encrypted || block.label == "ENCRYPTED PRIVATE KEY" {
        return Err(Fault::new(
            Code::EncryptedKey,
            "The private key is encrypted, and there is nobody to ask for its passphrase at each start.",
            "Decrypt it with: openssl pkey -in key.pem -out plain.pem (it asks for the passphrase), and put the \
             plain one in its place.",
        ));
    }
    // Copied where it goes into something that is wiped, and nowhere else.
    let bytes = || block.der.to_vec();
    let (der, kind) = match block.label.as_str() {
        "PRIVATE KEY" => (PrivateKeyDer::from(PrivatePkcs8KeyDer::from(bytes())), pkcs8_kind(&block.der)),
        "RSA PRIVATE KEY" => (PrivateKeyDer::from(PrivatePkcs1KeyDer::from(bytes())), pkcs1_kind(&block.der)),
        "EC PRIVATE KEY" => (PrivateKeyDer::from(PrivateSec1KeyDer::from(bytes())), sec1_kind(&block.der)),
        "DSA PRIVATE KEY" => return Err(Fault::unsupported_key(KeyKind::Dsa)),
        "OPENSSH PRIVATE KEY" => {
            return Err(Fault::new(
                Code::UnsupportedKey,
                "The private key is in the format of OpenSSH.",
                "Convert a copy of it with: ssh-keygen -p -m PKCS8 -N '' -f copy-of-the-key",
            ));
        }
        _ => return Err(Fault::unsupported_key(KeyKind::Other)),
    };
    let der = Zeroizing::new(der);
    let kind = kind.ok_or_else(|| damaged(KeyKind::Other))?;
    let damaged = || damaged(kind);
    match kind {
        KeyKind::Rsa(2048..=4096) | KeyKind::P256 | KeyKind::P384 => {}
        kind => return Err(Fault::unsupported_key(kind)),
    }
    let signer = any_supported_type(&der).map_err(|_| damaged())?;
    let public = signer.public_key().ok_or_else(damaged)?;
    let public = SubjectPublicKeyInfoOwned::from_der(public.as_ref()).map_err(|_| damaged())?;
    Ok(Key { der, kind, public })
}

fn damaged(kind: KeyKind) -> Fault {
    // An EC key without its public half is what some programs write; this command alone works it out.
    let writer = if matches!(kind, KeyKind::P256 | KeyKind::P384) { "ec" } else { "pkey" };
    Fault::new(
        Code::DamagedKey,
        "The private key cannot be used: it is damaged or lacks a part.",
        format!(
            "Check it with: openssl pkey -in key.pem -check -noout, and write it anew with: openssl {writer} -in key.pem \
             -out new.pem"
        ),
    )
}

/// The kind of a PKCS#8 key (RFC 5958, section 2).
fn pkcs8_kind(der: &[u8]) -> Option<KeyKind> {
    let mut parts = sequence(der)?;
    parts.decode::<UintRef<'_>>().ok()?;
    let algorithm = parts.decode::<AnyRef<'_>>().ok().filter(|any| any.tag() == Tag::Sequence)?;
    let mut algorithm = SliceReader::new(algorithm.value()).ok()?;
    let oid = algorithm.decode::<ObjectIdentifier>().ok()?;
    let parameters = algorithm.decode::<AnyRef<'_>>().ok();
    let curve = parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    match kind_of(oid, curve) {
        KeyKind::Rsa(_) => pkcs1_kind(parts.decode::<&OctetStringRef>().ok()?.as_bytes()),
        kind => Some(kind),
    }
}

/// The kind of a PKCS#1 key (RFC 8017, appendix A.1.2).
fn pkcs1_kind(der: &[u8]) -> Option<KeyKind> {
    let mut parts = sequence(der)?;
    parts.decode::<UintRef<'_>>().ok()?;
    Some(KeyKind::Rsa(bits(parts.decode::<UintRef<'_>>().ok()?.as_bytes())))
}

/// The kind of a SEC1 key (RFC 5915, section 3).
fn sec1_kind(der: &[u8]) -> Option<KeyKind> {
    let mut parts = sequence(der)?;
    parts.decode::<UintRef<'_>>().ok()?;
    parts.decode::<&OctetStringRef>().ok()?;
    let curve = parts.decode::<AnyRef<'_>>().ok()?;
    if curve.tag() != (Tag::ContextSpecific { constructed: true, number: TagNumber(0) }) {
        return Some(KeyKind::OtherCurve);
    }
    // Where the curve is written out instead of named, it is another one for us.
    Some(ObjectIdentifier::from_der(curve.value()).map_or(KeyKind::OtherCurve, kind_of_curve))
}

fn sequence(der: &[u8]) -> Option<SliceReader<'_>> {
    let outer = AnyRef::from_der(der).ok().filter(|any| any.tag() == Tag::Sequence)?;
    SliceReader::new(outer.value()).ok()
}
