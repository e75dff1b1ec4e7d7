//! The certificate that the simulated array shows, and a forger's with the same names. It keeps a key only where it is told to: a
//! lab's array that is the same one in the next run.

use crate::LabError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

/// A certificate, as it is shown and as it is read.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) pem: String,
    key: String,
    pub(super) config: Arc<ServerConfig>,
}

impl Identity {
    /// A new key, and a certificate that it has signed itself, for these names and addresses.
    pub(super) fn new(names: &[String], addresses: &[IpAddr]) -> Result<Self, LabError> {
        let made = |error: rcgen::Error| LabError::Unexpected(format!("no certificate can be made: {error}"));
        let mut all = names.to_vec();
        all.extend(addresses.iter().map(ToString::to_string));
        let mut parameters = rcgen::CertificateParams::new(all).map_err(made)?;
        let name = names.first().map_or("array", String::as_str);
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = rcgen::KeyPair::generate().map_err(made)?;
        let signed = parameters.self_signed(&key).map_err(made)?;
        Self::of(signed.der().clone(), signed.pem(), &PrivatePkcs8KeyDer::from(key.serialize_der()))
    }

    /// The one that is kept in this file; one for these names and addresses, kept there, where there is none.
    pub(super) fn kept(file: &Path, names: &[String], addresses: &[IpAddr]) -> Result<Self, LabError> {
        let wrong = |error: pem::Error| LabError::Unexpected(format!("{}: {error}", file.display()));
        if let Ok(text) = fs::read(file) {
            let certificate = CertificateDer::from_pem_slice(&text).map_err(wrong)?;
            let key = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(wrong)?;
            let text = String::from_utf8_lossy(&text);
            let pem = text.find("-----BEGIN CERTIFICATE").map(|at| text[at..].to_owned());
            return Self::of(certificate, pem.unwrap_or_default(), &key);
        }
        let made = Self::new(names, addresses)?;
        let mut options = fs::OpenOptions::new();
        let written = options.write(true).create_new(true).mode(0o600).open(file);
        let written = written.and_then(|mut to| to.write_all((made.key.clone() + &made.pem).as_bytes()));
        written.map_err(LabError::file("write", file))?;
        Ok(made)
    }

    fn of(
        certificate: CertificateDer<'static>,
        pem: String,
        key: &PrivatePkcs8KeyDer<'static>,
    ) -> Result<Self, LabError> {
        let private = PrivateKeyDer::Pkcs8(key.clone_key());
        let key = encoded("PRIVATE KEY", key.secret_pkcs8_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let wrong = |error: rustls::Error| LabError::Unexpected(format!("TLS cannot be set up: {error}"));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], private)
            .map_err(wrong)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { certificate, pem, key, config: Arc::new(config) })
    }
}

/// RFC 7468.
fn encoded(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem + &format!("-----END {label}-----\n")
}
