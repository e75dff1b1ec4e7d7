//! Recordings that are encrypted to a key of the customer's: nothing of them is on the disk in the clear, the screen is seen all the same
//! while they run, and `age` opens them.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;

use common::{House, close, end, may_run, output, shown, typed};
use drawbridge_bus::record::{RecordAsk, RecordedEnd, RecordedUse, RecordingId};
use drawbridge_bus::{Refusal, Reply, Request, Role};
use drawbridge_recording::{ContentKey, FolderFiles, KEY_FILE, open};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
#[ignore = "the role itself, started by the others"]
fn the_roles_own_process() {
    common::be_the_role();
}

#[test]
#[ignore = "a caller itself, started by the others"]
fn a_callers_own_process() {
    common::be_a_caller();
}

fn run(command: &mut Command) -> String {
    let done = command.output().expect("age and age-keygen are needed: apt-get install age");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A new private key in this file; the public one is given.
fn new_key(file: &Path) -> String {
    run(Command::new("age-keygen").arg("-o").arg(file));
    run(Command::new("age-keygen").arg("-y").arg(file)).trim().to_owned()
}

fn opened(house: &House, id: &RecordingId, identity: &Path, name: &str) -> Vec<u8> {
    let folder = house.folder_of(id);
    let content = run(Command::new("age").arg("-d").arg("-i").arg(identity).arg(folder.join(KEY_FILE)));
    let mut bytes = Vec::new();
    let content = ContentKey::from_text(&content).unwrap();
    open::open(&FolderFiles::new(folder), name, &content, &mut bytes).unwrap();
    bytes
}

#[test]
fn with_a_customers_key_nothing_is_on_the_disk_in_the_clear_and_he_alone_opens_it() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let keys = tempfile::tempdir().unwrap();
    let identity = keys.path().join("identity");
    let public = new_key(&identity);
    let (mut sshd, mut console) = (house.call_as(Role::Sshd), house.call_as(Role::Console));

    // Only the console sets it, and only to a public key.
    assert!(matches!(sshd.call(Request::SetRecordingKey(None)), Reply::Refused(Refusal::Forbidden)));
    let private = std::fs::read_to_string(&identity).unwrap();
    let private = private.lines().last().unwrap().to_owned();
    let refused = console.call(Request::SetRecordingKey(Some(private.clone())));
    assert!(
        matches!(&refused, Reply::NotTaken(why) if why.contains("private key") && !why.contains(&private))
    );
    assert_eq!(console.call(Request::RecordingKey), Reply::RecordingKey(None));

    // One that runs already goes on as it began.
    sshd.begin(1);
    let set = Reply::RecordingKey(Some(public.clone()));
    assert_eq!(console.call(Request::SetRecordingKey(Some(public.to_uppercase()))), set);
    assert_eq!(console.call(Request::RecordingKey), set);
    sshd.keep(1, end());

    sshd.begin(2);
    sshd.terminal(2, 1);
    sshd.keep(2, output(1, b"DOE, JANE\r\n"));
    sshd.keep(2, typed(1, true, b"show patients\r"));
    sshd.keep(2, output(1, b"show patients\r\n"));
    let what = RecordedUse::Command(Some("cat patients".to_owned()));
    sshd.keep(2, RecordAsk::Open { channel: 2, what });
    sshd.keep(2, output(2, b"DOE, JOHN"));
    sshd.keep(2, close(2, RecordedEnd::Exited(0)));
    let lines = house.lines();
    let running = lines.iter().find(|line| line.running).unwrap();
    assert_eq!(running.recipient.as_ref(), Some(&public));
    // The owner sees the screen.
    let until = Instant::now() + Duration::from_secs(20);
    let rows = loop {
        let Reply::Screen(screen) = console.screen(&running.id, 1, 0) else { panic!("no screen") };
        let rows: Vec<String> = screen
            .rows
            .iter()
            .map(|row| row.runs.iter().map(|run| run.text.as_str()).collect::<String>())
            .collect();
        if rows.len() > 1 && rows[1].contains("patients") {
            break rows;
        }
        assert!(Instant::now() < until, "{rows:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(rows[..2], ["DOE, JANE", "show patients"]);
    // A third one is killed.
    sshd.begin(3);
    sshd.terminal(3, 1);
    sshd.keep(3, output(1, b"DOE, JUNE\r\n"));
    sshd.keep(2, close(1, RecordedEnd::Exited(0)));
    sshd.keep(2, end());
    role.kill();
    let _role = house.start();
    let lines = house.whole(3);

    for word in ["DOE", "JANE", "JOHN", "JUNE", "patients"] {
        assert!(!house.has(word.as_bytes()), "{word}");
    }
    assert!(house.has(public.as_bytes()));
    for line in &lines {
        house.is_proved(&line.id);
    }
    let encrypted = |is_cut: bool| {
        let mut found = lines.iter().filter(|line| {
            line.recipient.as_ref() == Some(&public) && line.end.starts_with("cut: ") == is_cut
        });
        (found.next().unwrap(), found.next().is_none())
    };
    let ((killed, true), (second, true)) = (encrypted(true), encrypted(false)) else { panic!("{lines:?}") };
    let shows = |id: &RecordingId, terminal: &str| {
        let bytes = opened(&house, id, &identity, terminal);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("film"), bytes).unwrap();
        let file = std::fs::File::open(folder.path().join("film")).unwrap();
        let section = drawbridge_recording::Section::new(file, 0, u64::MAX);
        shown(drawbridge_recording::FrameReader::new(std::io::BufReader::new(section)))
    };
    assert_eq!(shows(&second.id, "terminal-1.ttyrec"), b"DOE, JANE\r\nshow patients\r\n");
    assert_eq!(shows(&second.id, "terminal-2.ttyrec"), b"DOE, JOHN");
    assert_eq!(shows(&killed.id, "terminal-1.ttyrec"), b"DOE, JUNE\r\n");
    let typed = String::from_utf8(opened(&house, &second.id, &identity, "typed-1.jsonl")).unwrap();
    assert!(typed.contains("show patients"), "{typed}");
    let events = String::from_utf8(opened(&house, &second.id, &identity, "events.jsonl")).unwrap();
    assert!(events.contains("cat patients") && events.contains("he left"), "{events}");
    let events = String::from_utf8(opened(&house, &killed.id, &identity, "events.jsonl")).unwrap();
    assert!(events.contains("the recording was cut here"), "{events}");

    // What cannot be read any more lets none begin in the clear.
    std::fs::write(house.folder_of(&second.id).with_file_name("customer.key"), "age1\n").unwrap();
    let mut sshd = house.call_as(Role::Sshd);
    let begun = sshd.record(9, RecordAsk::Begin(Box::new(common::facts())));
    assert!(matches!(&begun, Reply::Unrecorded(why) if why.contains("set it anew")), "{begun:?}");
    let mut console = house.call_as(Role::Console);
    let Reply::Recorder(status) = console.call(Request::Recorder) else { panic!("no status") };
    assert!(!status.takes && status.trouble.contains("encrypted"), "{}", status.trouble);
    assert_eq!(console.call(Request::SetRecordingKey(None)), Reply::RecordingKey(None));
    sshd.begin(10);
}
