//! Recordings on their way to a server that takes them, refuses them, loses them, or stands still.

use crate::common::recorder::{House, evidence_key};
use crate::common::server::{Control, Server, Tls};
use crate::common::{Tunnel, orders, soon};
use drawbridge_chain::{Hash, State};
use drawbridge_wire::upload::{Answer, Upload, receive, send};
use drawbridge_wire::{Features, Line, ToAppliance, ToServer, Token};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const FIRST: &str = "20260101T000000Z-00000001";
const SECOND: &str = "20260102T000000Z-00000002";

/// A server that takes recordings, with the appliance connected.
async fn connected(server: &mut Server) -> Control {
    let mut control = server.control().await.expect("the appliance logs in");
    assert!(matches!(control.next().await, Some(ToServer::Hello { .. })));
    control.welcome(Features::RECORDINGS).await;
    control
}

/// Gives the ticket that is asked for, and takes the connection that it is for.
async fn admitted(server: &mut Server, control: &mut Control) -> Peer {
    let said = control.next().await;
    let Some(ToServer::Upload { request, key }) = said else { panic!("{said:?}") };
    assert_eq!(key.as_str(), evidence_key().to_ssh());
    let token = Token::random().unwrap();
    control.say(&ToAppliance::Upload { request, token: token.clone() }).await;
    let (shown, stream) = server.recording().await;
    assert!(shown == token, "another token was shown");
    Peer { stream, chains: Vec::new() }
}

/// The server's end of a connection for recordings: it verifies what comes as far as a chain goes.
struct Peer {
    stream: Tls,
    /// What it has of each recording: its name, how far its chain is, and so many bytes of it.
    chains: Vec<(String, Option<State>, u64)>,
}

impl Peer {
    async fn next(&mut self) -> Upload {
        soon("a frame", receive(&mut self.stream)).await.unwrap()
    }

    async fn begins(&mut self) -> String {
        match self.next().await {
            Upload::Begin(name) => name.to_string(),
            other => panic!("{other:?}"),
        }
    }

    async fn say(&mut self, answer: &Answer) {
        send(&mut self.stream, answer).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn refuse(&mut self) {
        let (why, remedy) = (Line::of("it is not liked"), Line::of("Ask somebody."));
        self.say(&Answer::Refused { why, remedy }).await;
    }

    async fn has(&mut self, name: &str) {
        let known = self.chains.iter().find(|(known, ..)| known == name);
        let (state, chain) = known.map_or((None, 0), |(_, state, chain)| (state.as_ref(), *chain));
        let answer = Answer::Has {
            chain,
            head: state.map(|state| state.head().0),
            whole: state.is_some_and(State::is_whole),
        };
        self.say(&answer).await;
    }

    /// Takes frames up to the next `Keep`, and says what it has then; how many lines came.
    async fn keeps(&mut self, name: &str) -> usize {
        let mut count = 0;
        loop {
            match self.next().await {
                Upload::Line(line) => {
                    count += 1;
                    let known = self.chains.iter().position(|(known, ..)| known == name);
                    let at = known.unwrap_or_else(|| {
                        self.chains.push((name.to_owned(), None, 0));
                        self.chains.len() - 1
                    });
                    let (_, state, chain) = &mut self.chains[at];
                    match state {
                        None => *state = Some(State::begin(line.line()).unwrap()),
                        Some(state) => {
                            let followed = state.follow(line.line()).unwrap();
                            if let drawbridge_chain::Line::Block(block) = followed {
                                assert_eq!(Hash::of(line.data()), block.sha256);
                            }
                        }
                    }
                    *chain += line.line().len() as u64 + 1;
                }
                Upload::Keep => break,
                Upload::Begin(other) => panic!("it leaves lines behind, for {other}"),
            }
        }
        self.has(name).await;
        count
    }

    fn chain(&self, name: &str) -> u64 {
        self.chains.iter().find(|(known, ..)| known == name).map_or(0, |(_, _, chain)| *chain)
    }

    fn is_whole(&self, name: &str) -> bool {
        self.chains
            .iter()
            .any(|(known, state, _)| known == name && state.as_ref().is_some_and(State::is_whole))
    }

    /// Takes what comes of one recording until it is whole.
    async fn takes_the_rest(&mut self, name: &str) {
        while !self.is_whole(name) {
            self.keeps(name).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_goes_up_while_it_runs_and_the_recorder_is_told_when_the_server_has_it_whole() {
    let mut server = Server::start().await;
    let (house, mut confirmed) = House::new();
    let house = Arc::new(house);
    let tunnel = Tunnel::start_beside(orders(&server), Arc::clone(&house)).await;
    let mut control = connected(&mut server).await;
    // Nobody is in, and nothing is there: it is asked for nothing until an engineer comes.
    control.ask(1, &Token::random().unwrap()).await;
    let (_, _engineer) = server.session().await;
    house.begin(FIRST);
    let mut peer = admitted(&mut server, &mut control).await;
    assert_eq!(peer.begins().await, FIRST);
    peer.has(FIRST).await;
    peer.keeps(FIRST).await;
    assert_eq!(peer.chain(FIRST), house.chain(FIRST));
    // It goes on without another word of which recording it is.
    house.goes_on(FIRST, 300_000);
    while peer.chain(FIRST) < house.chain(FIRST) {
        assert!(peer.keeps(FIRST).await > 0);
    }
    house.goes_on(FIRST, 10);
    peer.keeps(FIRST).await;
    house.ends(FIRST);
    peer.takes_the_rest(FIRST).await;
    let (name, head) = soon("a confirmation", confirmed.recv()).await.unwrap();
    let chain = std::fs::read(house.folder_of(FIRST).join(drawbridge_chain::FILE)).unwrap();
    let last = chain.split(|byte| *byte == b'\n').rev().nth(1).unwrap();
    assert_eq!((name.as_str(), head), (FIRST, Hash::of(last).0));
    assert!(tunnel.stop().await, "the role has failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_goes_up_at_the_next_connection_and_after_a_loss_only_what_was_not_confirmed() {
    let mut server = Server::start().await;
    let (house, mut confirmed) = House::new();
    let house = Arc::new(house);
    house.begin(FIRST);
    // More than one batch takes.
    for _ in 0..4 {
        house.goes_on(FIRST, 500_000);
    }
    house.ends(FIRST);
    let _tunnel = Tunnel::start_beside(orders(&server), Arc::clone(&house)).await;
    let mut control = connected(&mut server).await;
    let mut peer = admitted(&mut server, &mut control).await;
    assert_eq!(peer.begins().await, FIRST);
    peer.has(FIRST).await;
    peer.keeps(FIRST).await;
    let has = peer.chain(FIRST);
    assert!(has > 0 && has < house.chain(FIRST), "{has}");
    // The line is lost in the middle of the next batch.
    assert!(matches!(peer.next().await, Upload::Line(_)));
    let Peer { stream, chains } = peer;
    drop(stream);
    let mut peer = admitted(&mut server, &mut control).await;
    peer.chains = chains;
    assert_eq!(peer.begins().await, FIRST);
    peer.has(FIRST).await;
    // Its verifier takes no line twice.
    peer.takes_the_rest(FIRST).await;
    assert_eq!(soon("a confirmation", confirmed.recv()).await.unwrap().0, FIRST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_refused_or_cannot_be_read_holds_up_no_other() {
    let mut server = Server::start().await;
    let (house, mut confirmed) = House::new();
    let house = Arc::new(house);
    for name in [FIRST, SECOND, "20260103T000000Z-00000003"] {
        house.begin(name);
        house.goes_on(name, 1000);
        house.ends(name);
    }
    // The second one's chain is no chain.
    std::fs::write(house.folder_of(SECOND).join(drawbridge_chain::FILE), [b'x'; 3000]).unwrap();
    let _tunnel = Tunnel::start_beside(orders(&server), Arc::clone(&house)).await;
    let mut control = connected(&mut server).await;
    // No ticket at first: it is asked for again.
    let said = control.next().await;
    let Some(ToServer::Upload { request, .. }) = said else { panic!("{said:?}") };
    let (why, remedy) = (Line::of("busy"), Line::of("Wait."));
    control.say(&ToAppliance::NoUpload { request, why, remedy }).await;
    let mut peer = admitted(&mut server, &mut control).await;
    assert_eq!(peer.begins().await, FIRST);
    peer.refuse().await;
    assert_eq!(peer.begins().await, SECOND);
    peer.has(SECOND).await;
    let third = peer.begins().await;
    peer.has(&third).await;
    peer.takes_the_rest(&third).await;
    assert_eq!(soon("a confirmation", confirmed.recv()).await.unwrap().0, third);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_none_of_what_it_has_asked_for_holds_up_no_engineer() {
    let mut server = Server::start().await;
    let (house, _confirmed) = House::new();
    let house = Arc::new(house);
    house.begin(FIRST);
    // More than all buffers on the way hold.
    for _ in 0..16 {
        house.goes_on(FIRST, 1_000_000);
    }
    let mut tunnel = Tunnel::start_beside(orders(&server), Arc::clone(&house)).await;
    let mut control = connected(&mut server).await;
    assert!(tunnel.connected_to().await.1, "the owner is not told that recordings go up");
    let mut peer = admitted(&mut server, &mut control).await;
    assert_eq!(peer.begins().await, FIRST);
    peer.has(FIRST).await;
    // From here on it reads nothing.
    for request in 1..=3 {
        control.ask(request, &Token::random().unwrap()).await;
        let (_, mut engineer) = server.session().await;
        let (_, mut daemon) = tunnel.comes_in().await;
        engineer.write_all(b"there").await.unwrap();
        engineer.flush().await.unwrap();
        let mut heard = [0; 5];
        soon("his bytes", daemon.read_exact(&mut heard)).await.unwrap();
        daemon.write_all(b"again").await.unwrap();
        soon("the answer", engineer.read_exact(&mut heard)).await.unwrap();
        assert_eq!(&heard, b"again");
    }
    assert!(tunnel.stop().await, "the role has failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_say_that_it_takes_recordings_is_asked_nothing_of_them() {
    let mut server = Server::start().await;
    let (house, _confirmed) = House::new();
    let house = Arc::new(house);
    house.begin(FIRST);
    house.ends(FIRST);
    let mut tunnel = Tunnel::start_beside(orders(&server), Arc::clone(&house)).await;
    let mut control = server.welcome().await;
    assert!(!tunnel.connected_to().await.1, "the owner is told that recordings go up");
    control.ask(1, &Token::random().unwrap()).await;
    let (_, _engineer) = server.session().await;
    let _caller = tunnel.comes_in().await;
    assert!(tunnel.stop().await, "the role has failed");
    // Whatever it had to say, it has said by now.
    assert_eq!(control.next().await, Some(ToServer::Bye));
}
