//! The certificates of an upload in their order, leaf first; it never decides whether a root is to be trusted.
//!
//! A link is found by name and proved by its signature. Where a signature is of a kind that cannot be checked here, the name
//! has to do: it is the browser that verifies, and the appliance only hands the chain over.

use crate::facts::{CertificateFacts, KeyKind};
use ring::signature as sig;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

/// A certificate with what was read from it.
pub(super) struct Link {
    pub(super) der: CertificateDer<'static>,
    pub(super) parsed: Certificate,
    pub(super) facts: CertificateFacts,
}

/// What a signature is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Its algorithm or the key is none that can be checked here.
    Unknown,
}

/// The chain, and what is left over.
pub(super) struct Ordered {
    pub(super) chain: Vec<Link>,
    /// What the last one's issuer should be, and is not: its name is right, its key is another.
    pub(super) impostor: Option<Link>,
    pub(super) rest: Vec<Link>,
}

impl Link {
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let parsed = Certificate::from_der(der).ok()?;
        let facts = CertificateFacts::of_parsed(der, &parsed);
        Some(Self { der: CertificateDer::from(der.to_vec()), parsed, facts })
    }

    /// How sentences call it.
    pub(super) fn title(&self) -> &str {
        match &self.facts.common_name {
            Some(name) if !name.is_empty() => name,
            _ if self.facts.subject.is_empty() => "without a name",
            _ => &self.facts.subject,
        }
    }

    fn extension<'a, T>(&'a self) -> Option<T>
    where
        T: x509_cert::der::Decode<'a, Error = x509_cert::der::Error> + x509_cert::der::oid::AssociatedOid,
    {
        self.parsed.tbs_certificate().get_extension::<T>().ok().flatten().map(|(_, extension)| extension)
    }

    pub(super) fn is_authority(&self) -> bool {
        self.extension::<BasicConstraints>().is_some_and(|constraints| constraints.ca)
    }

    pub(super) fn may_sign(&self) -> bool {
        self.is_authority() && self.extension::<KeyUsage>().is_none_or(|usage| usage.key_cert_sign())
    }

    /// Whether its uses, where they are named, let a server sign with it (RFC 5280, sections 4.2.1.3 and 4.2.1.12).
    pub(super) fn may_serve(&self) -> bool {
        let named = |usage: ExtendedKeyUsage| {
            usage.0.iter().any(|oid| matches!(oid.to_string().as_str(), "1.3.6.1.5.5.7.3.1" | "2.5.29.37.0"))
        };
        self.extension::<ExtendedKeyUsage>().is_none_or(named)
            && self.extension::<KeyUsage>().is_none_or(|usage| usage.digital_signature())
    }

    /// The digest of its signature, where that one can be forged.
    pub(super) fn weak_digest(&self) -> Option<&'static str> {
        match self.parsed.signature_algorithm().oid.to_string().as_str() {
            "1.2.840.113549.1.1.2" => Some("MD2"),
            "1.2.840.113549.1.1.4" => Some("MD5"),
            "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" | "1.3.14.3.2.29" => {
                Some("SHA-1")
            }
            _ => None,
        }
    }

    /// Whether its signature is by the other one's key.
    pub(super) fn is_signed_by(&self, issuer: &Self) -> Verdict {
        let key = issuer.parsed.tbs_certificate().subject_public_key_info();
        let (Some(algorithm), Some(point)) =
            (self.algorithm(issuer.facts.key), key.subject_public_key.as_bytes())
        else {
            return Verdict::Unknown;
        };
        let (Some(signed), Some(signature)) = (signed_part(&self.der), self.parsed.signature().as_bytes())
        else {
            return Verdict::Wrong;
        };
        match sig::UnparsedPublicKey::new(algorithm, point).verify(signed, signature) {
            Ok(()) => Verdict::Right,
            Err(_) => Verdict::Wrong,
        }
    }

    /// What its signature is checked with (RFC 4055, 5758 and 8410), if the key is the issuer's.
    fn algorithm(&self, issuer: KeyKind) -> Option<&'static dyn sig::VerificationAlgorithm> {
        let algorithm = self.parsed.signature_algorithm();
        Some(match (algorithm.oid.to_string().as_str(), issuer) {
            ("1.2.840.113549.1.1.11", KeyKind::Rsa(2048..=8192)) => &sig::RSA_PKCS1_2048_8192_SHA256,
            ("1.2.840.113549.1.1.12", KeyKind::Rsa(2048..=8192)) => &sig::RSA_PKCS1_2048_8192_SHA384,
            ("1.2.840.113549.1.1.13", KeyKind::Rsa(2048..=8192)) => &sig::RSA_PKCS1_2048_8192_SHA512,
            ("1.2.840.113549.1.1.5", KeyKind::Rsa(2048..=8192)) => {
                &sig::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY
            }
            ("1.2.840.10045.4.3.2", KeyKind::P256) => &sig::ECDSA_P256_SHA256_ASN1,
            ("1.2.840.10045.4.3.2", KeyKind::P384) => &sig::ECDSA_P384_SHA256_ASN1,
            ("1.2.840.10045.4.3.3", KeyKind::P256) => &sig::ECDSA_P256_SHA384_ASN1,
            ("1.2.840.10045.4.3.3", KeyKind::P384) => &sig::ECDSA_P384_SHA384_ASN1,
            ("1.3.101.112", KeyKind::Ed25519) => &sig::ED25519,
            _ => return None,
        })
    }
}

/// The bytes that a certificate's signature is over, as they stand there.
fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let outer = AnyRef::from_der(der).ok()?;
    SliceReader::new(outer.value()).ok()?.tlv_bytes().ok()
}

/// Follows the chain from its leaf. Each step takes one away from the rest, so it ends.
pub(super) fn order(leaf: Link, mut rest: Vec<Link>) -> Ordered {
    let mut chain = vec![leaf];
    while let Some(last) = chain.last().filter(|last| !last.facts.self_issued) {
        let issuer = last.parsed.tbs_certificate().issuer();
        let named: Vec<(usize, Verdict)> = rest
            .iter()
            .enumerate()
            .filter(|(_, link)| link.parsed.tbs_certificate().subject() == issuer)
            .map(|(index, link)| (index, last.is_signed_by(link)))
            .collect();
        // Where an authority's certificate is there twice, the one that ends later is of more use.
        let next = [Verdict::Right, Verdict::Unknown].into_iter().find_map(|wanted| {
            let fitting = named.iter().filter(|(_, verdict)| *verdict == wanted).map(|(index, _)| *index);
            fitting.max_by_key(|index| rest[*index].facts.ends)
        });
        match (next, named.first()) {
            (Some(next), _) => chain.push(rest.swap_remove(next)),
            (None, Some((wrong, _))) => {
                let impostor = Some(rest.remove(*wrong));
                return Ordered { chain, impostor, rest };
            }
            (None, None) => break,
        }
    }
    Ordered { chain, impostor: None, rest }
}
