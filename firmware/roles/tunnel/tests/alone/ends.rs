//! The end, whatever the role is at: quick, whole, and with nothing dialled afterwards.

use crate::common::server::Server;
use crate::common::{FAST, Tunnel, orders, soon};
use drawbridge_tunnel::Pace;
use drawbridge_wire::{ToServer, Token};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

/// The good-bye has two seconds; the rest is a busy machine.
const SHORT: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_to_stop_follows_no_order_any_more_and_leaves_nobody_in() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    control.ask(1, &Token::random().unwrap()).await;
    let (_, mut engineer) = server.session().await;
    let (_, mut daemon) = tunnel.comes_in().await;
    tunnel.tell_to_stop(5);
    // As soon as it says good-bye, the server comes with one more.
    assert_eq!(control.next().await, Some(ToServer::Bye));
    // The appliance may be gone before it is sent.
    let _ = tokio::spawn(async move { control.ask(2, &Token::random().unwrap()).await }).await;
    let (well, time) = tunnel.ends().await;
    assert!(well && time < SHORT, "{time:?}");
    let mut rest = Vec::new();
    let _ = soon("the engineer's end", engineer.read_to_end(&mut rest)).await;
    let _ = soon("the daemon's end", daemon.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    assert_eq!(server.sessions_waiting() + server.controls_waiting(), 0, "it has dialled afterwards");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_no_server_that_is_silent_in_the_tls_handshake() {
    let server = Server::start().await;
    let mut orders = orders(&server);
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    orders.path.server.port = door.local_addr().unwrap().port();
    let mut tunnel = Tunnel::start(orders, FAST).await;
    let _line = soon("a line", door.accept()).await.unwrap();
    let time = tunnel.stop().await;
    assert!(time < SHORT, "{time:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_no_server_that_is_silent_in_ssh() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let _line = server.control_stream().await;
    let time = tunnel.stop().await;
    assert!(time < SHORT, "{time:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_no_wait() {
    let mut server = Server::start().await;
    let long = Duration::from_secs(1_000_000);
    let mut tunnel = Tunnel::start(orders(&server), Pace { wait_first: long, wait_most: long, ..FAST }).await;
    drop(server.control_stream().await);
    tunnel.waiting().await;
    let time = tunnel.stop().await;
    assert!(time < SHORT, "{time:?}");
    assert_eq!(server.controls_waiting(), 0, "it has dialled afterwards");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_no_engineer_who_is_being_dialled_for() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let control = server.welcome().await;
    tunnel.connected().await;
    control.ask(1, &Token::random().unwrap()).await;
    // Its ticket is never answered.
    let mut engineer = server.session_stream().await;
    let time = tunnel.stop().await;
    assert!(time < SHORT, "{time:?}");
    let mut rest = Vec::new();
    let _ = soon("the engineer's end", engineer.read_to_end(&mut rest)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_does_not_outlive_init() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    tunnel.lose_init();
    let (well, time) = tunnel.ends().await;
    assert!(!well && time < SHORT, "{time:?}");
    assert_eq!(control.next().await, None);
    assert!(tunnel.log().contains("without init"), "{}", tunnel.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_does_not_outlive_a_grant_that_session_has_forgotten() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let control = server.welcome().await;
    tunnel.connected().await;
    control.ask(1, &Token::random().unwrap()).await;
    let (_, mut engineer) = server.session().await;
    let _daemon = tunnel.comes_in().await;
    tunnel.grant_is_over();
    // The next news are refused: of a line that is lost.
    control.cut();
    let (well, _) = tunnel.ends().await;
    assert!(!well);
    assert!(tunnel.log().contains("without session"), "{}", tunnel.log());
    let mut rest = Vec::new();
    let _ = soon("the engineer's end", engineer.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}
