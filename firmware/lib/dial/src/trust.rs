//! What a server's certificate is verified by, and the verifier made of it; it never takes a certificate that neither names.

use crate::error::CertificateFailure;
use ring::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::der::{DateTime, Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Text out of a certificate is cut here.
const CHARACTERS: usize = 256;

/// One server's certificate or key, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// SHA-256 of the leaf's public key with its algorithm (RFC 7469, section 2.4): it stays when the certificate is renewed.
    Key([u8; 32]),
    /// SHA-256 of the whole leaf certificate.
    Certificate([u8; 32]),
}

/// What a server is verified by. With roots and a pin, both must hold. A pin alone takes that certificate or key whatever
/// its name and dates are: it says who the server is by itself.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The roots that browsers trust.
    pub built_in: bool,
    /// Roots of the customer's own.
    pub uploaded: Vec<CertificateDer<'static>>,
    /// One server only.
    pub pin: Option<Pin>,
}

/// Why nothing can be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Neither roots nor pin.
    #[error("there is nothing to verify the server by: give roots or a pin")]
    Nothing,
    /// An uploaded root is no certificate.
    #[error("the uploaded root number {0} is no certificate that can be used as a root: upload another")]
    Root(usize),
    /// The verifier cannot be made.
    #[error("the server cannot be verified: {0}; this is a fault of the firmware, report it")]
    Verifier(String),
}

/// Verifies as a [`Trust`] says.
#[derive(Debug)]
pub(crate) struct Verifier {
    provider: Arc<CryptoProvider>,
    roots: Option<Arc<WebPkiServerVerifier>>,
    pin: Option<Pin>,
}

impl Verifier {
    pub(crate) fn new(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Self, TrustError> {
        let mut store = RootCertStore::empty();
        if trust.built_in {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for (index, root) in trust.uploaded.iter().enumerate() {
            store.add(root.clone()).map_err(|_| TrustError::Root(index + 1))?;
        }
        let roots = if store.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
            Some(builder.build().map_err(|error| TrustError::Verifier(error.to_string()))?)
        };
        if roots.is_none() && trust.pin.is_none() {
            return Err(TrustError::Nothing);
        }
        Ok(Self { provider: Arc::clone(provider), roots, pin: trust.pin })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Seen::new(leaf);
        if let Some(roots) = &self.roots
            && let Err(error) = roots.verify_server_cert(leaf, others, name, response, now)
        {
            return Err(refused(seen.failure(error, name, now)));
        }
        let holds = match self.pin {
            None => true,
            Some(Pin::Key(pin)) => seen.key_sha256 == Some(pin),
            Some(Pin::Certificate(pin)) => seen.certificate_sha256 == pin,
        };
        if holds { Ok(ServerCertVerified::assertion()) } else { Err(refused(seen.mismatch())) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn refused(failure: CertificateFailure) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(failure))).into()
}

/// What a leaf certificate says of itself.
pub(crate) struct Seen {
    certificate: Option<Certificate>,
    pub(crate) certificate_sha256: [u8; 32],
    pub(crate) key_sha256: Option<[u8; 32]>,
}

impl Seen {
    pub(crate) fn new(leaf: &[u8]) -> Self {
        let certificate = Certificate::from_der(leaf).ok();
        let key = certificate
            .as_ref()
            .and_then(|one| one.tbs_certificate().subject_public_key_info().to_der().ok());
        Self { certificate, certificate_sha256: sha256(leaf), key_sha256: key.map(|key| sha256(&key)) }
    }

    fn text(&self, of: impl FnOnce(&Certificate) -> String) -> String {
        self.certificate.as_ref().map_or_else(|| "?".to_owned(), |one| printable(&of(one)))
    }

    pub(crate) fn subject(&self) -> String {
        self.text(|one| one.tbs_certificate().subject().to_string())
    }

    pub(crate) fn issuer(&self) -> String {
        self.text(|one| one.tbs_certificate().issuer().to_string())
    }

    fn names(&self) -> String {
        self.text(|one| match one.tbs_certificate().get_extension::<SubjectAltName>() {
            Ok(Some((_, names))) => {
                let names = names.0.iter().take(8).filter_map(|name| match name {
                    GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
                    GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
                    _ => None,
                });
                names.collect::<Vec<_>>().join(", ")
            }
            _ => "no name".to_owned(),
        })
    }

    fn mismatch(&self) -> CertificateFailure {
        CertificateFailure::PinMismatch {
            issuer: self.issuer(),
            certificate: hex(&self.certificate_sha256),
            key: self.key_sha256.map_or_else(|| "?".to_owned(), |key| hex(&key)),
        }
    }

    fn failure(&self, error: rustls::Error, name: &ServerName<'_>, now: UnixTime) -> CertificateFailure {
        let rustls::Error::InvalidCertificate(error) = error else { return self.other(&error.to_string()) };
        let now = || {
            let date = DateTime::from_unix_duration(Duration::from_secs(now.as_secs()));
            date.map_or_else(|_| now.as_secs().to_string(), |date| date.to_string())
        };
        match error {
            CertificateError::UnknownIssuer => {
                CertificateFailure::UntrustedIssuer { subject: self.subject(), issuer: self.issuer() }
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                CertificateFailure::Expired {
                    ended: self.text(|one| one.tbs_certificate().validity().not_after.to_string()),
                    now: now(),
                }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                CertificateFailure::NotYetValid {
                    begins: self.text(|one| one.tbs_certificate().validity().not_before.to_string()),
                    now: now(),
                }
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                CertificateFailure::WrongName { wanted: name.to_str().into_owned(), names: self.names() }
            }
            CertificateError::Revoked => CertificateFailure::Revoked,
            CertificateError::BadEncoding => CertificateFailure::Unreadable,
            // What `openssl req -x509` makes of nobody's wish. The library has no name of its own for it.
            CertificateError::Other(error) if error.to_string().contains("CaUsedAsEndEntity") => {
                self.other(&format!(
                    "it is an authority's own, which no server may show as its own; its SHA-256 fingerprint is {}",
                    hex(&self.certificate_sha256)
                ))
            }
            error => self.other(&error.to_string()),
        }
    }

    fn other(&self, why: &str) -> CertificateFailure {
        CertificateFailure::Other { subject: self.subject(), issuer: self.issuer(), why: printable(why) }
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())).ok()
}

/// Text from outside as one printable line of at most 256 characters.
pub(crate) fn printable(text: &str) -> String {
    let safe = text.chars().take(CHARACTERS);
    safe.map(|c| if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '?' }).collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    // SHA-256 has 32 bytes.
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
