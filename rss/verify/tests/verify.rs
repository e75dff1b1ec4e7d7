//! The program as a person runs it: on recordings that are whole, broken in each way, cut, and none at all.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use drawbridge_chain::{DeviceKey, Signature, Text};
use drawbridge_recording::{Clock, Event, Facts, FolderStore, Guidance, Quoted, Recorder, Size};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
}

fn key() -> DeviceKey {
    DeviceKey(pair().public_key().as_ref().try_into().unwrap())
}

fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).unwrap()
}

/// A recording of one terminal: its size, then a frame a second, each sealed; ended when that is wanted.
fn record(folder: &Path, is_ended: bool) -> PathBuf {
    let path = folder.join("a1");
    let facts = Facts {
        id: text("a1"),
        serial: text("SN-1"),
        system: text("lab"),
        version: text("0.1.0"),
        grant: 7,
        session: text("s1"),
        level: Guidance::Watched,
        engineer: text("anna"),
        login: text("support"),
        source: Some("192.0.2.7".parse().unwrap()),
    };
    let clock = Clock::new(UNIX_EPOCH + Duration::from_hours(490_896), Duration::ZERO);
    let store = FolderStore::create(&path).unwrap();
    let mut recorder = Recorder::create(store, facts, key(), None, clock, Duration::ZERO).unwrap();
    let terminal = recorder.terminal(Duration::ZERO, text("xterm"), Size::clamped(24, 80)).unwrap();
    for second in 1..=5 {
        let now = Duration::from_secs(second);
        recorder.output(terminal, now, b"ten bytes.").unwrap();
        recorder.event(now, Event::Command { command: Quoted::of(b"id"), terminal: None }).unwrap();
        recorder.seal(now).unwrap();
        if second == 3 {
            let to_sign = recorder.to_sign(now).unwrap().unwrap();
            recorder.signed(&to_sign, sign(&to_sign.bytes())).unwrap();
        }
    }
    if is_ended {
        let to_sign = recorder.finish(Duration::from_secs(65), text("he left")).unwrap();
        recorder.signed(&to_sign, sign(&to_sign.bytes())).unwrap();
    }
    path
}

fn sign(bytes: &[u8]) -> Signature {
    Signature(pair().sign(bytes).as_ref().try_into().unwrap())
}

fn verify(arguments: &[&str], path: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_verify")).args(arguments).arg(path).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn tar(arguments: &[&str]) {
    assert!(Command::new("tar").args(arguments).status().unwrap().success());
}

#[test]
fn a_whole_recording_says_who_when_and_which_system() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path(), true);
    let (code, said) = verify(&["--key", &key().fingerprint()], &path);
    assert_eq!(code, 0, "{said}");
    for words in [
        "Recording a1 of the system with serial number SN-1\n",
        "began     2026-01-01T00:00:00.000Z, by the system's clock\n",
        "system    lab, version 0.1.0\n",
        "engineer  anna from 192.0.2.7, as support\n",
        "session   s1, watched\n",
        "took      1 min 5 s\n",
        "contents  terminals 1, commands 5, files 0, forwards 0\n",
        "which was to be expected\n",
        "WHOLE: nothing was changed, left out or added. It ended: he left\n",
    ] {
        assert!(said.contains(words), "{words}{said}");
    }
}

#[test]
fn a_key_that_nobody_named_is_told_and_another_one_breaks_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path(), true);
    let (code, said) = verify(&[], &path);
    assert!(code == 0 && said.contains("Nobody said which key to expect"), "{said}");
    let file = folder.path().join("key.pub");
    std::fs::write(&file, format!("# the appliance's\n{} root@lab\n", key().to_ssh())).unwrap();
    assert_eq!(verify(&["--key-file", file.to_str().unwrap()], &path).0, 0);
    let other = DeviceKey([7; 32]);
    let (code, said) = verify(&["--key", &other.fingerprint()], &path);
    assert!(
        code == 1 && said.contains(&format!("BROKEN: another device's key: {}", key().fingerprint())),
        "{said}"
    );
    assert!(said.contains("Nothing of it is proved."), "{said}");
}

#[test]
fn a_changed_byte_is_told_with_its_frame_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path(), true);
    let file = path.join("terminal-1.ttyrec");
    let mut bytes = std::fs::read(&file).unwrap();
    // The size's frame has 22 bytes, so this is in the fourth of the others, of second 4.
    bytes[22 + 3 * 22 + 15] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (code, said) = verify(&[], &path);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("BROKEN: terminal-1.ttyrec, block "), "{said}");
    assert!(said.contains("in frame 5: 2026-01-01T00:00:04.000Z, 4.000 s after the beginning\n"), "{said}");
    assert!(said.contains("Proved: blocks 1 to "), "{said}");
    assert!(!said.contains("WHOLE"), "{said}");
}

#[test]
fn a_changed_event_is_told_with_its_line_and_a_cut_file_with_its_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path(), true);
    let events = path.join("events.jsonl");
    let text = std::fs::read_to_string(&events).unwrap();
    let fourth = text.split_inclusive('\n').take(3).map(str::len).sum::<usize>();
    let mut bytes = text.clone().into_bytes();
    bytes[fourth + 50] ^= 2;
    std::fs::write(&events, bytes).unwrap();
    let (code, said) = verify(&[], &path);
    assert!(code == 1 && said.contains("BROKEN: events.jsonl") && said.contains("from line 4\n"), "{said}");
    std::fs::write(&events, &text.as_bytes()[..fourth + 5]).unwrap();
    let (code, said) = verify(&[], &path);
    assert!(
        code == 1 && said.contains(&format!("bytes {} to", fourth + 5)) && said.contains("the file is cut"),
        "{said}"
    );
    std::fs::remove_file(&events).unwrap();
    let (code, said) = verify(&[], &path);
    assert!(
        code == 1 && said.contains("the file is not there") && said.contains("who       cannot be told"),
        "{said}"
    );
}

#[test]
fn a_recording_without_its_end_is_not_finished_and_tells_what_is_proved() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path(), false);
    let (code, said) = verify(&[], &path);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("NOT FINISHED") && said.contains("4 blocks after block 8, and 0 bytes"), "{said}");
    assert!(said.contains("Proved: blocks 1 to 8, which were signed at 2026-01-01T00:00:03.000Z"), "{said}");
}

#[test]
fn a_tar_file_is_verified_where_it_lies_with_or_without_a_folder_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path(), true);
    let file = folder.path().join("a1.tar");
    let (of, to) = (folder.path().to_str().unwrap(), file.to_str().unwrap());
    for arguments in [
        ["-cf", to, "-C", of, "a1"],
        ["-cf", to, "-C", path.to_str().unwrap(), "."],
        ["--format=pax", "-cf", to, "-C", of],
        ["--format=ustar", "-cf", to, "-C", of],
    ] {
        let more: &[&str] = if arguments[0].starts_with("--") { &["a1"] } else { &[] };
        tar(&[&arguments, more].concat());
        let (code, said) = verify(&["--key", &key().fingerprint()], &file);
        assert!(
            code == 0 && said.contains("WHOLE") && said.contains("engineer  anna"),
            "{arguments:?} {said}"
        );
    }
    // A byte of the terminal within it.
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(10).position(|part| part == b"ten bytes.").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (code, said) = verify(&[], &file);
    assert!(
        code == 1
            && said.contains("from frame 1: 2026")
            && said.contains("to frame 2: 2026-01-01T00:00:01.000Z"),
        "{said}"
    );
    // A link that is in it is not followed, and no other tar file is taken.
    std::os::unix::fs::symlink("/etc/passwd", path.join("events-2.jsonl")).unwrap();
    tar(&["-cf", to, "-C", of, "a1"]);
    let (code, said) = verify(&[], &file);
    assert!(code == 2 && said.contains("something else than plain files"), "{said}");
    tar(&["-czf", to, "-C", of, "a1"]);
    let (code, said) = verify(&[], &file);
    assert!(code == 2 && said.contains("no uncompressed tar file"), "{said}");
}

#[test]
fn what_cannot_be_read_is_told_from_what_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path(), true);
    assert_eq!(verify(&[], &folder.path().join("nothing")).0, 2);
    assert_eq!(verify(&[], folder.path()).0, 2);
    assert_eq!(verify(&["--key", "SHA256:no"], &path).0, 2);
    assert_eq!(verify(&["--key-file", "/dev/null"], &path).0, 2);
    assert_eq!(verify(&["--what"], &path).0, 2);
    assert_eq!(verify(&["one"], &path).0, 2);
    let (code, said) = verify(&["--help"], &path);
    assert!(code == 0 && said.contains("Ends with 0"), "{said}");
    std::fs::remove_file(path.join("events.jsonl")).unwrap();
    std::fs::create_dir(path.join("events.jsonl")).unwrap();
    let (code, said) = verify(&[], &path);
    assert!(code == 2 && said.contains("no plain file"), "{said}");
}
