//! What the probes say about servers of this machine.

#![allow(clippy::unwrap_used, reason = "a test may")]

use drawbridge_diagnose::{After, Failure, Probe, Step, TcpFailure, TlsFailure, Tools, Trust, Verdict};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
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
