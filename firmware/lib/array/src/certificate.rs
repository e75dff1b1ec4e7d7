//! What a certificate says of itself, for the person who has to decide on it; it never decides.

use crate::answer::printable;
use drawbridge_dial::CertificateFailure;
use ring::digest::{SHA256, digest};
use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::der::{DateTime, Decode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

/// So many of a certificate's names are told.
const NAMES: usize = 8;

/// The certificate that somebody shows. Text is one printable line of at most 256 characters, `?` where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The whole of it.
    pub der: CertificateDer<'static>,
    /// SHA-256 of the whole, by which it can be pinned.
    pub sha256: [u8; 32],
    /// Whom it names.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// The names and addresses that it is for.
    pub names: String,
    /// From when it is valid.
    pub begins: String,
    /// Until when.
    pub ends: String,
}

impl Shown {
    pub(crate) fn new(der: &CertificateDer<'_>) -> Self {
        let read = Certificate::from_der(der).ok();
        let text = |of: &dyn Fn(&Certificate) -> String| {
            read.as_ref().map_or_else(|| "?".to_owned(), |one| printable(&of(one)))
        };
        Self {
            der: der.clone().into_owned(),
            sha256: sha256(der),
            subject: text(&|one| one.tbs_certificate().subject().to_string()),
            issuer: text(&|one| one.tbs_certificate().issuer().to_string()),
            names: text(&names),
            begins: text(&|one| one.tbs_certificate().validity().not_before.to_string()),
            ends: text(&|one| one.tbs_certificate().validity().not_after.to_string()),
        }
    }

    /// SHA-256 as browsers show it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.sha256)
    }

    /// Why it is not taken.
    pub(crate) fn failure(&self, error: &rustls::Error, wanted: &str, now: UnixTime) -> CertificateFailure {
        let (subject, issuer) = (self.subject.clone(), self.issuer.clone());
        let date = || {
            let date = DateTime::from_unix_duration(Duration::from_secs(now.as_secs()));
            date.map_or_else(|_| now.as_secs().to_string(), |date| date.to_string())
        };
        let rustls::Error::InvalidCertificate(error) = error else {
            return CertificateFailure::Other { subject, issuer, why: printable(&error.to_string()) };
        };
        match error {
            CertificateError::UnknownIssuer => CertificateFailure::UntrustedIssuer { subject, issuer },
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                CertificateFailure::Expired { ended: self.ends.clone(), now: date() }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                CertificateFailure::NotYetValid { begins: self.begins.clone(), now: date() }
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                CertificateFailure::WrongName { wanted: wanted.to_owned(), names: self.names.clone() }
            }
            CertificateError::Revoked => CertificateFailure::Revoked,
            CertificateError::BadEncoding => CertificateFailure::Unreadable,
            error => CertificateFailure::Other { subject, issuer, why: printable(&error.to_string()) },
        }
    }
}

/// Whether a certificate may sign others (RFC 5280, section 4.2.1.9).
pub(crate) fn is_authority(der: &[u8]) -> bool {
    let Ok(read) = Certificate::from_der(der) else { return false };
    matches!(read.tbs_certificate().get_extension::<BasicConstraints>(), Ok(Some((_, constraints))) if constraints.ca)
}

fn names(certificate: &Certificate) -> String {
    let Ok(Some((_, names))) = certificate.tbs_certificate().get_extension::<SubjectAltName>() else {
        return "no name".to_owned();
    };
    let names = names.0.iter().take(NAMES).filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
        _ => None,
    });
    names.collect::<Vec<_>>().join(", ")
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    // SHA-256 has 32 bytes.
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

/// A SHA-256 in pairs of capital hexadecimal digits with colons between them.
pub fn fingerprint(sha256: &[u8; 32]) -> String {
    sha256.iter().fold(String::with_capacity(95), |mut text, byte| {
        let colon = if text.is_empty() { "" } else { ":" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{colon}{byte:02X}");
        text
    })
}
