//! What the probes say about servers of this machine.

#![allow(clippy::unwrap_used, reason = "a test may")]

use drawbridge_diagnose::{After, Failure, Probe, Step, TcpFailure, TlsFailure, Tools, Trust, Verdict};
use drawbridge_resolver::{Limits, Resolver, Servers};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// All steps of a probe, each of which goes over the bus and back.
async fn run(probe: Probe, on: Option<&str>, tools: &Tools) -> (Vec<Step>, Verdict) {
    let mut running = probe.start(on.map(ToOwned::to_owned), tools);
    let mut steps = Vec::new();
    while let Some(step) = tokio::time::timeout(Duration::from_secs(70), running.next()).await.unwrap() {
        let bytes = postcard::to_stdvec(&step).unwrap();
        assert_eq!(postcard::from_bytes::<Step>(&bytes).unwrap(), step);
        assert!(!step.to_string().is_empty());
        steps.push(step);
    }
    let Some(Step::Done(verdict)) = steps.pop() else { panic!("a probe without an end") };
    (steps, verdict)
}

async fn tcp(port: u16, on: Option<&str>) -> (Vec<Step>, Verdict) {
    run(Probe::Tcp { to: "127.0.0.1".to_owned(), port }, on, &Tools::default()).await
}

fn tls(port: u16) -> Probe {
    Probe::Tls { to: "127.0.0.1".to_owned(), port, server_name: Some("host.example".to_owned()) }
}

#[tokio::test]
async fn a_tcp_port_that_waits_speaks_or_closes_is_told_apart() {
    for after in [After::Waits, After::Speaks, After::Closes] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            match after {
                After::Speaks => stream.write_all(b"SSH-2.0-x\r\n").await.unwrap(),
                After::Closes => return,
                _ => {}
            }
            std::future::pending::<()>().await;
        });
        let (steps, verdict) = tcp(port, Some("lo")).await;
        assert_eq!(verdict, Verdict::Tcp { accepted: true });
        assert!(matches!(steps[..], [Step::Connected { after: seen, .. }] if seen == after), "{steps:?}");
        server.abort();
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_at_once_is_told_apart_from_one_that_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move { listener.accept().await.unwrap().0.set_zero_linger().unwrap() });
    let (steps, _) = tcp(port, None).await;
    server.await.unwrap();
    // As the reset comes before the probe has looked, or after.
    let told = match &steps[..] {
        [Step::NotConnected { why, .. }] => *why == TcpFailure::Reset,
        [Step::Connected { after, .. }] => *after == After::Resets,
        _ => false,
    };
    assert!(told, "{steps:?}");
}

#[tokio::test]
async fn a_tcp_port_where_nobody_serves_is_refused_and_an_absent_port_is_told() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (steps, verdict) = tcp(port, None).await;
    assert_eq!(verdict, Verdict::Tcp { accepted: false });
    assert!(matches!(steps[..], [Step::NotConnected { why: TcpFailure::Refused, .. }]), "{steps:?}");
    let (steps, _) = tcp(port, Some("absent0")).await;
    assert!(
        matches!(steps[..], [Step::NotConnected { why: TcpFailure::Failure(Failure::NoPort), .. }]),
        "{steps:?}"
    );
}

#[tokio::test]
async fn a_tls_server_s_certificate_is_reported_whether_it_verifies_or_not() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["host.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let _: Result<_, _> = acceptor.accept(stream).await;
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let mut others = RootCertStore::empty();
    let other = KeyPair::generate().unwrap();
    let other = CertificateParams::new(["other.example".to_owned()]).unwrap().self_signed(&other).unwrap();
    others.add(other.der().clone()).unwrap();
    let fingerprint = ring::digest::digest(&ring::digest::SHA256, certificate.der());
    let key_fingerprint =
        ring::digest::digest(&ring::digest::SHA256, &rcgen::PublicKeyData::subject_public_key_info(&key));
    for (roots, expected) in
        [(None, Some(Trust::NotAsked)), (Some(roots), Some(Trust::Verified)), (Some(others), None)]
    {
        let tools = Tools { roots: roots.map(Arc::new), ..Tools::default() };
        let (steps, verdict) = run(tls(port), None, &tools).await;
        let [Step::Handshake(report)] = &steps[..] else { panic!("{steps:?} {verdict:?}") };
        assert_eq!(report.version, "TLSv1.3");
        assert_eq!(report.key_exchange, "X25519");
        assert_eq!(report.server_name.as_deref(), Some("host.example"));
        let shown = &report.certificates[0];
        assert_eq!(shown.fingerprint, fingerprint.as_ref());
        assert_eq!(shown.key_fingerprint.unwrap(), key_fingerprint.as_ref());
        assert_eq!(shown.names[0].as_str(), "host.example");
        assert!(shown.begins < shown.ends);
        match expected {
            Some(trust) => assert_eq!(verdict, Verdict::Tls { trust }),
            None => assert!(matches!(verdict, Verdict::Tls { trust: Trust::Refused { .. } }), "{verdict:?}"),
        }
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_is_told() {
    for (says, expected) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], TlsFailure::NotTls), (b"", TlsFailure::Closed)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Reading first: what is closed with bytes unread is reset.
            let mut hello = [0; 2048];
            let _: usize = tokio::io::AsyncReadExt::read(&mut stream, &mut hello).await.unwrap();
            stream.write_all(says).await.unwrap();
        });
        let (_, verdict) = run(tls(port), None, &Tools::default()).await;
        assert_eq!(verdict, Verdict::NoTls(expected));
        server.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused() {
    let to = || "127.0.0.1".to_owned();
    for probe in [
        Probe::Ping { to: to(), count: 0, interval_milliseconds: 200, size: 56 },
        Probe::Ping { to: to(), count: 101, interval_milliseconds: 200, size: 56 },
        Probe::Ping { to: to(), count: 1, interval_milliseconds: 199, size: 56 },
        Probe::Ping { to: to(), count: 1, interval_milliseconds: 200, size: 8973 },
        Probe::Route { to: to(), hops: 31, tries: 1 },
        Probe::Route { to: to(), hops: 1, tries: 4 },
        Probe::Tcp { to: to(), port: 0 },
    ] {
        let (steps, verdict) = run(probe, None, &Tools::default()).await;
        assert!(steps.is_empty());
        assert!(matches!(verdict, Verdict::Failed(Failure::Bounds { .. })), "{verdict:?}");
    }
    let (_, verdict) = run(Probe::Name { name: "host.example".to_owned() }, None, &Tools::default()).await;
    assert!(matches!(verdict, Verdict::Failed(Failure::Name(_))), "{verdict:?}");
}

#[tokio::test]
async fn a_probe_that_nobody_listens_to_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let running = tls(port).start(None, &Tools::default());
    let (mut stream, _) = listener.accept().await.unwrap();
    drop(running);
    // The probe would wait 10 s for the handshake; its end closes the connection.
    let mut bytes = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes);
    let _: Result<usize, _> = tokio::time::timeout(Duration::from_secs(5), read).await.unwrap();
}

/// A server program that ends with the test.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _: Result<(), _> = self.0.kill();
        let _: Result<_, _> = self.0.wait();
    }
}

impl Server {
    /// Starts a program, and waits until its TCP port accepts.
    async fn start(program: &str, arguments: &[&str], port: u16) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let server = Self(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")));
        let accepts = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), accepts).await.expect("it does not come up");
        server
    }
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_name_is_asked_of_a_real_server_and_its_no_is_told_apart_from_silence() {
    let port = free_port().await;
    let listen = format!("--port={port}");
    let arguments = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--listen-address=127.0.0.1",
        "--pid-file=",
        "--user=",
        "--group=",
        "--local=/example/",
        "--host-record=array.example,192.0.2.7,2001:db8::7",
        &listen,
    ];
    let _dnsmasq = Server::start("/usr/sbin/dnsmasq", &arguments, port).await;
    let tools = |address: [u8; 4]| {
        let limits = Limits { server_port: port, ..Limits::default() };
        let resolver = Resolver::with_limits(limits);
        let servers = vec![address.into()];
        resolver.set(vec![Servers { port: None, source: None, servers, search: Vec::new() }]);
        Tools { resolver, ..Tools::default() }
    };
    let ask = |name: &str| Probe::Name { name: name.to_owned() };
    let here = tools([127, 0, 0, 1]);
    let (steps, verdict) = run(ask("Array.Example"), None, &here).await;
    assert_eq!(verdict, Verdict::Name { addresses: 2 });
    let [Step::Addresses { addresses, from, .. }] = &steps[..] else { panic!("{steps:?}") };
    assert!(addresses.contains(&[192, 0, 2, 7].into()), "{addresses:?}");
    assert_eq!(*from, Some([127, 0, 0, 1].into()));

    let (_, verdict) = run(ask("nobody.example"), None, &here).await;
    let Verdict::Failed(Failure::Name(why)) = verdict else { panic!("{verdict:?}") };
    assert!(why.contains("there is no host named nobody.example"), "{why}");
    // Nothing answers on this address of the loopback port, but by "port unreachable", or not at all.
    let (_, verdict) = run(ask("array.example"), None, &tools([127, 0, 0, 9])).await;
    let Verdict::Failed(Failure::Name(why)) = verdict else { panic!("{verdict:?}") };
    assert!(why.contains("127.0.0.9") && !why.contains("no host named"), "{why}");
}

#[tokio::test]
async fn a_real_tls_server_is_reported_in_either_version() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["host.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (key_file, certificate_file) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    std::fs::write(&certificate_file, certificate.pem()).unwrap();
    let (key_file, certificate_file) = (key_file.to_str().unwrap(), certificate_file.to_str().unwrap());
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let port = free_port().await;
        let text = port.to_string();
        let arguments =
            ["s_server", "-quiet", option, "-accept", &text, "-key", key_file, "-cert", certificate_file];
        let _server = Server::start("openssl", &arguments, port).await;
        let (steps, verdict) = run(tls(port), None, &Tools::default()).await;
        let [Step::Handshake(report)] = &steps[..] else { panic!("{steps:?} {verdict:?}") };
        assert_eq!(report.version, version);
        assert_eq!(verdict, Verdict::Tls { trust: Trust::NotAsked });
    }
}

#[tokio::test]
async fn a_tls_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let held = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
        drop(held);
    });
    let (_, verdict) = run(tls(port), None, &Tools::default()).await;
    assert_eq!(verdict, Verdict::NoTls(TlsFailure::Silent));
    server.abort();
}
