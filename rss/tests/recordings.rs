//! Recordings that come in: whole, in pieces, after a loss, too much of them; by which key and ticket; and what the operator does with them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_chain::{FILE, Hash};
use drawbridge_verify::Found;
use drawbridge_wire::upload::Answer;
use drawbridge_wire::{RECORDING, SESSION, ToAppliance, ToServer, ticket};
use peers::appliance::tls;
use peers::recordings::{
    Device, NAME, Tape, Uploader, ask, chain_of, enrolled, is_same, is_whole, kept, lines, record, refusal,
    verified,
};
use peers::{Server, text};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use tokio::io::AsyncWriteExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_comes_in_while_it_runs_and_is_whole_when_its_end_is_signed() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let device = Device::new(9);
    let mut tape = Tape::begin(server.home.path(), NAME, "SN-1", &device);
    tape.run(&device, 4);
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    let answer = uploader.hand_over(NAME, &tape.folder).await;
    assert_eq!(chain_of(&answer), fs::metadata(tape.folder.join(FILE)).unwrap().len());
    assert!(!is_whole(&answer));
    let list = server.operate(&["sessions", "list"]).await;
    assert!(
        list.starts_with(&format!("{NAME} SN-1 open ")) && list.contains("session=\"case 4711\""),
        "{list}"
    );
    let said = server.operate(&["sessions", "verify", NAME]).await;
    assert!(said.contains("NOT FINISHED") && said.contains("which was to be expected"), "{said}");
    // What is exported while it runs is what is proved so far.
    let out = server.path("running.tar");
    server.operate(&["sessions", "export", NAME, out.to_str().unwrap()]).await;
    assert_eq!(verified(&out, &device).0, Found::Unfinished);

    tape.run(&device, 3);
    let folder = tape.end(&device);
    let before = uploader.sent;
    let answer = uploader.hand_over(NAME, &folder).await;
    assert!(is_whole(&answer));
    let final_line = lines(&folder, 0).pop().unwrap().0;
    assert!(matches!(&answer, Answer::Has { head: Some(head), .. } if *head == Hash::of(&final_line).0));
    assert_eq!(uploader.sent, lines(&folder, 0).len(), "{before} lines were sent before");
    is_same(&folder, &kept(&server));
    for (path, mode) in [(kept(&server), 0o700), (kept(&server).join("events.jsonl"), 0o600)] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
    }

    for words in [vec!["--system", "box-1"], vec!["--system", "sn-1"], vec!["--text", "CASE 4711"], vec![]] {
        let list = server.operate(&[&["sessions", "list", "--json"], &words[..]].concat()).await;
        let line: serde_json::Value = serde_json::from_str(&list).unwrap();
        let facts =
            ["name", "serial", "state", "engineer", "from", "ended"].map(|key| line[key].as_str().unwrap());
        assert_eq!(facts, [NAME, "SN-1", "whole", "anna", "192.0.2.7", "he left"]);
        assert_eq!(line["seconds"], 8);
    }
    assert_eq!(server.operate(&["sessions", "list", "--text", "nobody"]).await, "");
    let show = server.operate(&["sessions", "show", NAME]).await;
    for words in [
        "engineer  anna from 192.0.2.7, as support",
        "all of it is here",
        "terminals: 1",
        "\"kind\":\"command\"",
    ] {
        assert!(show.contains(words), "{words}: {show}");
    }
    let said = server.operate(&["sessions", "verify", &format!("box-1/{NAME}")]).await;
    assert!(said.contains("WHOLE: nothing was changed"), "{said}");
    assert_eq!(server.operate(&["sessions", "verify", "--all"]).await, "1 as they were sealed, 0 not\n");
    server.audit_has(&[("who", "SN-1"), ("what", "recording"), ("result", "is here, whole")]).await;

    // Away from here, by the program for it; and never over another file.
    let out = server.path("whole.tar");
    let export = ["sessions", "export", NAME, out.to_str().unwrap()];
    server.operate(&export).await;
    let (found, said) = verified(&out, &device);
    assert!(found == Found::Whole && said.contains("engineer  anna"), "{said}");
    assert!(!server.try_operate(&export).await.status.success());
    let cast = server.operate(&["sessions", "export", NAME, "--cast", "-"]).await;
    assert!(cast.starts_with("{\"version\": 2, \"width\": 80, \"height\": 24"), "{cast}");
    let ttyrec = server.try_operate(&["sessions", "export", NAME, "--ttyrec", "-"]).await.stdout;
    assert_eq!(ttyrec, fs::read(folder.join("terminal-1.ttyrec")).unwrap());
    let shown = server.operate(&["sessions", "play", NAME]).await;
    assert!(shown.contains("a line of output.") && !shown.contains('\x1b'), "{shown:?}");

    // One byte is another: it is found, and where.
    let path = kept(&server).join("terminal-1.ttyrec");
    let mut other = fs::read(&path).unwrap();
    other[100] ^= 1;
    fs::write(&path, other).unwrap();
    let said = server.try_operate(&["sessions", "verify", NAME]).await;
    assert!(!said.status.success() && text(&said.stdout).contains("terminal-1.ttyrec, block"), "{said:?}");
    assert!(!server.try_operate(&["sessions", "verify", "--all"]).await.status.success());
    server.operate(&["sessions", "remove", NAME]).await;
    assert!(!kept(&server).exists() && server.operate(&["sessions"]).await.is_empty());
    server.audit_has(&[("who", "operator"), ("what", "remove recording"), ("result", NAME)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_is_resumed_from_what_was_confirmed_and_nothing_of_that_is_sent_again() {
    let mut server = Server::start().await;
    let (appliance, mut control) = enrolled(&server).await;
    let device = Device::new(9);
    let folder = record(server.home.path(), NAME, "SN-1", &device, 9);
    let all = lines(&folder, 0);
    let (third, two_thirds) = (all.len() / 3, 2 * all.len() / 3);
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    assert_eq!(chain_of(&uploader.begin(NAME).await), 0);
    let confirmed = chain_of(&uploader.send(&all[..third]).await);
    // What was sent and not confirmed is lost with the connection.
    for (line, data) in &all[third..two_thirds] {
        uploader.line(line, data).await;
    }
    drop(uploader);
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    assert_eq!(chain_of(&uploader.begin(NAME).await), confirmed);
    assert_eq!(lines(&folder, confirmed), all[third..]);
    let confirmed = chain_of(&uploader.send(&all[third..two_thirds]).await);
    // The server dies, and leaves what a power cut would: half a line, and bytes that no line names.
    server.signal(nix::sys::signal::Signal::SIGKILL);
    let append = |name: &str, bytes: &[u8]| {
        let path = kept(&server).join(name);
        fs::write(&path, [fs::read(&path).unwrap(), bytes.to_vec()].concat()).unwrap();
    };
    append(FILE, b"{\"line\":\"block\",\"numb");
    append("terminal-1.ttyrec", b"half a frame");
    server.start_again().await;
    let mut control = appliance.connect(&server).await;
    assert!(matches!(control.next().await, Some(ToAppliance::Welcome { .. })));
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    assert_eq!(chain_of(&uploader.begin(NAME).await), confirmed);
    assert!(is_whole(&uploader.send(&all[two_thirds..]).await));
    is_same(&folder, &kept(&server));
    // Once more from the beginning: there is nothing to send.
    assert!(is_whole(&uploader.begin(NAME).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_is_refused_with_a_remedy_until_the_operator_accepts_it() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let (first, second) = (Device::new(9), Device::new(8));
    assert!(ask(&mut control, "ssh-rsa AAAA").await.unwrap_err().0.contains("no Ed25519 key"));
    ask(&mut control, &first.key().to_ssh()).await.unwrap();
    let print = first.key().fingerprint();
    server.audit_has(&[("what", "evidence key"), ("system", "SN-1"), ("result", &print)]).await;
    let (why, remedy) = ask(&mut control, &second.key().to_ssh()).await.unwrap_err();
    let print = second.key().fingerprint();
    assert!(
        why.contains("by another key")
            && remedy.contains(&format!("rss systems evidence SN-1 accept {print}")),
        "{remedy}"
    );
    let list = server.operate(&["systems", "evidence", "box-1"]).await;
    assert!(list.lines().count() == 2 && list.contains(&format!("{print} refused=")), "{list}");
    // One that was never said cannot be accepted by mistake.
    let never = Device::new(7).key().fingerprint();
    assert!(!server.try_operate(&["systems", "evidence", "box-1", "accept", &never]).await.status.success());
    server.operate(&["systems", "evidence", "box-1", "accept", &print]).await;
    let folder = record(server.home.path(), NAME, "SN-1", &second, 2);
    let mut uploader = Uploader::new(&server, &mut control, &second).await;
    assert!(is_whole(&uploader.hand_over(NAME, &folder).await));
    // What the first one signed is still taken: it may have been waiting.
    let other = "20261126T014500Z-00000001";
    let folder = record(server.home.path(), other, "SN-1", &first, 2);
    assert!(is_whole(&uploader.hand_over(other, &folder).await));
    server.operate(&["systems", "evidence", "box-1", "forget", &first.key().fingerprint()]).await;
    let third = "20261126T014500Z-00000002";
    let folder = record(server.home.path(), third, "SN-1", &first, 2);
    assert!(refusal(&uploader.hand_over(third, &folder).await).contains("signed with the key"));
    assert_eq!(server.operate(&["sessions", "verify", "--all"]).await, "2 as they were sealed, 0 not\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_for_recordings_is_good_once_and_for_nothing_else() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let device = Device::new(9);
    let token = ask(&mut control, &device.key().to_ssh()).await.unwrap();
    let mut stream = tls(&server, SESSION).await;
    assert!(matches!(ticket::present(&mut stream, &token).await, Err(ticket::TicketError::Unknown)));
    let mut stream = tls(&server, RECORDING).await;
    ticket::present(&mut stream, &token).await.unwrap();
    let mut again = tls(&server, RECORDING).await;
    assert!(matches!(ticket::present(&mut again, &token).await, Err(ticket::TicketError::Unknown)));
    server.audit_has(&[("what", "ticket"), ("result", "nobody hands over recordings")]).await;
    // A newer connection takes the older one's place.
    let mut older = Uploader { stream, sent: 0 };
    assert_eq!(chain_of(&older.begin(NAME).await), 0);
    let mut newer = Uploader::new(&server, &mut control, &device).await;
    assert!(older.is_ended().await);
    assert_eq!(chain_of(&newer.begin(NAME).await), 0);
    // Tickets go with the control connection, and the system's connections with the system.
    let token = ask(&mut control, &device.key().to_ssh()).await.unwrap();
    control.send(&ToServer::Bye).await;
    assert_eq!(control.next().await, None);
    server.audit_has(&[("what", "disconnected")]).await;
    let mut late = tls(&server, RECORDING).await;
    assert!(matches!(ticket::present(&mut late, &token).await, Err(ticket::TicketError::Unknown)));
    assert_eq!(chain_of(&newer.begin(NAME).await), 0);
    server.operate(&["systems", "remove", "SN-1"]).await;
    assert!(newer.is_ended().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_breaks_the_protocol_is_ended_and_holds_nothing() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let device = Device::new(9);
    let folder = record(server.home.path(), NAME, "SN-1", &device, 3);
    let all = lines(&folder, 0);
    // Lines before a recording.
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    uploader.line(&all[0].0, &all[0].1).await;
    assert!(uploader.is_ended().await);
    // A name that is a path, in a frame that is otherwise right.
    for name in ["../../x", "a/b", "..", "-x", ""] {
        let mut uploader = Uploader::new(&server, &mut control, &device).await;
        let mut frame =
            vec![0, 0, 0, u8::try_from(name.len() + 2).unwrap(), 0, u8::try_from(name.len()).unwrap()];
        frame.extend_from_slice(name.as_bytes());
        uploader.stream.write_all(&frame).await.unwrap();
        uploader.stream.flush().await.unwrap();
        assert!(uploader.is_ended().await, "{name:?}");
    }
    // A frame that is too long, before its bytes come.
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    uploader.stream.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    uploader.stream.flush().await.unwrap();
    assert!(uploader.is_ended().await);
    // More at once than a batch holds.
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    uploader.begin(NAME).await;
    for _ in 0..20 {
        uploader.line(b"x", &vec![0; 64 * 1024]).await;
    }
    assert!(uploader.is_ended().await);
    server.audit_has(&[("what", "recording"), ("result", "more at once than it may")]).await;
    let sessions = server.path("data/sessions");
    assert!(!sessions.exists() || fs::read_dir(sessions).unwrap().count() == 0);
    assert!(is_whole(&Uploader::new(&server, &mut control, &device).await.hand_over(NAME, &folder).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_no_room_for_is_refused_with_what_to_do_and_what_is_there_stays() {
    let server = Server::start_with(
        "[limits]\nrecording_bytes = 40_000\nrecordings_bytes = 60_000\nrecordings_per_system = 2\n",
    )
    .await;
    let (_appliance, mut control) = enrolled(&server).await;
    let device = Device::new(9);
    let home = server.home.path();
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    let long = record(home, "long", "SN-1", &device, 30);
    let said = refusal(&uploader.hand_over("long", &long).await);
    assert!(said.contains("longer than the 40000 bytes") && said.contains("recording_bytes"), "{said}");
    let kept = server.path("data/sessions/sn-1/long");
    assert_eq!(verified(&kept, &device).0, Found::Unfinished);
    let second = record(home, "second", "SN-1", &device, 10);
    let said = refusal(&uploader.hand_over("second", &second).await);
    assert!(
        said.contains("all the recordings that it has room for") && said.contains("rss sessions remove"),
        "{said}"
    );
    let third = record(home, "third", "SN-1", &device, 1);
    let said = refusal(&uploader.begin("third").await);
    assert!(said.contains("2 recordings of this system"), "{said}");
    // Room is made, and it goes on from where it was.
    server.operate(&["sessions", "remove", "long"]).await;
    let from = chain_of(&uploader.begin("second").await);
    assert!(from > 0 && is_whole(&uploader.send(&lines(&second, from)).await));
    assert!(is_whole(&uploader.hand_over("third", &third).await));
    assert_eq!(server.operate(&["sessions", "verify", "--all"]).await, "2 as they were sealed, 0 not\n");
}
