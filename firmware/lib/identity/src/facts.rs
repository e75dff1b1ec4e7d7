//! What stands in a certificate, for people and for checks; it never says whether the certificate is any good.

use crate::text::printable;
use ring::digest::{SHA256, digest};
use std::fmt::Write as _;
use std::net::IpAddr;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// The longest text of one fact, in characters.
const LONGEST: usize = 256;
/// So many names and addresses are shown; what a check looks at is not bounded by it.
const MOST_SHOWN: usize = 100;

/// The kind of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with the length of its modulus in bits.
    Rsa(usize),
    /// EC on P-256.
    P256,
    /// EC on P-384.
    P384,
    /// EC on P-521.
    P521,
    /// EC on another curve.
    OtherCurve,
    /// Ed25519.
    Ed25519,
    /// Ed448.
    Ed448,
    /// DSA.
    Dsa,
    /// Something else.
    Other,
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Rsa(bits) => return write!(f, "RSA {bits}"),
            Self::P256 => "EC P-256",
            Self::P384 => "EC P-384",
            Self::P521 => "EC P-521",
            Self::OtherCurve => "EC on another curve",
            Self::Ed25519 => "Ed25519",
            Self::Ed448 => "Ed448",
            Self::Dsa => "DSA",
            Self::Other => "of an unknown kind",
        };
        f.pad(name)
    }
}

/// What stands in a certificate. All text is printable and at most 256 characters long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// The subject's whole name, as RFC 4514 writes it.
    pub subject: String,
    /// The issuer's.
    pub issuer: String,
    /// The DNS names among its alternative names, 100 at most.
    pub names: Vec<String>,
    /// The addresses among them, 100 at most.
    pub addresses: Vec<IpAddr>,
    /// From when it is valid, in seconds since 1970.
    pub begins: u64,
    /// Until when, the same way, that second included.
    pub ends: u64,
    /// SHA-256 of the whole certificate, as pairs of capital hexadecimal digits with colons.
    pub fingerprint: String,
    /// Its public key.
    pub key: KeyKind,
    /// Whether subject and issuer are the same.
    pub self_issued: bool,
    /// Its serial number, in hexadecimal pairs with colons.
    pub serial: String,
}

/// No certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no X.509 certificate that can be read: export it again")]
pub struct Unreadable;

impl CertificateFacts {
    /// Reads a certificate in DER.
    pub fn of(der: &[u8]) -> Result<Self, Unreadable> {
        Ok(Self::of_parsed(der, &Certificate::from_der(der).map_err(|_| Unreadable)?))
    }

    pub(crate) fn of_parsed(der: &[u8], certificate: &Certificate) -> Self {
        let inner = certificate.tbs_certificate();
        let (names, addresses) = alternative_names(certificate);
        Self {
            common_name: common_name(inner.subject()).map(|name| printable(&name, LONGEST)),
            subject: shown(inner.subject()),
            issuer: shown(inner.issuer()),
            names: names.iter().take(MOST_SHOWN).map(|name| printable(name, LONGEST)).collect(),
            addresses: addresses.into_iter().take(MOST_SHOWN).collect(),
            begins: inner.validity().not_before.to_unix_duration().as_secs(),
            ends: inner.validity().not_after.to_unix_duration().as_secs(),
            fingerprint: pairs(digest(&SHA256, der).as_ref()),
            key: key_kind(inner.subject_public_key_info()),
            self_issued: inner.subject() == inner.issuer(),
            serial: pairs(inner.serial_number().as_bytes()),
        }
    }
}

/// A name as text, cut before it is long.
pub(crate) fn shown(name: &Name) -> String {
    let mut text = Bounded(String::new());
    // An error says that there is no more room: what fits is what is shown.
    let _ = write!(text, "{name}");
    printable(&text.0, LONGEST)
}

/// Takes a little more than is shown, and no more.
struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() > 4 * LONGEST {
            return Err(std::fmt::Error);
        }
        self.0.push_str(&text[..text.floor_char_boundary(8 * LONGEST)]);
        Ok(())
    }
}

/// The last common name, which is the most specific one.
pub(crate) fn common_name(name: &Name) -> Option<String> {
    const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
    let attribute = name.iter().filter(|attribute| attribute.oid == COMMON_NAME).last()?;
    let bytes = attribute.value.value();
    match attribute.value.tag() {
        // Two bytes a character.
        Tag::BmpString => {
            let units: Vec<u16> =
                bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            Some(String::from_utf16_lossy(&units))
        }
        Tag::PrintableString | Tag::Utf8String | Tag::Ia5String | Tag::TeletexString => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => None,
    }
}

/// All DNS names and addresses among the alternative names. What cannot be read counts as not there.
pub(crate) fn alternative_names(certificate: &Certificate) -> (Vec<String>, Vec<IpAddr>) {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    let Ok(Some((_, SubjectAltName(all)))) = certificate.tbs_certificate().get_extension::<SubjectAltName>()
    else {
        return (names, addresses);
    };
    for name in all {
        match name {
            GeneralName::DnsName(name) => names.push(name.as_str().to_owned()),
            GeneralName::IpAddress(bytes) => {
                let bytes = bytes.as_bytes();
                let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
                addresses.extend(v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)));
            }
            _ => {}
        }
    }
    (names, addresses)
}

/// The kind of a public key, by its algorithm (RFC 3279, 5480 and 8410).
pub(crate) fn key_kind(key: &SubjectPublicKeyInfoOwned) -> KeyKind {
    let curve = key.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    let kind = kind_of(key.algorithm.oid, curve);
    match kind {
        KeyKind::Rsa(_) => {
            KeyKind::Rsa(key.subject_public_key.as_bytes().and_then(modulus_bits).unwrap_or(0))
        }
        kind => kind,
    }
}

/// The kind of a key by its algorithm and curve; an RSA key's length is for the caller.
pub(crate) fn kind_of(algorithm: ObjectIdentifier, curve: Option<ObjectIdentifier>) -> KeyKind {
    match algorithm.to_string().as_str() {
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => KeyKind::Rsa(0),
        "1.2.840.10045.2.1" => curve.map_or(KeyKind::OtherCurve, kind_of_curve),
        "1.3.101.112" => KeyKind::Ed25519,
        "1.3.101.113" => KeyKind::Ed448,
        "1.2.840.10040.4.1" => KeyKind::Dsa,
        _ => KeyKind::Other,
    }
}

/// The kind of an EC key by its curve (RFC 5480, section 2.1.1.1).
pub(crate) fn kind_of_curve(curve: ObjectIdentifier) -> KeyKind {
    match curve.to_string().as_str() {
        "1.2.840.10045.3.1.7" => KeyKind::P256,
        "1.3.132.0.34" => KeyKind::P384,
        "1.3.132.0.35" => KeyKind::P521,
        _ => KeyKind::OtherCurve,
    }
}

/// The length of the modulus of an `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn modulus_bits(key: &[u8]) -> Option<usize> {
    use x509_cert::der::{AnyRef, Reader as _, SliceReader, asn1::UintRef};
    let key = AnyRef::from_der(key).ok().filter(|any| any.tag() == Tag::Sequence)?;
    let modulus = SliceReader::new(key.value()).ok()?.decode::<UintRef<'_>>().ok()?;
    Some(bits(modulus.as_bytes()))
}

/// How many bits a number of big-endian bytes has.
pub(crate) fn bits(number: &[u8]) -> usize {
    let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn pairs(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for (index, byte) in bytes.iter().enumerate() {
        let colon = if index == 0 { "" } else { ":" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

/// The key's own bytes and algorithm, to compare two of them: parameters that say nothing do not count.
pub(crate) fn same_key(one: &SubjectPublicKeyInfoOwned, other: &SubjectPublicKeyInfoOwned) -> bool {
    let parameters = |key: &SubjectPublicKeyInfoOwned| {
        key.algorithm
            .parameters
            .as_ref()
            .filter(|any| any.tag() != Tag::Null)
            .and_then(|any| any.to_der().ok())
    };
    one.algorithm.oid == other.algorithm.oid
        && parameters(one) == parameters(other)
        && one.subject_public_key == other.subject_public_key
}
