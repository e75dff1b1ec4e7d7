//! Strangers in great number: what they hold, and who gets in all the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use peers::appliance::{Appliance, tls, tls_over};
use peers::{Server, run, soon, text};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Connects from one of many addresses of the loopback network.
async fn connect_from(last: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 1, last], 0)))?;
    socket.connect(to).await
}

/// Reads a connection to its end.
async fn to_the_end(stream: &mut TcpStream) {
    let mut bytes = [0; 256];
    while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_who_never_log_in_keep_no_engineer_and_no_appliance_out() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8192), hard).unwrap();
    let server = Server::start().await;
    let (held, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut flood = JoinSet::new();
    for number in 0..2500_usize {
        let to = if number % 2 == 0 { server.ssh } else { server.tls };
        let last = u8::try_from(number % 25).unwrap() + 1;
        let (held, again) = (Arc::clone(&held), Arc::clone(&again));
        flood.spawn(async move {
            loop {
                if let Ok(mut stream) = connect_from(last, to).await {
                    held.fetch_add(1, Ordering::Relaxed);
                    to_the_end(&mut stream).await;
                    again.fetch_add(1, Ordering::Relaxed);
                }
                // Whoever is sent away comes back.
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
    }
    soon("the flood", async {
        while held.load(Ordering::Relaxed) < 2500 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let began = Instant::now();
    let answer = run(&mut server.ssh("anna", &["rss", "help"])).await;
    assert!(answer.status.success(), "{}", text(&answer.stderr));
    println!("an engineer's login in the flood: {:?}", began.elapsed());
    let began = Instant::now();
    let appliance = Appliance::new(&server, "SN-1", "box-1").await;
    let control = appliance.enrol(&server).await;
    println!("an appliance's enrolment in the flood: {:?}", began.elapsed());
    let _serving = appliance.serve(&server, control);
    server.take_known_hosts("anna", "box-1").await;
    for _ in 0..5 {
        let began = Instant::now();
        let there = run(&mut server.ssh("anna", &["-J", "rss", "box-1", "echo here"])).await;
        assert_eq!(text(&there.stdout), "here\n", "{}", text(&there.stderr));
        println!("a session in the flood: {:?}", began.elapsed());
    }
    assert!(again.load(Ordering::Relaxed) > 1500, "the flood was bounded");
    println!("connections of the flood that were ended: {}", again.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_its_share_of_strangers_and_the_newest_of_them_stay() {
    let server = Server::start_with("[limits]\nstrangers_per_address = 3\n").await;
    let greeted = async || {
        let mut stream = TcpStream::connect(server.ssh).await.unwrap();
        let mut greeting = [0; 4];
        soon("a greeting", stream.read_exact(&mut greeting)).await.unwrap();
        stream
    };
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(greeted().await);
    }
    soon("the end of the oldest", to_the_end(&mut held[0])).await;
    // A ticket that nobody has shown yet is a stranger's, too.
    let _ticket = tls(&server, drawbridge_wire::SESSION).await;
    soon("the end of the next", to_the_end(&mut held[1])).await;
    // The others are still there: none is ended before the next comes.
    for stream in &mut held[2..] {
        let ended = tokio::time::timeout(Duration::from_millis(300), to_the_end(stream)).await;
        assert!(ended.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_in_have_their_own_bound_and_are_told_when_it_is_reached() {
    let server = Server::start_with("[limits]\nper_address = 2\nstrangers = 1\n").await;
    let mut first = server.ssh("anna", &["-N", "rss"]).spawn().unwrap();
    server.audit_has(&[("what", "login"), ("result", "by key")]).await;
    // The only stranger's place is taken from the stranger, never from her who is in.
    for _ in 0..20 {
        let _stranger = TcpStream::connect(server.ssh).await.unwrap();
    }
    let mut second = server.ssh("anna", &["-N", "rss"]).spawn().unwrap();
    soon("the second login", async {
        while server.audit().await.iter().filter(|line| line["result"] == "by key").count() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(!run(&mut server.ssh("anna", &["rss", "help"])).await.status.success());
    server.audit_has(&[("who", "anna"), ("result", "too many are connected")]).await;
    assert!(first.try_wait().unwrap().is_none() && second.try_wait().unwrap().is_none());
    first.kill().await.unwrap();
    soon("a place that is free again", async {
        while !run(&mut server.ssh("anna", &["rss", "help"])).await.status.success() {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loud_stranger_hides_no_other_in_the_audit_log_and_is_counted() {
    let mut server = Server::start().await;
    let show = async |last: u8| {
        let stream = connect_from(last, server.tls).await.unwrap();
        let mut session = tls_over(&server, stream, drawbridge_wire::SESSION).await;
        // No ticket of ours; the answer comes after the line is written.
        session.write_all(&[0xa5; 100]).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the refusal", session.read_to_end(&mut answer)).await;
    };
    for _ in 0..700 {
        show(1).await;
    }
    show(9).await;
    server.audit_has(&[("what", "ticket"), ("from", "127.0.1.9")]).await;
    let listed =
        |audit: &[serde_json::Value]| audit.iter().filter(|line| line["from"] == "127.0.1.1").count();
    assert_eq!(listed(&server.audit().await), 20);
    server.stop().await;
    server
        .audit_has(&[("what", "refused"), ("from", "127.0.1.1"), ("result", "680 refusals of the last hour")])
        .await;
}
