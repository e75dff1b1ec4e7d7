//! What goes on for years: certificates that are replaced, an audit log that is bounded.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_rss::store::{Record, Store};
use nix::sys::signal::Signal;
use peers::appliance::Appliance;
use peers::{Server, soon};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// A certificate and its key, PEM.
fn certificate() -> (String, String) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&pair).unwrap();
    (made.pem(), pair.serialize_pem())
}

/// Whether the server shows this certificate.
async fn shows(server: &Server, chain: &str) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.tls).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    soon("TLS", tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_up_and_a_broken_one_leaves_the_old_one_in_use() {
    let server = Server::start().await;
    let (chain, key) = (server.path("data/tls.crt"), server.path("data/tls.key"));
    let mut control = Appliance::new(&server, "SN-1", "box-1").await.enrol(&server).await;
    let first = fs::read_to_string(&chain).unwrap();
    let second = certificate();
    fs::write(&key, &second.1).unwrap();
    fs::write(&chain, &second.0).unwrap();
    server.signal(Signal::SIGHUP);
    server.audit_has(&[("what", "certificate"), ("result", "read anew")]).await;
    assert!(shows(&server, &second.0).await && !shows(&server, &first).await);
    // Another one's key, no certificate at all, and nothing.
    let other = certificate();
    fs::write(&chain, &other.0).unwrap();
    server.signal(Signal::SIGHUP);
    server.audit_has(&[("what", "certificate"), ("result", "the old one stays in use")]).await;
    assert!(shows(&server, &second.0).await);
    for broken in [Some("nonsense"), None] {
        let before = server.audit().await.len();
        match broken {
            Some(text) => fs::write(&chain, text).unwrap(),
            None => fs::remove_file(&chain).unwrap(),
        }
        server.signal(Signal::SIGHUP);
        soon("a line about it", async {
            while server.audit().await.len() == before {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        assert!(shows(&server, &second.0).await);
    }
    // Without a signal, too.
    fs::write(&key, &other.1).unwrap();
    fs::write(&chain, &other.0).unwrap();
    soon("the third certificate", async {
        while !shows(&server, &other.0).await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    // Whoever was connected is so still.
    let nothing = tokio::time::timeout(Duration::from_millis(100), control.next_ever()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_keeps_within_its_bound_while_the_server_runs_and_says_so() {
    let server = Server::start_with("[limits]\naudit_lines = 1000\n").await;
    let data = server.path("data");
    tokio::task::spawn_blocking(move || {
        let store = Store::open(&data).unwrap();
        for number in 0..1100 {
            store.record(&Record { what: format!("line {number}"), ..Record::default() }).unwrap();
        }
    })
    .await
    .unwrap();
    server.audit_has(&[("who", "server"), ("what", "audit"), ("result", "oldest lines went")]).await;
    let lines = server.audit().await;
    assert!(lines.len() <= 1000, "{} lines", lines.len());
    assert!(lines.iter().any(|line| line["what"] == "line 1099"));
    assert!(!lines.iter().any(|line| line["what"] == "line 0"));
}
