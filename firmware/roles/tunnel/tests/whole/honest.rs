//! An honest server: the way of an engineer from the server's order to the SSH daemon, and the end.

use crate::common::server::Server;
use crate::common::{Tunnel, orders, soon};
use drawbridge_wire::{ToServer, Token};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engineers_bytes_reach_the_ssh_daemon_and_the_stop_order_ends_all() {
    let mut server = Server::start().await;
    let orders = orders(&server);
    let login_key = PrivateKey::from(Ed25519Keypair::from_seed(orders.login_key.reveal()));
    let mut tunnel = Tunnel::start(orders).await;

    let mut control = server.welcome().await;
    assert_eq!(control.user, "SN-0042");
    assert_eq!(control.key.key_data(), login_key.public_key().key_data());
    assert_eq!(tunnel.connected().await, "sa-0042");

    let token = Token::random().unwrap();
    control.ask(1, &token).await;
    let (shown, mut engineer) = server.session().await;
    assert!(shown == token, "another token was shown");
    let (caller, mut daemon) = tunnel.comes_in().await;
    assert_eq!((caller.name.as_str(), caller.source.to_string().as_str()), ("anna", "192.0.2.7"));

    daemon.write_all(b"SSH-2.0-daemon\r\n").await.unwrap();
    engineer.write_all(b"SSH-2.0-engineer\r\n").await.unwrap();
    engineer.flush().await.unwrap();
    let mut heard = [0; 18];
    soon("the engineer's bytes", daemon.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"SSH-2.0-engineer\r\n");
    let mut heard = [0; 16];
    soon("the daemon's bytes", engineer.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"SSH-2.0-daemon\r\n");

    assert!(tunnel.stop().await, "the role has failed");
    assert_eq!(control.next().await, Some(ToServer::Bye));
    assert_eq!(control.next().await, None);
    // Both ends of the engineer's connection see its end, clean or not.
    let mut rest = Vec::new();
    let _ = soon("the engineer's end", engineer.read_to_end(&mut rest)).await;
    let _ = soon("the daemon's end", daemon.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{rest:?}");
}
