//! One TLS handshake as a client (1.3 or 1.2), and why it failed; it sends no byte of its own before the server is verified.

use crate::error::{CertificateFailure, Failure};
use crate::step::{Outcome, TlsReport};
use crate::transport::Link;
use crate::trust::{Seen, Trust, TrustError, Verifier, printable};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, HandshakeKind, PeerIncompatible};
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The configuration that every handshake with the same trust shares; `sessions` of them are kept for resumption.
pub(crate) fn config(trust: &Trust, sessions: usize) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(trust, &provider)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::Verifier(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption =
        if sessions == 0 { Resumption::disabled() } else { Resumption::in_memory_sessions(sessions) };
    Ok(config)
}

/// Shakes hands.
pub(crate) async fn shake_hands(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    link: Link,
) -> Result<(TlsStream<Link>, TlsReport), Failure> {
    let stream = TlsConnector::from(config).connect(name, link).await.map_err(|error| why(&error))?;
    let (_, connection) = stream.get_ref();
    let seen =
        Seen::new(connection.peer_certificates().and_then(|all| all.first()).map_or(&[][..], |leaf| leaf));
    let text = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
    let version = connection.protocol_version().and_then(|version| version.as_str());
    let report = TlsReport {
        version: text(version.map(|name| name.replace('_', "."))),
        cipher: text(
            connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .map(ToOwned::to_owned),
        ),
        alpn: connection.alpn_protocol().map(ToOwned::to_owned),
        subject: seen.subject(),
        issuer: seen.issuer(),
        certificate_sha256: seen.certificate_sha256,
        key_sha256: seen.key_sha256,
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
    };
    Ok((stream, report))
}

/// The outcome for the observer.
pub(crate) fn outcome(report: &TlsReport) -> Outcome {
    Outcome::Tls(Box::new(report.clone()))
}

fn why(error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Failure::ClosedInHandshake
            }
            kind => Failure::Kernel(kind.to_string()),
        },
        Some(rustls::Error::InvalidCertificate(error)) => Failure::Certificate(Box::new(certificate(error))),
        Some(
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
            | rustls::Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ),
        ) => Failure::NoCommonVersion,
        Some(
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | rustls::Error::NoApplicationProtocol,
        ) => Failure::NoProtocol,
        Some(
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)
            | rustls::Error::PeerIncompatible(_),
        ) => Failure::NothingInCommon,
        Some(rustls::Error::AlertReceived(alert)) => Failure::Alert(format!("{alert:?}")),
        Some(rustls::Error::InvalidMessage(_)) => Failure::NotTls,
        Some(error) => Failure::BrokenTls(printable(&error.to_string())),
    }
}

fn certificate(error: &CertificateError) -> CertificateFailure {
    match error {
        CertificateError::Other(other) => other.0.downcast_ref().cloned(),
        _ => None,
    }
    .unwrap_or_else(|| CertificateFailure::Other {
        subject: "?".to_owned(),
        issuer: "?".to_owned(),
        why: printable(&error.to_string()),
    })
}
