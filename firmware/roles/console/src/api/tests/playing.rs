//! A recording that is played, with a recorder that has it.

use super::{BEGAN, audit, get, parts, role, told};
use crate::hostile::Front;
use drawbridge_audit::event::Code;
use drawbridge_bus::record::{RecordingId, RecordingLine};
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_recording as recording;
use serde_json::{Value, json};
use std::time::Duration;

fn text<T: TryFrom<String, Error: std::fmt::Debug>>(text: &str) -> T {
    text.to_owned().try_into().unwrap()
}

/// A recording of one terminal.
fn recorded() -> (RecordingLine, Vec<u8>, Vec<u8>) {
    use recording::{Entry, Facts, Guidance, Moment, Size, encode};
    let began = Duration::from_millis(BEGAN);
    let entry = |millis, event| {
        let after = Duration::from_millis(millis);
        Entry::at(Moment { since_1970: began + after, after }, event).encode()
    };
    let facts = Facts {
        id: text("a"),
        serial: text("b"),
        system: text("c"),
        version: text("d"),
        grant: 1,
        session: text("e"),
        level: Guidance::Direct,
        engineer: text("f"),
        login: text("g"),
        source: None,
    };
    let terminal = recording::Event::Terminal { terminal: 1, name: text("x"), size: Size::clamped(24, 80) };
    let events = [entry(0, recording::Event::Began(facts)), entry(1, terminal)].concat();
    let mut frames = Vec::new();
    for (millis, data) in
        [(1, &b"\x1b[8;24;80t"[..]), (500, b"sa> "), (2000, b"\x1b[1mstatus\x1b[0m\r\nfine\r\n")]
    {
        encode(began + Duration::from_millis(millis), data, &mut frames);
    }
    let files = [("events.jsonl", events.len()), ("terminal-1.ttyrec", frames.len())];
    let line = RecordingLine {
        recipient: None,
        id: RecordingId::parse("20261127T014500Z-3fa9c01d").unwrap(),
        facts: None,
        began: 1_767_225_600,
        milliseconds: 3000,
        running: false,
        end: "Over".to_owned(),
        files: files.map(|(name, length)| (name.to_owned(), length as u64)).to_vec(),
        head: None,
        confirmed: false,
    };
    (line, events, frames)
}

#[tokio::test]
async fn a_recording_is_played_searched_and_given_out_as_a_cast_and_that_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let written = audit(folder.path(), false);
    let (line, events, frames) = recorded();
    role(folder.path(), Role::Recorder, move |request| match request {
        Request::Recordings { .. } => Reply::Recordings(vec![line.clone()]),
        Request::RecordingPart { file, offset, most, .. } => {
            let whole = if file == "events.jsonl" { &events } else { &frames };
            let from = usize::try_from(offset).unwrap();
            // In small pieces.
            let part: Vec<u8> = whole[from..].iter().copied().take(most.min(7) as usize).collect();
            Reply::RecordingPart(part, whole.len() as u64)
        }
        _ => Reply::Done,
    });
    let front = Front::new(folder.path()).unwrap();
    let at = "recordings/20261127T014500Z-3fa9c01d";
    let (code, story) = get(&front, &format!("{at}/events")).await;
    assert_eq!((code, &story["terminals"][0]["channel"]), (200, &json!(1)), "{story}");
    let (code, played) = get(&front, &format!("{at}/play?channel=1&at=1000")).await;
    let times: Vec<_> =
        played["frames"].as_array().unwrap().iter().map(|one| one["at"].as_u64().unwrap()).collect();
    assert_eq!((code, times), (200, vec![1000, 2000]), "{played}");
    assert_eq!(
        played["frames"][1]["changed"][0]["runs"],
        json!([["sa> ", 4], ["status", 6, { "bold": true }]])
    );
    assert_eq!((&played["next"], &played["seeking"]), (&Value::Null, &json!(false)));
    assert!(!played.to_string().contains("\\u001b"), "{played}");
    let (code, gone) = get(&front, &format!("{at}/play?channel=1&next=77")).await;
    assert_eq!((code, gone["code"].as_str()), (409, Some("anew")));
    let (_, found) = get(&front, &format!("{at}/search?channel=1&text=STATUS")).await;
    assert_eq!(found["hits"], json!([{ "at": 2000, "line": "sa> status" }]), "{found}");
    let (_, head, body) = parts(front.ask("GET", &format!("{at}/cast?channel=1"), b"").await);
    let cast = String::from_utf8(body.unwrap()).unwrap();
    assert!(
        head.contains("-1.cast\"")
            && cast.starts_with("{\"version\": 2, \"width\": 80")
            && cast.lines().count() == 3,
        "{cast}"
    );
    assert_eq!(get(&front, &format!("{at}/play?channel=2")).await.0, 404);
    assert_eq!(get(&front, &format!("{at}/play")).await.0, 422);
    told(&written, Code::RecordingFetched).await;
    assert_eq!(written.lock().unwrap().len(), 1);
}
