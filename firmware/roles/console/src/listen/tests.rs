//! A port with a site of the test's own, and real TLS clients.

use super::*;
use crate::body::Body;
use crate::connection::Member;
use crate::streams::Streams;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ServerConfig;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const BOUNDS: Bounds = Bounds {
    head_within: Duration::from_secs(30),
    connection_for: Duration::from_mins(1),
    last_answer_within: Duration::from_secs(5),
    keep_alive: true,
};

/// A little house, soon full.
const ROOM: Room = Room { places: 8, a_source: 4, for_new: 4 };

/// Says its ends; at `/member` to a member, at `/stream` by a stream.
struct Little(Streams);

impl Answer for Little {
    async fn answer(
        &self,
        peer: SocketAddr,
        local: SocketAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        if request.uri().path() == "/stream" {
            let (sender, body) = self.0.open(peer.ip());
            tokio::spawn(async move {
                let _ = sender.send(Bytes::from_static(b"data: begun\n\n")).await;
                sender.closed().await;
            });
            return Response::new(body);
        }
        let mut response = Response::new(Body::full(format!("{} {}~", peer.ip(), local.ip())));
        if request.uri().path() == "/member" {
            response.extensions_mut().insert(Member);
        }
        response
    }
}

fn certified() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["drawbridge".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
    (Arc::new(config), cert.der().clone())
}

#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

struct Served {
    port: u16,
    config: watch::Sender<Arc<ServerConfig>>,
    stop: watch::Sender<Option<Instant>>,
    task: tokio::task::JoinHandle<()>,
    tls: TlsConnector,
}

impl Served {
    fn open(config: Arc<ServerConfig>) -> Self {
        let listener = open(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (config, configs) = watch::channel(config);
        let (stop, stops) = watch::channel(None);
        let tls = Some(Tls { config: configs, turns: crate::turns::Turns::default() });
        let site = Arc::new(Little(Streams::new(stops.clone())));
        let task = tokio::spawn(serve(listener, Door { tls, site, bounds: BOUNDS, room: ROOM }, stops));
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting))
            .with_no_client_auth();
        Self { port, config, stop, task, tls: TlsConnector::from(Arc::new(client)) }
    }

    async fn tcp(&self, from: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, from), 0).into()).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, self.port).into()).await.unwrap()
    }

    async fn tls(&self, from: u8) -> TlsStream<TcpStream> {
        self.tls.connect(ServerName::try_from("drawbridge").unwrap(), self.tcp(from).await).await.unwrap()
    }
}

async fn asks(stream: &mut TlsStream<TcpStream>, path: &str, until: &[u8]) -> io::Result<String> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(until) {
        answer.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(answer).unwrap())
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn a_new_certificate_is_served_at_once_and_open_connections_go_on() {
    let ((one, first), (two, second)) = (certified(), certified());
    let port = Served::open(one);
    let mut before = port.tls(1).await;
    assert!(asks(&mut before, "/", b"~").await.unwrap().ends_with("127.0.0.1 127.0.0.1~"));
    // One that has connected and said nothing yet.
    let between = port.tcp(2).await;
    port.config.send_replace(two);
    // Its ticket of the old certificate is good for nothing: it is shown the new one.
    let after = port.tls(1).await;
    assert_eq!(after.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    let between = port.tls.connect(ServerName::try_from("drawbridge").unwrap(), between).await.unwrap();
    assert_eq!((shown(&before), shown(&after), shown(&between)), (first, second.clone(), second));
    for _ in 0..3 {
        assert!(asks(&mut before, "/", b"~").await.unwrap().starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_member_keeps_the_connection_when_a_crowd_comes() {
    let port = Served::open(certified().0);
    let mut member = port.tls(1).await;
    asks(&mut member, "/member", b"~").await.unwrap();
    let mut crowd = Vec::new();
    for from in (2..10).cycle().take(40) {
        let mut other = port.tls(from).await;
        asks(&mut other, "/", b"~").await.unwrap();
        crowd.push(other);
        crowd.push(port.tls(1).await);
    }
    asks(&mut member, "/", b"~").await.expect("the member is still there");
}

#[tokio::test]
async fn a_stream_ends_cleanly_with_the_role_and_does_not_hold_it_up() {
    let port = Served::open(certified().0);
    let mut stream = port.tls(1).await;
    asks(&mut stream, "/stream", b"data: begun\n\n\r\n").await.unwrap();
    let begin = Instant::now();
    port.stop.send_replace(Some(Instant::now() + Duration::from_secs(20)));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the last chunk says that nothing is missing: {rest:?}");
    port.task.await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}
