//! Recordings at the support server, with a tunnel that says what it has of them.

use super::{Told, get, note, parts, role, told};
use crate::hostile::Front;
use drawbridge_audit::event::{Code, Name, What};
use drawbridge_bus::bridge::{BridgeState, BridgeStatus, Link};
use drawbridge_bus::fetch::{KeptRecording, Unfetched};
use drawbridge_bus::record::RecordingId;
use drawbridge_bus::{Refusal, Reply, Request, Role};
use std::path::Path;
use std::sync::{Arc, Mutex};

const NAME: &str = "20261127T014500Z-3fa9c01d";
const LENGTH: u64 = 150_000;

fn status(state: BridgeState, link: Link) -> BridgeStatus {
    BridgeStatus {
        state,
        grant: None,
        approved_by: None,
        seconds_left: None,
        burned: false,
        link,
        visitors: Vec::new(),
        last_end: String::new(),
    }
}

fn connected() -> BridgeStatus {
    status(BridgeState::Open, Link::Connected { system: "sa".to_owned(), takes_recordings: true })
}

/// What the tunnel was asked.
type Asked = Arc<Mutex<Vec<Request>>>;

/// A session role whose bridge stands so, and a tunnel that answers so; what they were told and asked.
fn stage(
    folder: &Path,
    bridge: BridgeStatus,
    say: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Told, Asked) {
    let (written, asked) = (Told::default(), Asked::default());
    let (noted, heard) = (Arc::clone(&written), Arc::clone(&asked));
    role(folder, Role::Session, move |request| match request {
        Request::Tell(line) => note(&noted, &line),
        Request::Bridge => Reply::Bridge(Box::new(bridge.clone())),
        _ => Reply::Done,
    });
    role(folder, Role::Tunnel, move |request| {
        let reply = say(&request);
        heard.lock().unwrap().push(request);
        reply
    });
    (written, asked)
}

fn kept() -> KeptRecording {
    KeptRecording {
        id: RecordingId::parse(NAME).unwrap(),
        began: 1_795_743_900,
        seconds: 61,
        bytes: 148_000,
        engineer: "<b>anna</b>".to_owned(),
        session: "case 7".to_owned(),
        end: "he left".to_owned(),
        whole: true,
        verified: true,
    }
}

/// A tunnel to a server that has one recording.
fn gives(request: &Request) -> Reply {
    match request {
        Request::KeptRecordings { .. } => Reply::KeptRecordings { recordings: vec![kept()], more: true },
        Request::FetchRecording { .. } => Reply::Fetching { fetch: 7, length: LENGTH },
        Request::FetchedPart { fetch: 7, from } => {
            let part = usize::try_from((LENGTH - from).min(65_536)).unwrap();
            Reply::RecordingPart(vec![u8::try_from(from / 65_536).unwrap(); part], LENGTH)
        }
        _ => Reply::Refused(Refusal::NotNow),
    }
}

#[tokio::test]
async fn what_the_server_keeps_is_listed_and_downloaded_part_by_part_and_the_audit_says_from_where() {
    let folder = tempfile::tempdir().unwrap();
    let (written, asked) = stage(folder.path(), connected(), gives);
    let front = Front::new(folder.path()).unwrap();
    let (code, page) = get(&front, &format!("recordings/server?before={NAME}")).await;
    let one = &page["recordings"][0];
    assert_eq!((code, page["more"].as_bool(), one["id"].as_str()), (200, Some(true), Some(NAME)));
    assert_eq!((one["engineer"].as_str(), one["grant"].as_str()), (Some("<b>anna</b>"), Some("case 7")));
    assert_eq!(get(&front, "recordings/server?after=1").await.0, 422);
    assert!(written.lock().unwrap().is_empty());

    let (code, head, body) = parts(front.ask("GET", &format!("recordings/server/{NAME}.tar"), b"").await);
    assert_eq!(code, 200);
    assert!(head.contains(&format!("content-length: {LENGTH}")) && head.contains("application/x-tar"));
    assert!(head.contains(&format!("filename=\"drawbridge-{NAME}.tar\"")), "{head}");
    let body = body.unwrap();
    assert_eq!(body.len() as u64, LENGTH);
    assert_eq!((body[0], body[65_536], body[131_072]), (0, 1, 2));
    let draft = told(&written, Code::RecordingFetched).await;
    assert_eq!(draft.what, What::RecordingFetched { recording: Name::of(NAME), from_server: true });
    assert_eq!((draft.who.name.as_str(), draft.from), ("anna", Some([10, 0, 1, 9].into())));
    let before = RecordingId::parse(NAME);
    assert_eq!(asked.lock().unwrap()[0], Request::KeptRecordings { before });
    for wrong in [NAME, "a%2fb.tar", ".tar"] {
        let (code, _) = get(&front, &format!("recordings/server/{wrong}")).await;
        assert!(code == 404 || code == 422, "{wrong}: {code}");
    }
}

#[tokio::test]
async fn while_the_bridge_is_raised_or_not_connected_the_tunnel_is_asked_nothing_and_the_owner_is_told_why() {
    let waiting = Link::Waiting { why: "The name is not known.".to_owned(), remedy: "Ask.".to_owned() };
    for (bridge, problem, words) in [
        (status(BridgeState::Closed, Link::Down), "bridge-raised", "the bridge is raised"),
        (status(BridgeState::Closing, connected().link), "bridge-raised", "the bridge is raised"),
        (status(BridgeState::Opening, Link::Down), "not-connected", "is being made"),
        (status(BridgeState::Open, Link::Connecting), "not-connected", "is being made"),
        (status(BridgeState::Open, waiting), "not-connected", "The name is not known."),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (written, asked) = stage(folder.path(), bridge, gives);
        let front = Front::new(folder.path()).unwrap();
        for path in ["recordings/server".to_owned(), format!("recordings/server/{NAME}.tar")] {
            let (code, found) = get(&front, &path).await;
            assert_eq!((code, found["code"].as_str()), (409, Some(problem)), "{found}");
            assert!(found["detail"].as_str().unwrap().contains(words), "{found}");
            assert!(!found["remedy"].as_str().unwrap().is_empty());
        }
        assert!(asked.lock().unwrap().is_empty() && written.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_cannot_has_none_or_fails_is_told_apart_and_half_of_a_recording_is_broken_off() {
    let failed = Unfetched::Failed { why: "the disk is slow".to_owned(), remedy: "Wait.".to_owned() };
    for (why, expected) in [
        (Unfetched::Unable, (409, "server-cannot")),
        (Unfetched::Unknown, (404, "not-kept")),
        (failed.clone(), (502, "server-failed")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (written, _) = stage(folder.path(), connected(), move |_| Reply::Unfetched(why.clone()));
        let front = Front::new(folder.path()).unwrap();
        for path in ["recordings/server".to_owned(), format!("recordings/server/{NAME}.tar")] {
            let (code, found) = get(&front, &path).await;
            assert_eq!((code, found["code"].as_str().unwrap()), expected, "{found}");
        }
        assert!(written.lock().unwrap().is_empty(), "nothing was handed out");
    }
    // The second part does not come, or is none.
    for wrong in [Reply::Unfetched(failed), Reply::RecordingPart(Vec::new(), LENGTH), Reply::Done] {
        let folder = tempfile::tempdir().unwrap();
        stage(folder.path(), connected(), move |request| match request {
            Request::FetchedPart { from: 65_536.., .. } => wrong.clone(),
            other => gives(other),
        });
        let front = Front::new(folder.path()).unwrap();
        let (code, _, body) = parts(front.ask("GET", &format!("recordings/server/{NAME}.tar"), b"").await);
        assert_eq!((code, body.unwrap().len()), (200, 65_536));
    }
}
