//! Servers that send without end, or what nobody has asked for: what they get, what the owner is told, and what it costs.

use crate::common::server::{Server, Tls};
use crate::common::{FAST, SOON, Tunnel, orders, random, soon};
use drawbridge_wire::{Line, RequestId, ToAppliance, Token, encode};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
    run_stream,
};
use russh::{Channel, ChannelId, Disconnect};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;

/// The bound of connections at one time.
const AT_ONCE: usize = 32;

/// So many orders for engineers, each another.
fn orders_for(count: u64) -> Vec<u8> {
    let source = "192.0.2.7".parse().unwrap();
    let order = |number| {
        let (token, engineer) = (Token::random().unwrap(), Line::of("anna"));
        encode(&ToAppliance::Dial { request: RequestId(number), token, engineer, source }).unwrap()
    };
    (0..count).flat_map(order).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_orders_dial_no_more_than_the_bound_and_cost_no_memory() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let (mut memory, mut descriptors, mut declined) = (Vec::new(), Vec::new(), 0);
    let began = Instant::now();
    // As many in one go as the window of a connection takes, and that ten times.
    for _ in 0..10 {
        let mut control = server.welcome().await;
        tunnel.connected().await;
        memory.push(tunnel.memory());
        descriptors.push(tunnel.descriptors());
        control.send(orders_for(1_000)).await;
        while control.next().await.is_some() {
            declined += 1;
        }
        let why = tunnel.waiting().await;
        assert!(why.contains("more messages than it may"), "{why}");
        // No ticket is answered: each that was dialled for stays, for as long as tickets live.
        let lives = usize::try_from(began.elapsed().as_secs() / drawbridge_wire::TICKET_LIVES).unwrap() + 1;
        assert!(server.sessions_waiting() <= AT_ONCE * lives, "{} dials", server.sessions_waiting());
    }
    println!(
        "{} dials, {declined} orders declined; before each thousand: KiB {memory:?}, descriptors {descriptors:?}",
        server.sessions_waiting()
    );
    assert!(server.sessions_waiting() >= AT_ONCE, "only {} dials", server.sessions_waiting());
    assert!(memory[9] < memory[1] + 2048, "it grows: {memory:?}");
    // The connections of earlier floods are gone; those that wait for a ticket's answer are the same.
    assert!(descriptors[9] <= descriptors[1] + 2, "lines are left open: {descriptors:?}");
    tunnel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_floods_and_reads_nothing_is_left_in_time() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let control = server.welcome().await;
    tunnel.connected().await;
    let (began, before) = (Instant::now(), tunnel.memory());
    // The answers to it are left in the window, which is full before the last of them.
    let flood = tokio::spawn(async move { control.send(orders_for(10_000)).await });
    let why = tunnel.waiting().await;
    let (time, after) = (began.elapsed(), tunnel.memory());
    println!("\"{why}\" after {time:?}: {before} KiB before, {after} KiB after");
    assert!(why.contains("more messages than it may") || why.contains("takes nothing"), "{why}");
    // A word that is not taken has 10 s.
    assert!(time < Duration::from_secs(20), "{time:?}");
    assert!(after < before + 8 * 1024, "from {before} to {after} KiB");
    assert!(!flood.is_finished(), "the whole flood was taken");
    flood.abort();
    server.welcome().await;
    tunnel.connected().await;
    assert!(server.sessions_waiting() <= AT_ONCE, "{} dials", server.sessions_waiting());
    tunnel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_without_end_before_ssh_are_given_up_in_time_and_not_kept() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let mut stream = server.control_stream().await;
    let before = tunnel.memory();
    let began = Instant::now();
    // RFC 4253, section 4.2, allows a server lines before its own.
    let lines = b"welcome, and have some patience\r\n".repeat(1000);
    let flood = tokio::spawn(async move {
        let mut sent = 0;
        while stream.write_all(&lines).await.is_ok() {
            sent += lines.len();
        }
        sent
    });
    let why = tunnel.waiting().await;
    let (time, after) = (began.elapsed(), tunnel.memory());
    let sent = soon("the flood's end", flood).await.unwrap();
    println!("{sent} bytes in {time:?}, then \"{why}\": {before} KiB before, {after} KiB after");
    assert!(time < Duration::from_secs(20) && after < before + 2048, "{before} to {after} KiB");
    server.welcome().await;
    tunnel.connected().await;
    tunnel.stop().await;
}

/// What a server of these tests does instead of serving.
#[derive(Clone, Copy, PartialEq)]
enum Malice {
    RefuseLogin,
    EndWithWords,
    OpenSessions,
    OpenForwards,
}

struct Malicious {
    malice: Malice,
    handle: Option<Handle>,
    channels: Vec<Channel<Msg>>,
}

impl Handler for Malicious {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        Ok(if self.malice == Malice::RefuseLogin { Auth::reject() } else { Auth::Accept })
    }

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(if self.malice == Malice::RefuseLogin { Auth::reject() } else { Auth::Accept })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.push(channel);
        self.handle = Some(session.handle());
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        let Some(handle) = self.handle.take() else { return Ok(()) };
        let malice = self.malice;
        tokio::spawn(async move {
            match malice {
                Malice::RefuseLogin => {}
                Malice::EndWithWords => {
                    let words = "out of\u{1b}[2J order".to_owned();
                    let _ = handle.disconnect(Disconnect::ByApplication, words, String::new()).await;
                }
                Malice::OpenSessions => drop(handle.channel_open_session().await),
                Malice::OpenForwards => {
                    drop(handle.channel_open_forwarded_tcpip("127.0.0.1", 2222, "192.0.2.7", 7).await);
                }
            }
        });
        Ok(())
    }
}

async fn do_malice(stream: Tls, malice: Malice) {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&random()));
    let config = Config {
        keys: vec![key],
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        ..Config::default()
    };
    let handler = Malicious { malice, handle: None, channels: Vec::new() };
    if let Ok(session) = soon("the SSH handshake", run_stream(Arc::new(config), stream, handler)).await {
        let _ = tokio::time::timeout(SOON, session).await.expect("the appliance goes");
    }
}

/// What the owner is told of it. After that, the role is as good as before.
async fn told_of(malice: Malice) -> String {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let stream = server.control_stream().await;
    let (why, ()) = tokio::join!(tunnel.waiting(), do_malice(stream, malice));
    server.welcome().await;
    tunnel.connected().await;
    tunnel.stop().await;
    why
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_the_login_is_told_of_as_such() {
    let why = told_of(Malice::RefuseLogin).await;
    assert!(why.contains("does not take the appliance's login key"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_words_of_a_server_are_told_as_one_printable_line() {
    let why = told_of(Malice::EndWithWords).await;
    assert!(why.contains("with the words \"out of?[2J order\""), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_opens_channels_of_its_own_is_left_and_told_of_as_such() {
    for malice in [Malice::OpenSessions, Malice::OpenForwards] {
        let why = told_of(malice).await;
        assert!(why.contains("opens channels of its own"), "{why}");
    }
}
