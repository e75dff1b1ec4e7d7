//! What engineers' connections live through, and how much they carry.

use crate::common::server::{Server, Tls};
use crate::common::{SOON, Tunnel, orders, soon};
use drawbridge_bus::bridge::{Link, TunnelNews};
use drawbridge_wire::{RequestId, ToServer, Token};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What is carried whole, each way.
const MUCH: usize = 16 * 1024 * 1024;

/// Bytes that show what is missing, doubled or in another order.
fn much(begin: u64) -> Vec<u8> {
    // A linear congruential generator (Knuth's MMIX).
    let mut state = begin;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()
    });
    words.take(MUCH / 8).flatten().collect()
}

/// A word there and a word back.
async fn talk(engineer: &mut Tls, daemon: &mut TcpStream) {
    let mut heard = [0; 5];
    engineer.write_all(b"there").await.unwrap();
    engineer.flush().await.unwrap();
    soon("a word there", daemon.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"there");
    daemon.write_all(b"again").await.unwrap();
    soon("a word back", engineer.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engineer_outlives_the_control_connection_and_the_next_one_is_made() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server)).await;
    let control = server.welcome().await;
    tunnel.connected().await;
    control.ask(1, &Token::random().unwrap()).await;
    let (_, mut engineer) = server.session().await;
    let (_, mut daemon) = tunnel.comes_in().await;
    talk(&mut engineer, &mut daemon).await;

    control.cut();
    let (why, _) = tunnel.waiting().await;
    assert!(why.contains("lost"), "{why}");
    talk(&mut engineer, &mut daemon).await;

    let mut control = server.welcome().await;
    tunnel.connected().await;
    talk(&mut engineer, &mut daemon).await;
    // The new one counts its requests anew, and the old engineer's end is none of its business.
    control.ask(1, &Token::random().unwrap()).await;
    let (_, mut second) = server.session().await;
    let (_, mut second_daemon) = tunnel.comes_in().await;
    drop((engineer, daemon));
    talk(&mut second, &mut second_daemon).await;
    second.shutdown().await.unwrap();
    drop(second_daemon);
    assert_eq!(control.next().await, Some(ToServer::Ended { request: RequestId(1) }));
    assert!(tunnel.stop().await);
    assert_eq!(control.next().await, Some(ToServer::Bye));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_left_for_a_new_connection() {
    let mut server = Server::start().await;
    let mut tunnel =
        Tunnel::start_at(orders(&server), |pace| pace.silent_for = Duration::from_millis(2500)).await;
    let silent = server.welcome().await;
    tunnel.connected().await;
    // It reads no pings, and so answers none.
    let (why, _) = tunnel.waiting().await;
    assert!(why.contains("othing has come"), "{why}");
    drop(silent);
    server.welcome().await;
    tunnel.connected().await;
    assert!(tunnel.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_shows_first_is_told_and_is_its_key_from_then_on() {
    let mut server = Server::start().await;
    let mut orders = orders(&server);
    orders.server_key = None;
    let mut tunnel = Tunnel::start(orders).await;
    let control = server.welcome().await;
    assert_eq!(tunnel.news().await, TunnelNews::Link(Link::Connecting));
    assert_eq!(tunnel.news().await, TunnelNews::ServerKey(server.host_key_line()));
    tunnel.connected().await;
    server.change_host_key();
    control.cut();
    assert!(server.control().await.is_none(), "it logs in at another server");
    let (why, _) = tunnel.waiting().await;
    assert!(why.contains("lost"), "{why}");
    let (why, _) = tunnel.waiting().await;
    assert!(why.contains("host key"), "{why}");
    assert!(tunnel.stop().await);
}

/// Sends it all, and that it is all, while all that comes is read.
async fn exchange(stream: impl AsyncRead + AsyncWrite + Send + 'static, send: Vec<u8>) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let sending = async {
        write.write_all(&send).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let (heard_all, ()) = tokio::join!(read.read_to_end(&mut heard), sending);
    heard_all.unwrap();
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_megabytes_go_both_ways_whole_with_an_end_each() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server)).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    control.ask(1, &Token::random().unwrap()).await;
    let (_, engineer) = server.session().await;
    let (_, daemon) = tunnel.comes_in().await;
    let engineer = tokio::spawn(exchange(engineer, much(1)));
    let daemon = tokio::spawn(exchange(daemon, much(2)));
    let carried = async { (engineer.await.unwrap(), daemon.await.unwrap()) };
    let (back, there) = tokio::time::timeout(4 * SOON, carried).await.unwrap();
    assert!(there == much(1), "{} bytes arrive", there.len());
    assert!(back == much(2), "{} bytes come back", back.len());
    assert_eq!(control.next().await, Some(ToServer::Ended { request: RequestId(1) }));
    assert!(tunnel.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_said_his_last_still_gets_all_of_the_answer() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server)).await;
    let control = server.welcome().await;
    tunnel.connected().await;
    control.ask(1, &Token::random().unwrap()).await;
    let (_, mut engineer) = server.session().await;
    let (_, mut daemon) = tunnel.comes_in().await;
    engineer.write_all(b"all of it, please").await.unwrap();
    engineer.shutdown().await.unwrap();
    let mut heard = Vec::new();
    soon("the last word", daemon.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"all of it, please");
    // Only now is there an answer, which is long.
    let answering = tokio::spawn(async move {
        daemon.write_all(&much(3)).await.unwrap();
        daemon.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    tokio::time::timeout(4 * SOON, engineer.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert!(heard == much(3), "{} bytes come back", heard.len());
    answering.await.unwrap();
    assert!(tunnel.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_stands_still_slows_no_other() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server)).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    // Nobody reads at either end, and both ends send.
    control.ask(1, &Token::random().unwrap()).await;
    let (_, mut engineer) = server.session().await;
    let (_, mut daemon) = tunnel.comes_in().await;
    until_it_stands(&mut engineer).await;
    until_it_stands(&mut daemon).await;
    control.ask(2, &Token::random().unwrap()).await;
    let (_, mut other) = server.session().await;
    let (_, mut other_daemon) = tunnel.comes_in().await;
    talk(&mut other, &mut other_daemon).await;
    let carried = async { tokio::join!(exchange(other, much(4)), exchange(other_daemon, much(5))) };
    let (back, there) = tokio::time::timeout(4 * SOON, carried).await.unwrap();
    assert!(there == much(4) && back == much(5), "{} there, {} back", there.len(), back.len());
    // And the control connection hears of it beside.
    assert_eq!(control.next().await, Some(ToServer::Ended { request: RequestId(2) }));
    assert!(tunnel.stop().await);
}

/// Writes until nothing more is taken.
async fn until_it_stands(stream: &mut (impl AsyncWrite + Unpin)) {
    let piece = vec![7; 64 * 1024];
    let mut sent = 0;
    while let Ok(count) = tokio::time::timeout(Duration::from_millis(300), stream.write(&piece)).await {
        sent += count.unwrap();
        assert!(sent < 256 * 1024 * 1024, "it takes {sent} bytes that nobody reads");
    }
}
