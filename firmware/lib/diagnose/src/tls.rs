//! A TLS handshake that takes any certificate, and reports it. Nothing is sent over what it opens.

use crate::certificate::{CertificateReport, Clipped};
use crate::failure::Failure;
use crate::port::On;
use crate::probe::Tell;
use crate::step::{Step, TlsFailure, TlsReport, Trust, Verdict};
use crate::tcp::{ADDRESSES, connect};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// A server that needs longer for its part is silent.
const WAIT: Duration = Duration::from_secs(10);
/// More certificates of one server are left out.
const CERTIFICATES: usize = 8;

pub(crate) async fn run(
    on: &On,
    addresses: &[IpAddr],
    port: u16,
    name: &str,
    roots: Option<&Arc<RootCertStore>>,
    tell: &Tell,
) -> Result<Verdict, Failure> {
    let name = ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| {
        Failure::Name("the server name is neither a name nor an address: correct it".to_owned())
    })?;
    for &address in addresses.iter().take(ADDRESSES) {
        let to = on.to(address, port);
        let began = Instant::now();
        match connect(on, to).await {
            Ok(stream) => return shake_hands(stream, to, name, roots, began, tell).await,
            Err(why) => tell.step(Step::NotConnected { to, why, took: began.elapsed().into() }),
        }
    }
    Ok(Verdict::Tcp { accepted: false })
}

async fn shake_hands(
    stream: TcpStream,
    to: SocketAddr,
    name: ServerName<'static>,
    roots: Option<&Arc<RootCertStore>>,
    began: Instant,
    tell: &Tell,
) -> Result<Verdict, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let kernel = |error: rustls::Error| Failure::Kernel(error.to_string());
    let verifier = match roots {
        // Without any root there is nothing to verify by.
        Some(roots) if !roots.is_empty() => Some(
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| Failure::Kernel(error.to_string()))?,
        ),
        _ => None,
    };
    let seen = Arc::new(Seen { provider: Arc::clone(&provider), verifier, found: Mutex::default() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(kernel)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Seen>::clone(&seen))
        .with_no_client_auth();
    // What is not kept cannot be resumed: each probe sees the certificate.
    config.resumption = rustls::client::Resumption::disabled();
    let server_name = match &name {
        ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
        _ => None,
    };
    let shaken = timeout(WAIT, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
    let stream = match shaken {
        Err(_) => return Ok(Verdict::NoTls(TlsFailure::Silent)),
        Ok(Err(error)) => return Ok(Verdict::NoTls(why(&error))),
        Ok(Ok(stream)) => stream,
    };
    let (_, connection) = stream.get_ref();
    let found = seen.found.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((certificates, trust)) = found else {
        return Ok(Verdict::NoTls(TlsFailure::Broken("it shows no certificate".to_owned())));
    };
    let text = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
    tell.step(Step::Handshake(Box::new(TlsReport {
        to,
        server_name,
        version: text(
            connection
                .protocol_version()
                .and_then(|version| version.as_str())
                .map(|name| name.replace('_', ".")),
        ),
        cipher: text(
            connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .map(ToOwned::to_owned),
        ),
        key_exchange: text(
            connection
                .negotiated_key_exchange_group()
                .and_then(|group| group.name().as_str())
                .map(ToOwned::to_owned),
        ),
        took: began.elapsed().into(),
        certificates,
        trust: trust.clone(),
    })));
    Ok(Verdict::Tls { trust })
}

fn why(error: &io::Error) -> TlsFailure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        None if error.kind() == io::ErrorKind::UnexpectedEof => TlsFailure::Closed,
        None if matches!(error.raw_os_error(), Some(libc::ECONNRESET | libc::EPIPE)) => TlsFailure::Closed,
        None => TlsFailure::Broken(error.kind().to_string()),
        Some(rustls::Error::AlertReceived(alert)) => TlsFailure::Alert(format!("{alert:?}")),
        Some(rustls::Error::InvalidMessage(_)) => TlsFailure::NotTls,
        Some(rustls::Error::PeerIncompatible(what)) => TlsFailure::NothingInCommon(format!("{what:?}")),
        Some(error) => TlsFailure::Broken(Clipped::new(&error.to_string()).as_str().to_owned()),
    }
}

/// Takes every certificate and notes it. That the server has the certificate's key is verified all the same.
#[derive(Debug)]
struct Seen {
    provider: Arc<CryptoProvider>,
    verifier: Option<Arc<WebPkiServerVerifier>>,
    found: Mutex<Option<(Vec<CertificateReport>, Trust)>>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let trust = match &self.verifier {
            None => Trust::NotAsked,
            Some(verifier) => match verifier.verify_server_cert(certificate, others, name, response, now) {
                Ok(_) => Trust::Verified,
                Err(error) => Trust::Refused { why: Clipped::new(&error.to_string()).as_str().to_owned() },
            },
        };
        let all = std::iter::once(certificate).chain(others).take(CERTIFICATES);
        let reports = all.map(|certificate| CertificateReport::new(certificate)).collect();
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some((reports, trust));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
