//! Notifications, with a session role that keeps them.

use super::{Told, get, note, parts, role};
use crate::hostile::Front;
use drawbridge_bus::notify::{NoticeStep, Notices, NoticesStatus, Receiver, ReceiverState};
use drawbridge_bus::{Reply, Request, Role};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

fn status(notices: Notices) -> NoticesStatus {
    let state = ReceiverState {
        receiver: Receiver::Mail,
        is_up: Some(false),
        since_ms: 5,
        settled: 7,
        backlog: 2,
        oldest_ms: Some(6),
        error: Some(("No.".to_owned(), "Do.".to_owned())),
        next_try_ms: None,
    };
    NoticesStatus { notices, has_password: (false, true), states: vec![state], runs: true }
}

#[tokio::test]
async fn notifications_are_set_and_shown_without_a_password_and_are_not_told_twice() {
    let folder = tempfile::tempdir().unwrap();
    let written = Told::default();
    let noted = Arc::clone(&written);
    let kept = Arc::new(Mutex::new(Notices::default()));
    role(folder.path(), Role::Session, move |request| match request {
        Request::Tell(line) => note(&noted, &line),
        Request::Notices => Reply::Notices(Box::new(status(kept.lock().unwrap().clone()))),
        Request::SetNotices(change) => {
            assert_eq!(change.secrets.mail.as_ref().unwrap().reveal(), "swordfish");
            kept.lock().unwrap().clone_from(&change.notices);
            Reply::Notices(Box::new(status(change.notices)))
        }
        Request::TestNotices(test) if test.receiver == Receiver::Array => {
            Reply::NotTaken("the array is not set".to_owned())
        }
        Request::NoticeSteps => Reply::NoticeSteps {
            steps: vec![NoticeStep {
                title: "TLS".to_owned(),
                worked: false,
                detail: "No.".to_owned(),
                remedy: "Do.".to_owned(),
            }],
            over: true,
        },
        _ => Reply::Done,
    });
    let pin = "ab".repeat(32);
    let array =
        format!(r#"{{"host":"array.example.com","known_by":{{"pinned":{{"fingerprint":"{pin}"}}}}}}"#);
    std::fs::write(folder.path().join("array.json"), array).unwrap();
    let front = Front::new(folder.path()).unwrap();
    let asked = br#"{"array":{"user":"events"},"mail":{"server":"mail.example.com","user":"sa","password":"swordfish",
        "from":"sa@example.com","to":["anna@example.com"]}}"#;
    let (code, _, body) = parts(front.ask("PUT", "notifications", asked).await);
    let body = String::from_utf8(body.unwrap()).unwrap();
    assert!(code == 200 && !body.contains("swordfish"), "{body}");
    let (_, shown) = get(&front, "notifications").await;
    assert_eq!(shown["settings"]["mail"]["server"], "mail.example.com:587");
    assert_eq!(
        (&shown["settings"]["mail"]["has_password"], &shown["settings"]["syslog"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(
        (shown["array_known"]["host"].as_str(), shown["array_known"]["fingerprint"].as_str()),
        (Some("array.example.com"), Some(pin.as_str()))
    );
    assert_eq!(shown["states"][0]["error"]["remedy"], "Do.");
    // Session writes down by itself what was set: nothing stands there twice.
    assert!(written.lock().unwrap().is_empty());
    let wrong = br#"{"mail":{"server":"mail.example.com","from":"sa","to":[]}}"#;
    let (code, _, body) = parts(front.ask("PUT", "notifications", wrong).await);
    let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    let fields: Vec<_> =
        body["errors"].as_array().unwrap().iter().map(|one| one["field"].as_str().unwrap()).collect();
    assert_eq!((code, fields), (422, vec!["mail.from", "mail.to"]));
    for (body, code) in [
        (r#"{"receiver":"mail","to":"anna@example.com"}"#, 202),
        (r#"{"receiver":"mail","to":"anna"}"#, 422),
        (r#"{"receiver":"syslog","to":"anna@example.com"}"#, 422),
        (r#"{"receiver":"array"}"#, 409),
        (r#"{"receiver":"pigeon"}"#, 422),
    ] {
        assert_eq!(parts(front.ask("POST", "notifications/test", body.as_bytes()).await).0, code, "{body}");
    }
    assert_eq!(get(&front, "notifications/test").await.1["steps"][0]["result"], "fail");
}
