//! Calls of an administrator, with roles beside the console that say what a test wants.

mod archive;
mod encryption;
mod notifications;
mod playing;

use crate::hostile::{BUS, Front};
use drawbridge_audit::event::{BootId, Clock, Code, Draft, Event, Name, Stamp, What, Who, WhoKind};
use drawbridge_bus::audit::{AuditChecked, AuditLines, AuditPage, AuditState};
use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_chain::Utc;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

type Say = Arc<dyn Fn(Request) -> Reply + Send + Sync>;

async fn serve(mut stream: UnixStream, say: Say) {
    let (mut decoder, mut buffer) = (Decoder::default(), vec![0; 65_536]);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        decoder.push(&buffer[..length]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
            let reply = encode(&Frame::Reply { id, reply: say(request) }).unwrap();
            if stream.write_all(&reply).await.is_err() {
                return;
            }
        }
    }
}

/// A role in this folder.
fn role(folder: &Path, role: Role, say: impl Fn(Request) -> Reply + Send + Sync + 'static) {
    std::fs::create_dir_all(folder.join(BUS)).unwrap();
    let listener = UnixListener::bind(folder.join(BUS).join(role.name())).unwrap();
    let say: Say = Arc::new(say);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&say)));
        }
    });
}

/// Status, head and body of an answer, of which chunks are put together; none where it is broken off.
fn parts(answer: Option<Vec<u8>>) -> (u16, String, Option<Vec<u8>>) {
    let answer = answer.unwrap();
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..at].to_vec()).unwrap();
    let mut rest = &answer[at + 4..];
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if !head.contains("transfer-encoding: chunked") {
        return (status, head, Some(rest.to_vec()));
    }
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return (status, head, None) };
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return (status, head, Some(body));
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 4 + length..];
    }
}

async fn get(front: &Front, path: &str) -> (u16, Value) {
    let (status, _, body) = parts(front.ask("GET", path, b"").await);
    (status, serde_json::from_slice(&body.unwrap()).unwrap_or_default())
}

fn line(sequence: u64, what: What, name: &str) -> String {
    let time = Utc::from_millis(BEGAN + sequence).unwrap();
    let stamp = Stamp { time, clock: Clock::Ntp, boot: BootId(7), monotonic_ms: sequence };
    let draft = Draft::new(what, Who::new(WhoKind::Owner, name));
    String::from_utf8(Event::new(sequence, stamp, draft).encode()).unwrap()
}

/// What was told the audit.
type Told = Arc<Mutex<Vec<Draft>>>;

fn note(told: &Told, line: &str) -> Reply {
    told.lock().unwrap().push(Draft::parse(line).unwrap());
    Reply::Done
}

async fn told(told: &Told, code: Code) -> Draft {
    for _ in 0..500 {
        let found = told.lock().unwrap().iter().find(|draft| draft.what.code() == code).cloned();
        if let Some(draft) = found {
            return draft;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{code} is not told: {:?}", told.lock().unwrap());
}

/// The beginning of the year 2026.
const BEGAN: u64 = 1_767_225_600_000;
/// So many events.
const EVENTS: u64 = 450;

fn audit(folder: &Path, breaks_off: bool) -> Told {
    let written = Told::default();
    let noted = Arc::clone(&written);
    role(folder, Role::Session, move |request| match request {
        Request::Tell(line) => note(&noted, &line),
        Request::AuditPage { filter, before, most } => {
            assert_eq!((before, most), (Some(9), 20));
            let filter: Value = serde_json::from_str(&filter).unwrap();
            assert_eq!((&filter["who"], &filter["severity"]), (&json!("ann"), &json!("notice")));
            let lines = vec![line(8, What::Logout {}, "<b>anna</b>"), "{}".to_owned()];
            Reply::AuditPage(Box::new(AuditPage { lines, before: Some(8) }))
        }
        Request::AuditAfter { after, most, wait } => {
            assert!(!wait && most == 200);
            if breaks_off && after > 0 {
                return Reply::Refused(drawbridge_bus::Refusal::NotNow);
            }
            let name = |number| if number % 2 == 0 { "anna" } else { "=1+1" };
            let lines = (after + 1..=EVENTS).take(200).map(|one| line(one, What::Logout {}, name(one)));
            Reply::AuditLines(Box::new(AuditLines { lines: lines.collect(), last: EVENTS }))
        }
        Request::AuditState => Reply::AuditState(Box::new(AuditState {
            range: Some((1, EVENTS)),
            bytes: 9,
            head: Some((2, [0xab; 32])),
            key: [3; 32],
            trouble: String::new(),
        })),
        Request::AuditFiles => Reply::AuditFiles(vec![
            ("00000001/chain.jsonl".to_owned(), 200_000),
            ("00000001/events.jsonl".to_owned(), 3),
        ]),
        Request::AuditPart { file, offset, most } => {
            let length = if file.ends_with("chain.jsonl") { 200_000 } else { 3 };
            let part = u64::from(most).min(length - offset);
            Reply::AuditPart(vec![b'x'; usize::try_from(part).unwrap()], length)
        }
        Request::AuditVerify => Reply::AuditChecked(Box::new(AuditChecked {
            segments: 2,
            proved: 440,
            faults: vec!["one".to_owned()],
        })),
        _ => Reply::Done,
    });
    written
}

#[tokio::test]
async fn the_audit_is_shown_verified_and_given_out_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let written = audit(folder.path(), false);
    let front = Front::new(folder.path()).unwrap();
    let (status, page) = get(&front, "audit?who=ann&severity=notice&before=9&most=20").await;
    assert_eq!((status, page["before"].as_u64()), (200, Some(8)), "{page}");
    let event = &page["events"][0];
    assert_eq!((event["code"].as_str(), event["ms"].as_u64()), (Some("LOGOUT"), Some(BEGAN + 8)));
    assert_eq!(event["event"]["who"]["name"], "<b>anna</b>");
    assert_eq!(page["events"].as_array().unwrap().len(), 1, "what cannot be read is left out");
    assert_eq!(get(&front, "audit?severity=worst").await.0, 422);
    let (_, state) = get(&front, "audit/state").await;
    assert_eq!((state["last"].as_u64(), state["segment"].as_u64()), (Some(EVENTS), Some(2)));
    assert!(state["key"].as_str().unwrap().starts_with("ssh-ed25519 AAAA"), "{state}");
    let (status, _, body) = parts(front.ask("POST", "audit/verify", b"{}").await);
    let checked: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert_eq!((status, checked["proved"].as_u64()), (200, Some(440)));

    let (_, head, body) = parts(front.ask("GET", "audit/export?who=anna", b"").await);
    assert!(head.contains("filename=\"drawbridge-audit.jsonl\""), "{head}");
    let lines = String::from_utf8(body.unwrap()).unwrap();
    assert_eq!(
        (lines.lines().count(), lines.lines().next().unwrap()),
        (225, line(2, What::Logout {}, "anna").as_str())
    );
    let draft = told(&written, Code::AuditExported).await;
    assert_eq!(draft.what, What::AuditExported { events: 225, format: Name::of("jsonl") });
    assert_eq!((draft.who.name.as_str(), draft.from), ("anna", Some([10, 0, 1, 9].into())));
    let (_, head, body) = parts(front.ask("GET", "audit/export?format=csv", b"").await);
    let csv = String::from_utf8(body.unwrap()).unwrap();
    assert!(head.contains("text/csv") && csv.lines().count() == 451 && !csv.contains(",\"=1+1"), "{head}");

    let (_, head, body) = parts(front.ask("GET", "audit/bundle", b"").await);
    assert!(head.contains("application/x-tar"), "{head}");
    let body = body.unwrap();
    let mut tar = tar::Archive::new(body.as_slice());
    let found: Vec<_> =
        tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(found, ["drawbridge-audit/00000001/chain.jsonl", "drawbridge-audit/00000001/events.jsonl"]);
}

#[tokio::test]
async fn an_export_that_cannot_be_read_on_is_broken_off_and_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    let written = audit(folder.path(), true);
    let front = Front::new(folder.path()).unwrap();
    let (status, _, body) = parts(front.ask("GET", "audit/export", b"").await);
    assert_eq!((status, body), (200, None));
    let draft = told(&written, Code::AuditExported).await;
    assert_eq!(draft.what, What::AuditExported { events: 200, format: Name::of("jsonl") });
}

#[tokio::test]
async fn what_an_administrator_does_is_told_and_power_before_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let written = audit(folder.path(), false);
    let at_init = Arc::clone(&written);
    role(folder.path(), Role::Init, move |request| {
        if matches!(request, Request::Power(_)) {
            let is_told = at_init.lock().unwrap().iter().any(|draft| draft.what.code() == Code::Power);
            assert!(is_told, "the audit comes first");
        }
        Reply::Done
    });
    let front = Front::new(folder.path()).unwrap();
    assert_eq!(parts(front.ask("POST", "power", br#"{"action":"restart"}"#).await).0, 202);
    assert_eq!(parts(front.ask("POST", "service/reload", br#"{"force":true}"#).await).0, 202);
    told(&written, Code::Role).await;
    let made = front.ask("POST", "certificate/self-signed", br#"{"common_name":"sa.example.com"}"#).await;
    assert_eq!(parts(made).0, 200);
    let draft = told(&written, Code::CertificateChanged).await;
    assert!(format!("{:?}", draft.what).contains("sa.example.com"), "{draft:?}");
    let tried = front.ask("POST", "session", br#"{"user":"eve","password":"swordfish"}"#).await;
    assert_eq!(parts(tried).0, 409);
    let draft = told(&written, Code::LoginRefused).await;
    assert_eq!((draft.who.name.as_str(), draft.from), ("eve", Some([10, 0, 1, 9].into())));
    assert_eq!(parts(front.ask("DELETE", "session", b"").await).0, 204);
    assert_eq!(told(&written, Code::Logout).await.who.name.as_str(), "anna");
    assert!(!format!("{:?}", written.lock().unwrap()).contains("swordfish"));
}
