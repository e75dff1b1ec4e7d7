//! To whose key recordings are encrypted, with a recorder that keeps it; and a recording that only its owner can play.

use super::{audit, get, parts, role, told};
use crate::hostile::Front;
use drawbridge_audit::event::{Change, Code, What};
use drawbridge_bus::record::{RecorderStatus, RecordingId, RecordingLine};
use drawbridge_bus::{Reply, Request, Role};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

async fn put(front: &Front, body: &str) -> (u16, Value) {
    let (code, _, body) = parts(front.ask("PUT", "recordings/encryption", body.as_bytes()).await);
    (code, serde_json::from_slice(&body.unwrap()).unwrap())
}

#[tokio::test]
async fn the_key_is_set_shown_taken_away_and_written_down_and_what_it_encrypts_is_not_played_here() {
    let folder = tempfile::tempdir().unwrap();
    let written = audit(folder.path(), false);
    let kept = Arc::new(Mutex::new(Ok::<Option<String>, String>(None)));
    let key = Arc::clone(&kept);
    let line = RecordingLine {
        recipient: Some("age1abc".to_owned()),
        id: RecordingId::parse("20261127T014500Z-3fa9c01d").unwrap(),
        facts: None,
        began: 1_767_225_600,
        milliseconds: 3000,
        running: false,
        end: "Over".to_owned(),
        files: vec![("events.jsonl".to_owned(), 0)],
        head: None,
        confirmed: false,
    };
    role(folder.path(), Role::Recorder, move |request| match request {
        Request::RecordingKey => match key.lock().unwrap().clone() {
            Ok(key) => Reply::RecordingKey(key),
            Err(why) => Reply::NotTaken(why),
        },
        Request::SetRecordingKey(Some(wanted)) if !wanted.starts_with("age1") => {
            Reply::NotTaken("this is no public key of age".to_owned())
        }
        Request::SetRecordingKey(wanted) => {
            *key.lock().unwrap() = Ok(wanted.clone());
            Reply::RecordingKey(wanted)
        }
        Request::Recorder => {
            let (kept, bytes, takes, trouble) = (1, (1, 1), true, String::new());
            Reply::Recorder(Box::new(RecorderStatus { kept, bytes, takes, trouble }))
        }
        Request::Recordings { .. } => Reply::Recordings(vec![line.clone()]),
        _ => Reply::Done,
    });
    let front = Front::new(folder.path()).unwrap();
    assert_eq!(get(&front, "recordings/encryption").await, (200, json!({ "recipient": null })));
    let set = (200, json!({ "recipient": "age1abc" }));
    assert_eq!(put(&front, r#"{"recipient":" age1abc\n"}"#).await, set);
    assert_eq!(get(&front, "recordings/encryption").await, set);
    let draft = told(&written, Code::SettingChanged).await;
    let What::SettingChanged { change: Change::Plain { old, new }, .. } = draft.what else { panic!() };
    assert_eq!((old.unwrap().as_str(), new.unwrap().as_str()), ("none", "age1abc"));
    // The same again is no change.
    assert_eq!(put(&front, r#"{"recipient":"age1abc"}"#).await, set);
    for wrong in
        [r#"{"recipient":"AGE-SECRET-KEY-1"}"#.to_owned(), format!(r#"{{"recipient":"{:0200}"}}"#, 0)]
    {
        let (code, body) = put(&front, &wrong).await;
        assert_eq!((code, body["errors"][0]["field"].as_str()), (422, Some("recipient")), "{body}");
    }
    assert_eq!(put(&front, "{}").await.0, 422);
    assert_eq!(written.lock().unwrap().len(), 1);

    // One that cannot be read is told, and can be set anew.
    *kept.lock().unwrap() = Err("the key cannot be read".to_owned());
    let (code, body) = get(&front, "recordings/encryption").await;
    assert_eq!((code, body["code"].as_str()), (409, Some("key-unreadable")), "{body}");
    assert_eq!(put(&front, r#"{"recipient":""}"#).await, (200, json!({ "recipient": null })));

    let (_, list) = get(&front, "recordings").await;
    assert_eq!(list["recordings"][0]["recipient"], "age1abc", "{list}");
    let at = "recordings/20261127T014500Z-3fa9c01d";
    for call in ["play?channel=1&at=0", "search?channel=1&text=x", "cast?channel=1"] {
        let (code, body) = get(&front, &format!("{at}/{call}")).await;
        assert_eq!((code, body["code"].as_str()), (409, Some("encrypted")), "{call}: {body}");
    }
}
