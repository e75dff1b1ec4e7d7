//! Engineers' own connections on which the server does not do its part.

use crate::common::server::{Server, Tls};
use crate::common::{FAST, SOON, Tunnel, orders, soon};
use drawbridge_tunnel::Pace;
use drawbridge_wire::{RequestId, TICKET_LIVES, ToServer, Token, ticket};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The bound of connections at one time.
const AT_ONCE: u64 = 32;

fn token() -> Token {
    Token::random().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_that_are_never_answered_hold_their_places_for_their_lives_and_no_longer() {
    let mut server = Server::start().await;
    // The server answers no pings meanwhile.
    let mut tunnel =
        Tunnel::start(orders(&server), Pace { silent_for: Duration::from_mins(10), ..FAST }).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    let began = Instant::now();
    let mut streams = Vec::new();
    for request in 0..AT_ONCE {
        control.ask(request, &token()).await;
        streams.push(server.session_stream().await);
    }
    control.ask(AT_ONCE, &token()).await;
    let said = control.next().await;
    assert!(
        matches!(&said, Some(ToServer::Declined { request: RequestId(AT_ONCE), why }) if why.as_str().contains("room")),
        "{said:?}"
    );
    let lives = Duration::from_secs(TICKET_LIVES);
    for stream in &mut streams {
        let mut shown = Vec::new();
        let _ = tokio::time::timeout(lives + SOON, stream.read_to_end(&mut shown)).await.unwrap();
        assert_eq!(shown.len(), ticket::BYTES, "it sends more than the ticket");
    }
    let time = began.elapsed();
    println!("the last of {AT_ONCE} unanswered tickets was given up after {time:?}");
    assert!(time + Duration::from_secs(1) >= lives, "{time:?}");
    let mut declined = HashSet::new();
    for _ in 0..AT_ONCE {
        let said = control.next().await;
        let Some(ToServer::Declined { request, .. }) = said else { panic!("{said:?}") };
        declined.insert(request.0);
    }
    assert_eq!(declined, (0..AT_ONCE).collect());
    // All places are free again.
    for request in 100..100 + AT_ONCE {
        control.ask(request, &token()).await;
        streams.push(server.session_stream().await);
    }
    tunnel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_none_reaches_no_ssh_daemon() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    for (request, answer) in [(1, &b"SSH-2.0-evil\r\n"[..]), (2, b"\0+"), (3, b""), (4, b"-+")] {
        control.ask(request, &token()).await;
        let mut stream = server.session_stream().await;
        assert!(soon("a ticket", ticket::read(&mut stream)).await.unwrap().is_some());
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
        let said = control.next().await;
        assert!(matches!(&said, Some(ToServer::Declined { request: id, .. }) if id.0 == request), "{said:?}");
    }
    assert!(!has_caller(&tunnel.daemon).await, "the SSH daemon hears of it");
    tunnel.stop().await;
}

/// Whether somebody has come to the door. Who was declined would have come before that.
async fn has_caller(door: &TcpListener) -> bool {
    tokio::time::timeout(Duration::from_millis(200), door.accept()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_welcome_and_finds_no_ssh_daemon_is_declined_and_let_go() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    tunnel.daemon = TcpListener::bind("127.0.0.1:0").await.unwrap();
    control.ask(1, &token()).await;
    let (_, mut engineer) = server.session().await;
    let said = control.next().await;
    let Some(ToServer::Declined { request: RequestId(1), why }) = said else { panic!("{said:?}") };
    // What is wrong inside is the owner's to know, not the server's.
    assert!(!why.as_str().contains("SSH") && tunnel.log().contains("SSH daemon cannot be reached"), "{why}");
    let mut rest = Vec::new();
    let _ = soon("the engineer's end", engineer.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    tunnel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_that_nobody_reads_are_held_back_and_not_kept() {
    let mut server = Server::start().await;
    let mut tunnel =
        Tunnel::start(orders(&server), Pace { silent_for: Duration::from_mins(10), ..FAST }).await;
    let control = server.welcome().await;
    tunnel.connected().await;
    let mut pairs = Vec::new();
    for request in 0..AT_ONCE {
        control.ask(request, &token()).await;
        let (_, engineer) = server.session().await;
        pairs.push((engineer, tunnel.comes_in().await.1));
    }
    let before = tunnel.memory();
    let mut floods = tokio::task::JoinSet::new();
    for (mut engineer, mut daemon) in pairs {
        floods.spawn(async move {
            let (there, back) = tokio::join!(until_it_stands(&mut engineer), until_it_stands(&mut daemon));
            (there + back, engineer, daemon)
        });
    }
    let stood: Vec<(usize, Tls, _)> =
        tokio::time::timeout(4 * SOON, floods.join_all()).await.expect("they stand");
    let sent: usize = stood.iter().map(|one| one.0).sum();
    let after = tunnel.memory();
    println!("{AT_ONCE} floods of {sent} bytes in all: {before} KiB before, {after} KiB after");
    assert!(after < before + 12 * 1024, "from {before} to {after} KiB");
    tunnel.stop().await;
}

/// Writes until nothing more is taken for a second: so many bytes.
async fn until_it_stands(stream: &mut (impl AsyncWrite + Unpin)) -> usize {
    let piece = vec![7; 64 * 1024];
    let mut sent = 0;
    while let Ok(count) = tokio::time::timeout(Duration::from_secs(1), stream.write(&piece)).await {
        sent += count.unwrap();
        assert!(sent < 64 * 1024 * 1024, "it takes {sent} bytes that nobody reads");
    }
    sent
}
