//! Servers that are not what they should be, or do what they should not.

use crate::common::server::Server;
use crate::common::{Tunnel, orders, random, soon};
use drawbridge_wire::{FRAME_BYTES, RequestId, ToServer, Token, ticket};
use std::collections::HashSet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The bound of connections at one time.
const AT_ONCE: u64 = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_certificate_hears_nothing_and_its_owner_is_told() {
    let mut server = Server::start().await;
    let mut orders = orders(&server);
    orders.path.verification.certificate_pin = Some(random());
    let mut tunnel = Tunnel::start(orders).await;
    let (why, remedy) = tunnel.waiting().await;
    assert!(why.contains("pin"), "{why}");
    assert!(!remedy.is_empty());
    let refusal = server.refused().await;
    assert!(refusal.contains("ertificate"), "{refusal}");
    assert!(tunnel.stop().await);
    assert_eq!(server.controls_waiting(), 0, "a control connection was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_host_key_gets_no_login_and_its_owner_is_told() {
    let mut server = Server::start().await;
    let other = Server::start().await;
    let mut orders = orders(&server);
    orders.server_key = Some(other.host_key_line());
    let mut tunnel = Tunnel::start(orders).await;
    assert!(server.control().await.is_none(), "it logs in");
    let (why, remedy) = tunnel.waiting().await;
    assert!(why.contains("host key") && why.contains("SHA256:"), "{why}");
    assert!(remedy.contains("do not go on"), "{remedy}");
    // It tries again, and is no wiser.
    assert!(server.control().await.is_none(), "it logs in");
    assert!(tunnel.stop().await);
    assert_eq!(server.sessions_waiting(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_instead_of_ssh_is_told_and_tried_again() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server)).await;
    let mut stream = server.control_stream().await;
    let garbage = [&random()[..], b"\r\n\0\xff"].concat().repeat(2000);
    // The appliance may be gone before it has taken all of it.
    let _ = stream.write_all(&garbage).await;
    let _ = stream.flush().await;
    let mut rest = Vec::new();
    let _ = soon("the end of a connection with garbage", stream.read_to_end(&mut rest)).await;
    let (why, remedy) = tunnel.waiting().await;
    assert!(why.contains("SSH"), "{why}");
    assert!(!remedy.is_empty());
    server.welcome().await;
    tunnel.connected().await;
    assert!(tunnel.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_bound_ends_the_connection_and_the_next_one_is_made() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server)).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    let length = u32::try_from(FRAME_BYTES + 1).unwrap();
    // Its head is enough: nothing of the rest is waited for.
    control.send(length.to_be_bytes().to_vec()).await;
    assert_eq!(control.next().await, None);
    let (why, _) = tunnel.waiting().await;
    assert!(why.contains("8193 bytes"), "{why}");
    server.welcome().await;
    tunnel.connected().await;
    assert!(tunnel.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_orders_dials_no_more_than_the_bound_and_declines_the_rest() {
    const ASKED: u64 = 100;
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server)).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    for request in 0..ASKED {
        control.ask(request, &Token::random().unwrap()).await;
    }
    // None of the tickets is answered, so that all that have come stay.
    let mut streams = Vec::new();
    for _ in 0..AT_ONCE {
        streams.push(server.session_stream().await);
    }
    let mut declined = HashSet::new();
    for _ in AT_ONCE..ASKED {
        match control.next().await {
            Some(ToServer::Declined { request, .. }) => {
                assert!(declined.insert(request), "{request:?} twice");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((AT_ONCE..ASKED).all(|request| declined.contains(&RequestId(request))), "{declined:?}");
    assert_eq!(server.sessions_waiting(), 0, "more than the bound are dialled");
    assert!(!tunnel.has_caller().await, "the SSH daemon hears of a ticket that was not taken");
    assert!(tunnel.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_comes_twice_is_followed_once_and_a_used_ticket_lets_nobody_in() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server)).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    let token = Token::random().unwrap();
    control.ask(7, &token).await;
    control.ask(7, &token).await;
    let (_, _engineer) = server.session().await;
    let declined = control.next().await;
    assert!(
        matches!(&declined, Some(ToServer::Declined { request: RequestId(7), why }) if why.as_str().contains("before")),
        "{declined:?}"
    );
    let _daemon = tunnel.comes_in().await;
    assert_eq!(server.sessions_waiting(), 0, "it has dialled twice");
    // The same token under another number is the server's to refuse.
    control.ask(8, &token).await;
    let mut again = server.session_stream().await;
    assert!(soon("a ticket", ticket::read(&mut again)).await.unwrap() == Some(token));
    again.write_all(&[ticket::UNKNOWN]).await.unwrap();
    again.flush().await.unwrap();
    let declined = control.next().await;
    assert!(matches!(declined, Some(ToServer::Declined { request: RequestId(8), .. })), "{declined:?}");
    assert!(!tunnel.has_caller().await, "the SSH daemon hears of a ticket that was refused");
    assert!(tunnel.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_not_shown_to_who_has_another_certificate_than_the_server() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server)).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    server.change_certificate();
    control.ask(1, &Token::random().unwrap()).await;
    let declined = control.next().await;
    assert!(matches!(declined, Some(ToServer::Declined { request: RequestId(1), .. })), "{declined:?}");
    server.refused().await;
    assert_eq!(server.sessions_waiting(), 0, "a connection was made");
    assert!(!tunnel.has_caller().await, "the SSH daemon hears of it");
    assert!(tunnel.stop().await);
}
