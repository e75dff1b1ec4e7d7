//! Recordings that the owner asks the server for: of one that gives them, and of those that give something else.

use crate::common::server::{Control, Server, Tls};
use crate::common::{Tunnel, has_callers, orders, soon};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::fetch::Unfetched;
use drawbridge_bus::record::RecordingId;
use drawbridge_bus::{Refusal, Reply, Request, Role};
use drawbridge_wire::archive::{
    Answer, Ask, BUNDLE_BYTES, Kept, LISTED_MOST, PART_BYTES, Part, encode, receive,
};
use drawbridge_wire::upload::RecordingName;
use drawbridge_wire::{Features, Line, ToAppliance, ToServer, Token};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

const NAME: &str = "20260101T000000Z-00000001";

fn id() -> RecordingId {
    RecordingId::parse(NAME).unwrap()
}

fn kept() -> Answer {
    Answer::Kept(Box::new(Kept {
        name: RecordingName::parse(NAME).unwrap(),
        began: 1_767_225_600_000,
        milliseconds: 61_500,
        bytes: 70_000,
        engineer: Line::of("anna"),
        session: Line::of("case 7"),
        ended: Some(Line::of("he left")),
        whole: true,
        verified: true,
    }))
}

fn part(length: usize) -> Answer {
    Answer::Part(Part::new(vec![7; length]).unwrap())
}

/// A server that can do this, and the tunnel that is connected to it.
async fn connected(can: Features, server: &mut Server, idle: Duration) -> (Tunnel, Control) {
    let mut tunnel = Tunnel::start_at(orders(server), |pace| pace.fetch_idle = idle).await;
    let mut control = server.control().await.expect("the appliance logs in");
    assert!(matches!(control.next().await, Some(ToServer::Hello { .. })));
    control.welcome(can).await;
    tunnel.connected().await;
    (tunnel, control)
}

/// Gives the ticket that is asked for, and takes the question.
async fn asked(server: &mut Server, control: &mut Control) -> (Ask, Tls) {
    let said = control.next().await;
    let Some(ToServer::Archive { request }) = said else { panic!("{said:?}") };
    let token = Token::random().unwrap();
    control.say(&ToAppliance::Archive { request, token: token.clone() }).await;
    let (shown, mut stream) = server.archive().await;
    assert!(shown == token, "another token was shown");
    (soon("a question", receive(&mut stream)).await.unwrap(), stream)
}

async fn say(stream: &mut Tls, answers: &[Answer]) {
    for answer in answers {
        // The appliance may be gone before it has taken all of it.
        let _ = stream.write_all(&encode(answer).unwrap()).await;
    }
    let _ = stream.flush().await;
}

async fn call(console: &mut Client, request: Request) -> Reply {
    soon("an answer", console.call_within(request, Duration::from_mins(1))).await.unwrap()
}

/// The sentence of a failure.
fn failure(reply: Reply) -> String {
    match reply {
        Reply::Unfetched(Unfetched::Failed { why, remedy }) if !remedy.is_empty() => why,
        other => panic!("{other:?}"),
    }
}

const ABLE: Features = Features::ARCHIVE;
const LONG: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_gets_lists_and_bundles_part_by_part_and_nobody_but_the_console_may_ask() {
    if !has_callers() {
        return;
    }
    let mut server = Server::start().await;
    let (tunnel, mut control) = connected(ABLE, &mut server, LONG).await;
    for role in [Role::Network, Role::Sshd, Role::Shell, Role::Session] {
        let refused = tunnel.call_as(role).call(Request::KeptRecordings { before: None }).await;
        assert!(matches!(refused, Err(CallError::Refused(_, Refusal::Forbidden))), "{role}: {refused:?}");
    }
    let mut console = tunnel.call_as(Role::Console);
    let serve = async {
        let (ask, mut stream) = asked(&mut server, &mut control).await;
        assert_eq!(ask, Ask::List(RecordingName::parse("b")));
        say(&mut stream, &[kept(), Answer::Listed { more: true }]).await;
    };
    let before = RecordingId::parse("b");
    let (reply, ()) = tokio::join!(call(&mut console, Request::KeptRecordings { before }), serve);
    let Reply::KeptRecordings { recordings, more: true } = reply else { panic!("{reply:?}") };
    assert_eq!((recordings[0].id.as_str(), recordings[0].began), (NAME, 1_767_225_600));
    assert_eq!((recordings[0].seconds, recordings[0].end.as_str()), (61, "he left"));

    let serve = async {
        let (ask, mut stream) = asked(&mut server, &mut control).await;
        assert_eq!(ask, Ask::Fetch(RecordingName::parse(NAME).unwrap()));
        say(&mut stream, &[Answer::Bundle(70_000), part(PART_BYTES), part(70_000 - PART_BYTES)]).await;
        stream
    };
    let (reply, stream) = tokio::join!(call(&mut console, Request::FetchRecording { id: id() }), serve);
    let Reply::Fetching { fetch, length: 70_000 } = reply else { panic!("{reply:?}") };
    // Neither another number nor another place in it.
    for (fetch, from) in [(fetch, 1), (fetch.wrapping_add(1), 0)] {
        let refused = console.call(Request::FetchedPart { fetch, from }).await;
        assert!(matches!(refused, Err(CallError::Refused(_, Refusal::NotNow))), "{refused:?}");
    }
    let mut from = 0;
    for expected in [PART_BYTES, 70_000 - PART_BYTES] {
        let reply = call(&mut console, Request::FetchedPart { fetch, from }).await;
        let Reply::RecordingPart(bytes, 70_000) = reply else { panic!("{reply:?}") };
        assert_eq!(bytes, vec![7; expected]);
        from += bytes.len() as u64;
    }
    let over = console.call(Request::FetchedPart { fetch, from }).await;
    assert!(matches!(over, Err(CallError::Refused(_, Refusal::NotNow))), "{over:?}");
    drop(stream);
    assert!(tunnel.stop().await, "the role has failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_sends_garbage_too_much_or_half_comes_to_an_error_with_a_sentence() {
    if !has_callers() {
        return;
    }
    let mut server = Server::start().await;
    let (tunnel, mut control) = connected(ABLE, &mut server, LONG).await;
    let mut console = tunnel.call_as(Role::Console);
    let (why, remedy) = (Line::of("the disk is slow"), Line::of("Wait."));
    let refused = Answer::Refused { why, remedy };
    let wrong: Vec<(Vec<Answer>, &[u8], &str)> = vec![
        (vec![], b"\xff\xff\xff\xff", "frame of 4294967295 bytes"),
        (vec![], b"\0\0\0\x01\x63", "cannot be read"),
        (vec![], b"\0\0\0\x09\x01", "broke off"),
        (vec![part(9)], b"", "something else than was asked"),
        (vec![Answer::Bundle(0)], b"", "of a length that none has"),
        (vec![Answer::Bundle(BUNDLE_BYTES + 1)], b"", "of a length that none has"),
        (vec![refused.clone()], b"", "the disk is slow"),
    ];
    for (answers, rest, expected) in wrong {
        for request in [Request::FetchRecording { id: id() }, Request::KeptRecordings { before: None }] {
            let serve = async {
                let (_, mut stream) = asked(&mut server, &mut control).await;
                say(&mut stream, &answers).await;
                let _ = stream.write_all(rest).await;
                let _ = stream.shutdown().await;
            };
            let is_list = matches!(request, Request::KeptRecordings { .. });
            let (reply, ()) = tokio::join!(call(&mut console, request), serve);
            let why = failure(reply);
            let expected = if is_list && answers.iter().any(|one| matches!(one, Answer::Bundle(_))) {
                "something else than was asked"
            } else {
                expected
            };
            assert!(why.contains(expected), "{why}");
        }
    }
    // A list that has no end.
    let serve = async {
        let (_, mut stream) = asked(&mut server, &mut control).await;
        say(&mut stream, &vec![kept(); LISTED_MOST + 1]).await;
        stream
    };
    let (reply, _) = tokio::join!(call(&mut console, Request::KeptRecordings { before: None }), serve);
    assert!(failure(reply).contains("lists more recordings at once than it may"));
    // Wrong only after it has begun. Of each its place is free again.
    let later: Vec<(Vec<Answer>, &[u8], &str)> = vec![
        (vec![part(11)], b"", "more of the recording than it has said"),
        (vec![part(9), part(2)], b"", "more of the recording than it has said"),
        (vec![part(4)], b"", "broke off"),
        (vec![part(4), Answer::Listed { more: false }], b"", "something else than the recording"),
        (vec![part(4), refused], b"", "the disk is slow"),
        (vec![part(4)], b"\xff\xff\xff\xff", "frame of 4294967295 bytes"),
    ];
    for (answers, rest, expected) in later {
        let serve = async {
            let (_, mut stream) = asked(&mut server, &mut control).await;
            say(&mut stream, &[Answer::Bundle(10)]).await;
            say(&mut stream, &answers).await;
            let _ = stream.write_all(rest).await;
            let _ = stream.shutdown().await;
        };
        let (reply, ()) = tokio::join!(call(&mut console, Request::FetchRecording { id: id() }), serve);
        let Reply::Fetching { fetch, length: 10 } = reply else { panic!("{reply:?}") };
        let mut from = 0;
        let why = loop {
            match call(&mut console, Request::FetchedPart { fetch, from }).await {
                Reply::RecordingPart(bytes, _) => from += bytes.len() as u64,
                other => break failure(other),
            }
        };
        assert!(why.contains(expected), "{why}");
    }
    let serve = async {
        let (_, mut stream) = asked(&mut server, &mut control).await;
        say(&mut stream, &[Answer::Unknown]).await;
    };
    let (reply, ()) = tokio::join!(call(&mut console, Request::FetchRecording { id: id() }), serve);
    assert_eq!(reply, Reply::Unfetched(Unfetched::Unknown));
    assert!(tunnel.stop().await, "the role has failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_nobody_pulls_a_part_is_held_and_after_a_while_nothing_and_two_are_fetched_at_once() {
    if !has_callers() {
        return;
    }
    let mut server = Server::start().await;
    let (tunnel, mut control) = connected(ABLE, &mut server, Duration::from_secs(4)).await;
    let mut console = tunnel.call_as(Role::Console);
    let mut streams = Vec::new();
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let serve = async {
            let (_, mut stream) = asked(&mut server, &mut control).await;
            say(&mut stream, &[Answer::Bundle(BUNDLE_BYTES)]).await;
            stream
        };
        let (reply, stream) = tokio::join!(call(&mut console, Request::FetchRecording { id: id() }), serve);
        let Reply::Fetching { fetch, .. } = reply else { panic!("{reply:?}") };
        streams.push(stream);
        numbers.push(fetch);
    }
    let why = failure(call(&mut console, Request::FetchRecording { id: id() }).await);
    assert!(why.contains("2 recordings are being fetched already"), "{why}");
    // One is not wanted any more: its connection ends, and its place is free.
    assert_eq!(call(&mut console, Request::EndFetch { fetch: numbers[0] }).await, Reply::Done);
    let mut rest = Vec::new();
    let _ = soon("its end", tokio::io::AsyncReadExt::read_to_end(&mut streams[0], &mut rest)).await;
    // The other one is pushed, and nobody pulls: no more is taken than the buffers of the kernels hold, and then it is let go.
    let bytes = encode(&part(PART_BYTES)).unwrap();
    let mut pushed = 0;
    while let Ok(Ok(())) = timeout(Duration::from_secs(1), streams[1].write_all(&bytes)).await {
        pushed += bytes.len();
        assert!(pushed < 64 * 1024 * 1024, "all of it is taken");
    }
    soon("the end of what nobody pulls", async {
        while !matches!(timeout(Duration::from_secs(1), streams[1].write_all(&bytes)).await, Ok(Err(_))) {}
    })
    .await;
    let refused = console.call(Request::FetchedPart { fetch: numbers[1], from: 0 }).await;
    assert!(matches!(refused, Err(CallError::Refused(_, Refusal::NotNow))), "{refused:?}");
    assert!(tunnel.stop().await, "the role has failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_gives_nothing_back_or_no_ticket_and_a_lost_connection_are_told_apart() {
    if !has_callers() {
        return;
    }
    let mut server = Server::start().await;
    let (tunnel, control) = connected(Features::RECORDINGS, &mut server, LONG).await;
    let mut console = tunnel.call_as(Role::Console);
    let list = || Request::KeptRecordings { before: None };
    assert_eq!(call(&mut console, list()).await, Reply::Unfetched(Unfetched::Unable));
    control.cut();
    // Another server, or the same one later, can.
    let mut control = server.control().await.expect("the appliance logs in");
    assert!(failure(call(&mut console, list()).await).contains("no connection to the server"));
    assert!(matches!(control.next().await, Some(ToServer::Hello { .. })));
    control.welcome(ABLE).await;
    let serve = async {
        loop {
            let said = control.next().await;
            let Some(ToServer::Archive { request }) = said else { panic!("{said:?}") };
            let (why, remedy) = (Line::of("it is busy"), Line::of("Wait."));
            control.say(&ToAppliance::NoArchive { request, why, remedy }).await;
        }
    };
    let refused = async {
        // It may not have heard yet that it is welcome.
        while failure(call(&mut console, list()).await) != "it is busy" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = soon("a refusal", refused) => {}
        () = serve => {}
    }
    assert!(tunnel.stop().await, "the role has failed");
}
