//! From the array's addresses to a TLS stream whose other end is verified; it sends no byte of HTTP.

use crate::address::Address;
use crate::answer::printable;
use crate::certificate::Shown;
use crate::error::{LoginError, TlsFailure, Unreachable};
use crate::trust::{Refused, Trust, Verifier};
use drawbridge_dial::Connector;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long each address has for the connection, and again for TLS.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// So many of a name's addresses are tried.
const ADDRESSES: usize = 4;

/// How to shake hands with whom `verifier` takes.
pub(crate) fn config(verifier: Verifier) -> Result<Arc<ClientConfig>, crate::TrustError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| crate::TrustError::Verifier(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session is not verified again, and the trust may have changed.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The configuration for a [`Trust`].
pub(crate) fn trusting(trust: &Trust) -> Result<Arc<ClientConfig>, crate::TrustError> {
    config(Verifier::new(trust, &Arc::new(rustls::crypto::ring::default_provider()))?)
}

/// Connects to the first address that takes a connection, and shakes hands.
pub(crate) async fn connect(
    address: &Address,
    addresses: &[IpAddr],
    connector: &dyn Connector,
    config: Arc<ClientConfig>,
    trust: Option<&Trust>,
) -> Result<TlsStream<TcpStream>, LoginError> {
    let stream = reach(address.port, addresses, connector).await.map_err(LoginError::Unreachable)?;
    // An answer of one packet is not held back.
    let _ = stream.set_nodelay(true);
    let shaken = TlsConnector::from(config).connect(address.host.server_name(), stream);
    match timeout(CONNECT, shaken).await {
        Ok(shaken) => shaken.map_err(|error| why(&error, trust)),
        Err(_) => Err(LoginError::Tls(TlsFailure::TimedOut(CONNECT))),
    }
}

async fn reach(port: u16, addresses: &[IpAddr], connector: &dyn Connector) -> Result<TcpStream, Unreachable> {
    let mut last = Unreachable::NoAddress;
    for address in addresses.iter().take(ADDRESSES) {
        match timeout(CONNECT, connector.connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = unreachable(&error),
            Err(_) => last = Unreachable::TimedOut(CONNECT),
        }
    }
    Err(last)
}

fn unreachable(error: &io::Error) -> Unreachable {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Unreachable::Refused,
        Kind::TimedOut => Unreachable::TimedOut(CONNECT),
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown | Kind::AddrNotAvailable => {
            Unreachable::NoRoute
        }
        Kind::ConnectionReset | Kind::ConnectionAborted => Unreachable::Cut,
        kind => Unreachable::Kernel(kind.to_string()),
    }
}

fn why(error: &io::Error, trust: Option<&Trust>) -> LoginError {
    use rustls::Error;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    LoginError::Tls(match inner {
        None => TlsFailure::Closed,
        Some(Error::InvalidCertificate(error)) => return certificate(error, trust),
        Some(Error::InvalidMessage(_)) => TlsFailure::NotTls,
        Some(
            Error::PeerIncompatible(_)
            | Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure),
        ) => TlsFailure::NothingInCommon,
        Some(Error::AlertReceived(alert)) => TlsFailure::Alert(format!("{alert:?}")),
        Some(error) => TlsFailure::Broken(printable(&error.to_string())),
    })
}

fn certificate(error: &CertificateError, trust: Option<&Trust>) -> LoginError {
    let refused = match error {
        CertificateError::Other(other) => other.0.downcast_ref::<Refused>().cloned(),
        _ => None,
    };
    match (refused, trust) {
        (Some(Refused::Other(shown)), Some(Trust::Pin(pinned))) => {
            LoginError::OtherCertificate { pinned: *pinned, shown }
        }
        (Some(Refused::Invalid(failure)), _) => LoginError::Certificate(Box::new(failure)),
        _ => LoginError::Tls(TlsFailure::Broken(printable(&error.to_string()))),
    }
}

/// The certificate that the other end of a stream has shown, and whose key it has.
pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> Option<Shown> {
    stream.get_ref().1.peer_certificates().and_then(|all| all.first()).map(Shown::new)
}
