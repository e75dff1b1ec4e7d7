//! Recordings that the server keeps, asked for by the systems that they are of: what is given, to whom, and what is not.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_verify::Found;
use drawbridge_wire::archive::{Answer, Ask, LISTED_MOST, receive, send};
use drawbridge_wire::upload::RecordingName;
use drawbridge_wire::{ARCHIVE, RECORDING, RequestId, ToAppliance, ToServer, Token, ticket};
use peers::appliance::{Appliance, Control, tls};
use peers::recordings::{Device, NAME, Uploader, enrolled, is_whole, kept, record, verified};
use peers::{Server, soon};
use std::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

fn name(text: &str) -> RecordingName {
    RecordingName::parse(text).unwrap()
}

/// What the server says to who asks for a ticket: the ticket, or why not.
async fn ask(control: &mut Control) -> Result<Token, String> {
    control.send(&ToServer::Archive { request: RequestId(9) }).await;
    match control.next().await {
        Some(ToAppliance::Archive { request: RequestId(9), token }) => Ok(token),
        Some(ToAppliance::NoArchive { request: RequestId(9), why, .. }) => Err(why.as_str().to_owned()),
        other => panic!("{other:?}"),
    }
}

/// A connection on which this is asked.
async fn asked(server: &Server, control: &mut Control, question: &Ask) -> TlsStream<TcpStream> {
    let token = ask(control).await.unwrap();
    let mut stream = tls(server, ARCHIVE).await;
    soon("a welcome", ticket::present(&mut stream, &token)).await.unwrap();
    send(&mut stream, question).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

async fn answer(stream: &mut TlsStream<TcpStream>) -> Answer {
    soon("an answer", receive(stream)).await.unwrap()
}

/// Names, whole and verified, of what is listed; and whether there are more.
async fn list(
    server: &Server,
    control: &mut Control,
    before: Option<&str>,
) -> (Vec<(String, bool, bool)>, bool) {
    let mut stream = asked(server, control, &Ask::List(before.map(name))).await;
    let mut found = Vec::new();
    loop {
        match answer(&mut stream).await {
            Answer::Kept(kept) => found.push((kept.name.to_string(), kept.whole, kept.verified)),
            Answer::Listed { more } => return (found, more),
            other => panic!("{other:?}"),
        }
    }
}

/// The bundle of that name, or the answer that is none.
async fn fetch(server: &Server, control: &mut Control, called: &str) -> Result<Vec<u8>, Answer> {
    let mut stream = asked(server, control, &Ask::Fetch(name(called))).await;
    let length = match answer(&mut stream).await {
        Answer::Bundle(length) => usize::try_from(length).unwrap(),
        other => return Err(other),
    };
    let mut bundle = Vec::new();
    while bundle.len() < length {
        match answer(&mut stream).await {
            Answer::Part(part) => bundle.extend(part.into_bytes()),
            other => return Err(other),
        }
    }
    let mut rest = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty() && bundle.len() == length, "more comes than was said");
    Ok(bundle)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_gets_back_what_it_handed_over_as_the_operator_exports_it_and_that_is_noted() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let device = Device::new(9);
    assert_eq!(list(&server, &mut control, None).await, (vec![], false));
    let folder = record(server.home.path(), NAME, "SN-1", &device, 60);
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    assert!(is_whole(&uploader.hand_over(NAME, &folder).await));
    assert_eq!(list(&server, &mut control, None).await, (vec![(NAME.to_owned(), true, true)], false));
    let mut stream = asked(&server, &mut control, &Ask::List(None)).await;
    let Answer::Kept(line) = answer(&mut stream).await else { panic!() };
    assert_eq!((line.engineer.as_str(), line.session.as_str()), ("anna", "case 4711"));
    assert_eq!((line.milliseconds, line.ended.unwrap().as_str()), (61_000, "he left"));

    let bundle = fetch(&server, &mut control, NAME).await.unwrap();
    assert!(bundle.len() > 2 * drawbridge_wire::archive::PART_BYTES, "it comes in several parts");
    let given = server.path("given.tar");
    fs::write(&given, &bundle).unwrap();
    assert_eq!(verified(&given, &device).0, Found::Whole);
    let exported = server.path("exported.tar");
    server.operate(&["sessions", "export", NAME, exported.to_str().unwrap()]).await;
    assert!(fs::read(&exported).unwrap() == bundle, "it is not what the operator exports");
    server.audit_has(&[("who", "SN-1"), ("what", "fetch recording"), ("result", NAME)]).await;

    // A key that the operator has forgotten since counts for nothing more.
    server.operate(&["systems", "evidence", "box-1", "forget", &device.key().fingerprint()]).await;
    assert_eq!(list(&server, &mut control, None).await, (vec![(NAME.to_owned(), true, false)], false));
    server.operate(&["sessions", "remove", NAME]).await;
    assert_eq!(fetch(&server, &mut control, NAME).await.unwrap_err(), Answer::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_another_systems_recordings_is_listed_or_given() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let device = Device::new(9);
    let folder = record(server.home.path(), NAME, "SN-1", &device, 2);
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    assert!(is_whole(&uploader.hand_over(NAME, &folder).await));
    let second = Appliance::new(&server, "SN-2", "box-2").await;
    let mut other = second.enrol(&server).await;
    assert_eq!(list(&server, &mut other, None).await, (vec![], false));
    assert_eq!(fetch(&server, &mut other, NAME).await.unwrap_err(), Answer::Unknown);
    assert!(fetch(&server, &mut control, NAME).await.is_ok());
    let fetched: Vec<_> =
        server.audit().await.into_iter().filter(|line| line["what"] == "fetch recording").collect();
    assert!(fetched.len() == 1 && fetched[0]["who"] == "SN-1", "{fetched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pages_and_one_that_still_comes_in_is_given_as_far_as_it_is_proved() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let device = Device::new(9);
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    let all: Vec<String> = (0..LISTED_MOST + 3).map(|number| format!("recording-{number:03}")).collect();
    let (last, others) = all.split_last().unwrap();
    for one in others {
        let folder = record(server.home.path(), one, "SN-1", &device, 1);
        assert!(is_whole(&uploader.hand_over(one, &folder).await));
    }
    let folder = record(server.home.path(), last, "SN-1", &device, 9);
    let lines = peers::recordings::lines(&folder, 0);
    uploader.begin(last).await;
    uploader.send(&lines[..lines.len() - 5]).await;
    let (first, more) = list(&server, &mut control, None).await;
    assert!(more && first.len() == LISTED_MOST && first[0] == (last.clone(), false, true), "{first:?}");
    let before = first.last().unwrap().0.clone();
    let (rest, more) = list(&server, &mut control, Some(&before)).await;
    assert!(!more && rest.iter().map(|one| &one.0).eq(all[..3].iter().rev()), "{rest:?}");
    let path = server.path("part.tar");
    fs::write(&path, fetch(&server, &mut control, last).await.unwrap()).unwrap();
    assert_eq!(verified(&path, &device).0, Found::Unfinished);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_to_fetch_is_good_once_and_for_nothing_else_and_goes_with_the_system() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let token = ask(&mut control).await.unwrap();
    let mut stream = tls(&server, RECORDING).await;
    assert!(matches!(ticket::present(&mut stream, &token).await, Err(ticket::TicketError::Unknown)));
    let mut stream = tls(&server, ARCHIVE).await;
    ticket::present(&mut stream, &token).await.unwrap();
    let mut again = tls(&server, ARCHIVE).await;
    assert!(matches!(ticket::present(&mut again, &token).await, Err(ticket::TicketError::Unknown)));
    server.audit_has(&[("what", "ticket"), ("result", "nobody asks for recordings")]).await;
    // As many as are given at once; no more.
    for _ in 0..3 {
        ask(&mut control).await.unwrap();
    }
    let why = ask(&mut control).await.unwrap_err();
    assert!(why.contains("as the server gives at once"), "{why}");
    server.operate(&["systems", "remove", "SN-1"]).await;
    let mut rest = Vec::new();
    let _ = soon("its end", stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_on_the_servers_disk_is_refused_with_a_sentence_and_never_given_for_whole() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let device = Device::new(9);
    let folder = record(server.home.path(), NAME, "SN-1", &device, 60);
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    assert!(is_whole(&uploader.hand_over(NAME, &folder).await));
    // Half of what was shown is gone: it is noticed where it ends.
    let path = kept(&server).join("terminal-1.ttyrec");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let refused = fetch(&server, &mut control, NAME).await.unwrap_err();
    assert!(
        matches!(&refused, Answer::Refused { why, remedy } if why.as_str().contains("cannot be read") && remedy.as_str().contains("rss sessions verify")),
        "{refused:?}"
    );
    fs::remove_file(kept(&server).join("chain.jsonl")).unwrap();
    assert!(matches!(fetch(&server, &mut control, NAME).await, Err(Answer::Refused { .. })));
}
