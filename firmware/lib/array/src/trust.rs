//! What the array's certificate is verified by, and the verifier made of it; it never takes a certificate that nobody named,
//! but to show it.

use crate::certificate::{Shown, is_authority, sha256};
use drawbridge_dial::CertificateFailure;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// The most bytes of an uploaded file, and certificates in it.
const UPLOAD: (usize, usize) = (64 << 10, 8);

/// What the array is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// SHA-256 of its certificate, which was looked at once ([`crate::probe`]). Its name and dates do not count then.
    Pin([u8; 32]),
    /// Certificates that were uploaded: the array's own, which is taken as one that is pinned, or authorities that have signed
    /// it; then its name and dates count.
    Uploaded(Vec<CertificateDer<'static>>),
}

/// Why nothing can be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Too long, or too many.
    #[error("the file is too long: upload at most {} certificates in {} KiB of PEM", UPLOAD.1, UPLOAD.0 >> 10)]
    TooLong,
    /// No certificate in it.
    #[error("there is no certificate in the file: upload one in PEM, with the line BEGIN CERTIFICATE")]
    Nothing,
    /// One of them is none.
    #[error("the certificate number {0} of the file cannot be read: upload another")]
    Unreadable(usize),
    /// The verifier cannot be made.
    #[error("the array cannot be verified: {0}; this is a fault of the firmware, report it")]
    Verifier(String),
}

impl Trust {
    /// Reads an uploaded file. Keys in it are not looked at.
    pub fn from_pem(text: &[u8]) -> Result<Self, TrustError> {
        if text.len() > UPLOAD.0 {
            return Err(TrustError::TooLong);
        }
        let mut certificates = Vec::new();
        for (index, one) in CertificateDer::pem_slice_iter(text).enumerate() {
            if index >= UPLOAD.1 {
                return Err(TrustError::TooLong);
            }
            certificates.push(one.map_err(|_| TrustError::Unreadable(index + 1))?.into_owned());
        }
        if certificates.is_empty() {
            return Err(TrustError::Nothing);
        }
        let trust = Self::Uploaded(certificates);
        // One that can be of no use is told now and not when somebody logs in.
        Verifier::new(&trust, &Arc::new(rustls::crypto::ring::default_provider()))?;
        Ok(trust)
    }
}

/// Why the verifier took no certificate. It goes through the library as its error.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it is not the certificate that is pinned")]
    Other(Box<Shown>),
    #[error(transparent)]
    Invalid(CertificateFailure),
}

#[derive(Debug)]
enum By {
    Pin([u8; 32]),
    Uploaded { own: Vec<CertificateDer<'static>>, roots: Option<Arc<WebPkiServerVerifier>> },
    Nothing,
}

/// Verifies as a [`Trust`] says.
#[derive(Debug)]
pub(crate) struct Verifier {
    provider: Arc<CryptoProvider>,
    by: By,
}

impl Verifier {
    pub(crate) fn new(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Self, TrustError> {
        let by = match trust {
            Trust::Pin(pin) => By::Pin(*pin),
            Trust::Uploaded(certificates) => {
                let mut store = RootCertStore::empty();
                for (index, one) in certificates.iter().enumerate() {
                    // One that may sign nothing is compared only.
                    if is_authority(one) {
                        store.add(one.clone()).map_err(|_| TrustError::Unreadable(index + 1))?;
                    } else {
                        rustls::server::ParsedCertificate::try_from(one)
                            .map_err(|_| TrustError::Unreadable(index + 1))?;
                    }
                }
                let roots = (!store.is_empty()).then(|| {
                    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider)).build()
                });
                let roots = roots.transpose().map_err(|error| TrustError::Verifier(error.to_string()))?;
                By::Uploaded { own: certificates.clone(), roots }
            }
        };
        Ok(Self { provider: Arc::clone(provider), by })
    }

    /// Takes whatever is shown by who has its key, so that a person can look at it. Nothing may be sent to him.
    pub(crate) fn of_nobody(provider: &Arc<CryptoProvider>) -> Self {
        Self { provider: Arc::clone(provider), by: By::Nothing }
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
        let refused = match &self.by {
            By::Nothing => None,
            By::Pin(pin) => (sha256(leaf) != *pin).then(|| Refused::Other(Box::new(Shown::new(leaf)))),
            By::Uploaded { own, .. } if own.iter().any(|one| one == leaf) => None,
            By::Uploaded { roots, .. } => {
                let verified = match roots {
                    Some(roots) => roots.verify_server_cert(leaf, others, name, response, now).map(drop),
                    None => Err(CertificateError::UnknownIssuer.into()),
                };
                let shown = || Shown::new(leaf);
                verified.err().map(|error| Refused::Invalid(shown().failure(&error, &name.to_str(), now)))
            }
        };
        match refused {
            None => Ok(ServerCertVerified::assertion()),
            Some(why) => Err(CertificateError::Other(OtherError(Arc::new(why))).into()),
        }
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
