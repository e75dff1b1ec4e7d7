//! A small HTTPS client for tests, over any stream with a bound. It trusts whatever certificate the server shows, reports it,
//! and keeps nothing.

mod response;
mod trust;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use response::{Response, ResponseError, parse};

/// A page cannot be longer.
const PAGE_LIMIT: usize = 64 << 20;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// The name cannot be asked for by TLS.
    #[error("{0} is neither a host name nor an address")]
    Name(String),
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Setup(rustls::Error),
    /// The connection.
    #[error("the connection failed while {0}: {1}")]
    Connection(&'static str, io::Error),
    /// What came is not HTTP.
    #[error("the server's answer is not HTTP: {0}")]
    Response(#[from] ResponseError),
    /// The server closed too early.
    #[error("the server closed the connection in the middle of its answer, after {0} bytes")]
    CutOff(usize),
    /// Too much came.
    #[error("the server's answer is longer than {PAGE_LIMIT} bytes")]
    TooLong,
}

/// A stream whose reads and writes can be bounded.
pub trait Bounded: Read + Write {
    /// Bounds each read and write from now on.
    fn bound(&self, within: Duration) -> io::Result<()>;
}

impl Bounded for std::net::TcpStream {
    fn bound(&self, within: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(within))?;
        self.set_write_timeout(Some(within))
    }
}

impl Bounded for crate::net::TcpStream {
    fn bound(&self, within: Duration) -> io::Result<()> {
        self.set_timeout(within);
        Ok(())
    }
}

/// A page, and how it came.
#[derive(Debug, Clone)]
pub struct Page {
    /// Such as 200.
    pub status: u16,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body, unpacked when it was chunked.
    pub body: Vec<u8>,
    /// The server's own certificate (DER); empty without TLS.
    pub certificate_der: Vec<u8>,
    /// Whether it was TLS 1.3 (else 1.2); none without TLS.
    pub tls13: Option<bool>,
}

impl Page {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(is, _)| is.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The certificate's SHA-256 fingerprint as browsers show it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.certificate_der)
    }
}

/// The SHA-256 of a certificate, in pairs of capital hexadecimal digits with colons between them.
pub fn fingerprint(der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let mut text = String::new();
    for byte in digest.as_ref() {
        let colon = if text.is_empty() { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

/// Fetches a page by HTTPS. `host` is what the request and TLS ask for: a name or an address. The whole of it is bounded.
pub fn get(stream: impl Bounded, host: &str, path: &str, within: Duration) -> Result<Page, HttpsError> {
    request(stream, host, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"), within)
}

/// Sends a whole request (head and body, as it is) by HTTPS and reads the answer.
pub fn request(
    stream: impl Bounded,
    host: &str,
    request: impl AsRef<[u8]>,
    within: Duration,
) -> Result<Page, HttpsError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| HttpsError::Name(host.to_owned()))?;
    let connection = ClientConnection::new(config()?, name).map_err(HttpsError::Setup)?;
    let mut stream = StreamOwned::new(connection, Deadline::new(stream, within));
    while stream.conn.is_handshaking() {
        let shaken = stream.conn.complete_io(&mut stream.sock);
        shaken.map_err(|error| HttpsError::Connection("shaking hands", error))?;
    }
    let certificates = stream.conn.peer_certificates().unwrap_or_default();
    let certificate_der = certificates.first().map(|leaf| leaf.to_vec()).unwrap_or_default();
    let tls13 = stream.conn.protocol_version().map(|version| version == ProtocolVersion::TLSv1_3);
    let response = exchange(&mut stream, request.as_ref())?;
    let Response { status, headers, body } = response;
    Ok(Page { status, headers, body, certificate_der, tls13 })
}

/// Fetches a page by HTTP without TLS.
pub fn get_plain(stream: impl Bounded, host: &str, path: &str, within: Duration) -> Result<Page, HttpsError> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let response = exchange(&mut Deadline::new(stream, within), request.as_bytes())?;
    let Response { status, headers, body } = response;
    Ok(Page { status, headers, body, certificate_der: Vec::new(), tls13: None })
}

fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> Result<Response, HttpsError> {
    let asking = |error| HttpsError::Connection("asking", error);
    stream.write_all(request).map_err(asking)?;
    stream.flush().map_err(asking)?;
    let mut bytes = Vec::new();
    let mut piece = vec![0; 16 << 10];
    loop {
        let count = match stream.read(&mut piece) {
            Ok(count) => count,
            // The server closed without TLS's own goodbye: what counts is whether the answer is whole.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(HttpsError::Connection("reading the answer", error)),
        };
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
        if bytes.len() > PAGE_LIMIT {
            return Err(HttpsError::TooLong);
        }
        match parse(&bytes, count == 0)? {
            Some(response) => return Ok(response),
            None if count == 0 => return Err(HttpsError::CutOff(bytes.len())),
            None => {}
        }
    }
}

fn config() -> Result<Arc<ClientConfig>, HttpsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(trust::Anyone::new(&provider));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HttpsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A stream on which everything together is bounded.
struct Deadline<S> {
    stream: S,
    until: Instant,
}

impl<S: Bounded> Deadline<S> {
    fn new(stream: S, within: Duration) -> Self {
        Self { stream, until: crate::time::deadline(within) }
    }

    fn bound(&self) -> io::Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.bound(left)
    }
}

impl<S: Bounded> Read for Deadline<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bound()?;
        self.stream.read(buffer)
    }
}

impl<S: Bounded> Write for Deadline<S> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bound()?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
