//! Paths without a proxy: who is taken for the target and who is not, and who wins when a name has several addresses.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_dial::{
    CertificateFailure, DialError, Dialler, Failure, Host, HostPort, NameFailure, Names, Outcome, Pin, Plain,
    Route, Stage, Step, Trust, Wait,
};
use peers::{at, dial, dialler, dialler_by, fails, hop, identity, route, scripted, target, works};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn each_step_is_told_as_it_ends() {
    let identity = identity(&["rss.test"], |_| {});
    let peer = target(&identity, &["-alpn", "drawbridge"]);
    let mut route = Route::direct(HostPort::parse(&format!("rss.test:{}", peer.port)).unwrap());
    route.alpn = vec![b"drawbridge".to_vec()];
    let (tunnel, steps) = dial(&dialler(&identity.root), &route).await;
    let tunnel = tunnel.unwrap();
    assert_eq!(tunnel.report.version, "TLSv1.3");
    assert_eq!(tunnel.report.alpn.as_deref(), Some(&b"drawbridge"[..]));
    assert!(tunnel.report.issuer.contains("Test Root of Interception"), "{:?}", tunnel.report);
    works(tunnel).await;
    let ended: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Ends { stage, result: Ok(outcome), .. } => Some((stage, outcome)),
            _ => None,
        })
        .collect();
    assert!(
        matches!(
            &ended[..],
            [
                (Stage::Names(_), Outcome::Addresses(_)),
                (Stage::Tcp(_), Outcome::Connected { .. }),
                (Stage::Tls { through: false, .. }, Outcome::Tls(_))
            ]
        ),
        "{steps:?}"
    );
    assert_eq!(steps.len(), 6);
}

#[tokio::test]
async fn tls_1_2_is_enough_and_1_1_is_not() {
    let identity = identity(&["rss.test"], |_| {});
    let dialler = dialler(&identity.root);
    let peer = target(&identity, &["-tls1_2"]);
    let tunnel = dialler.dial(&route(peer.port), &()).await.unwrap();
    assert_eq!(tunnel.report.version, "TLSv1.2");
    works(tunnel).await;
    let peer = target(&identity, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert_eq!(fails(&dialler, &route(peer.port)).await.failure, Failure::NoCommonVersion);
}

#[tokio::test]
async fn a_second_session_with_the_same_server_is_resumed() {
    let identity = identity(&["rss.test"], |_| {});
    let (dialler, peer) = (dialler(&identity.root), target(&identity, &[]));
    let first = dialler.dial(&route(peer.port), &()).await.unwrap();
    assert!(!first.report.resumed);
    // The ticket comes with the first bytes.
    works(first).await;
    let second = dialler.dial(&route(peer.port), &()).await.unwrap();
    assert!(second.report.resumed);
    assert_eq!(second.report.key_sha256.map(|key| key.len()), Some(32));
    works(second).await;
}

#[tokio::test]
async fn an_untrusted_issuer_is_named() {
    let identity = identity(&["rss.test"], |_| {});
    let peer = target(&identity, &[]);
    let built_in = dialler_by(&Trust { built_in: true, ..Trust::default() });
    let error = fails(&built_in, &route(peer.port)).await;
    let CertificateFailure::UntrustedIssuer { issuer, .. } = certificate(&error) else { panic!("{error}") };
    assert!(issuer.contains("Test Root of Interception"));
    assert!(error.remedy().contains("intercepts"));
}

#[tokio::test]
async fn a_certificate_of_another_time_or_host_is_refused_with_the_reason() {
    let old = identity(&["rss.test"], |leaf| leaf.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let peer = target(&old, &[]);
    let error = fails(&dialler(&old.root), &route(peer.port)).await;
    assert!(matches!(certificate(&error), CertificateFailure::Expired { .. }), "{error}");
    assert!(error.to_string().contains("2020-01-01") && error.remedy().contains("clock"), "{error}");

    let early = identity(&["rss.test"], |leaf| leaf.not_before = rcgen::date_time_ymd(4000, 1, 1));
    let peer = target(&early, &[]);
    let error = fails(&dialler(&early.root), &route(peer.port)).await;
    assert!(matches!(certificate(&error), CertificateFailure::NotYetValid { .. }), "{error}");

    let other = identity(&["other.test", "192.0.2.7"], |_| {});
    let peer = target(&other, &[]);
    let error = fails(&dialler(&other.root), &route(peer.port)).await;
    let CertificateFailure::WrongName { wanted, names } = certificate(&error) else { panic!("{error}") };
    assert_eq!((wanted.as_str(), names.as_str()), ("rss.test", "other.test, 192.0.2.7"));
}

#[tokio::test]
async fn a_pin_takes_one_server_and_no_other() {
    let (one, other) = (identity(&["rss.test"], |_| {}), identity(&["rss.test"], |_| {}));
    let (peer, stranger) = (target(&one, &[]), target(&other, &[]));
    let seen = dialler(&one.root).dial(&route(peer.port), &()).await.unwrap().report;
    for pin in [Pin::Key(seen.key_sha256.unwrap()), Pin::Certificate(seen.certificate_sha256)] {
        let alone = dialler_by(&Trust { pin: Some(pin), ..Trust::default() });
        works(alone.dial(&route(peer.port), &()).await.unwrap()).await;
        let error = fails(&alone, &route(stranger.port)).await;
        assert!(matches!(certificate(&error), CertificateFailure::PinMismatch { .. }), "{error}");
        // With roots, both must hold.
        let both = dialler_by(&Trust { pin: Some(pin), uploaded: vec![other.root.clone()], built_in: false });
        fails(&both, &route(peer.port)).await;
        fails(&both, &route(stranger.port)).await;
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_is_told_from_what_closes_and_what_is_not_there() {
    let identity = identity(&["rss.test"], |_| {});
    let dialler = dialler(&identity.root);
    let (ssh, _) = scripted(vec![b"SSH-2.0-OpenSSH_9.2\r\n"]).await;
    assert_eq!(fails(&dialler, &route(ssh)).await.failure, Failure::NotTls);
    let (closes, _) = scripted(vec![b""]).await;
    assert_eq!(fails(&dialler, &route(closes)).await.failure, Failure::ClosedInHandshake);
    assert_eq!(fails(&dialler, &route(peers::free_port())).await.failure, Failure::Refused);
    let mut unknown = route(1);
    unknown.target = HostPort::parse("nobody.test:1").unwrap();
    assert!(matches!(fails(&dialler, &unknown).await.failure, Failure::NameUnknown(_)));
}

#[tokio::test]
async fn silence_ends_after_the_time_of_the_step_and_of_the_whole() {
    let identity = identity(&["rss.test"], |_| {});
    let silent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut route = route(silent.local_addr().unwrap().port());
    route.time_outs.tls = Duration::from_millis(300);
    let error = fails(&dialler(&identity.root), &route).await;
    assert!(matches!((&error.stage, &error.failure), (Stage::Tls { .. }, Failure::TimedOut(_))), "{error}");
    route.time_outs.tls = Duration::from_secs(30);
    route.time_outs.whole = Duration::from_millis(300);
    assert!(matches!(fails(&dialler(&identity.root), &route).await.stage, Stage::Whole(_)));
}

fn certificate(error: &DialError) -> &CertificateFailure {
    match &error.failure {
        Failure::Certificate(failure) => failure,
        other => panic!("{other}"),
    }
}

struct These(Vec<IpAddr>);

impl Names for These {
    fn addresses<'a>(&'a self, _: &'a str) -> Wait<'a, Result<Vec<IpAddr>, NameFailure>> {
        let all = self.0.clone();
        Box::pin(async move { Ok(all) })
    }
}

#[tokio::test]
async fn the_first_complete_handshake_wins_and_not_the_first_connection() {
    let identity = identity(&["rss.test"], |_| {});
    let peer = target(&identity, &[]);
    // 127.0.0.2 takes the connection and says nothing, 127.0.0.1 is the server.
    let _silent = std::net::TcpListener::bind(("127.0.0.2", peer.port)).unwrap();
    let names = These(vec!["127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()]);
    let trust = Trust { uploaded: vec![identity.root.clone()], ..Trust::default() };
    let dialler = Dialler::new(&trust, Arc::new(names), Arc::new(Plain)).unwrap();
    let route = Route::direct(HostPort { host: Host::parse("rss.test").unwrap(), port: peer.port });
    let began = Instant::now();
    let (tunnel, steps) = dial(&dialler, &route).await;
    let tunnel = tunnel.unwrap();
    assert_eq!(tunnel.peer.ip(), Ipv4Addr::LOCALHOST);
    assert!(began.elapsed() >= Duration::from_millis(250) && began.elapsed() < Duration::from_secs(10));
    assert!(steps.iter().any(|step| matches!(step, Step::Begins(Stage::Tls { dialled, .. }) if dialled.ip() == Ipv4Addr::new(127, 0, 0, 2))));
    works(tunnel).await;
}

#[tokio::test]
async fn two_hops_lead_to_the_target_whose_name_stays_its_own() {
    let identity = identity(&["rss.test"], |_| {});
    let peer = target(&identity, &[]);
    let second = hop(peer.port).await;
    let first = hop(second).await;
    let mut route = Route::direct(HostPort::parse("rss.test:443").unwrap());
    route.hops = vec![at(first), at(second)];
    let tunnel = dialler(&identity.root).dial(&route, &()).await.unwrap();
    assert_eq!(tunnel.peer.port(), first);
    works(tunnel).await;
    // A hop that leads nowhere is told as such.
    route.hops = vec![at(hop(peers::free_port()).await)];
    let error = fails(&dialler(&identity.root), &route).await;
    assert_eq!(error.failure, Failure::ClosedInHandshake);
    assert!(error.remedy().contains("relay"), "{}", error.remedy());
}
