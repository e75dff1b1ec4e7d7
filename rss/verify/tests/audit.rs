//! The program on the audit of an appliance: several segments, whole and broken in each way, as folder and as tar file.
#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use drawbridge_audit::event::{BootId, Clock, Draft, Name, Stamp, What, Who, WhoKind};
use drawbridge_audit::log::{Identity, Limits, Log};
use drawbridge_chain::{DeviceKey, Signature, Utc};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::path::Path;
use std::process::Command;

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
}

fn key() -> DeviceKey {
    DeviceKey(pair().public_key().as_ref().try_into().unwrap())
}

fn stamp(millis: u64) -> Stamp {
    Stamp {
        time: Utc::from_millis(1_767_225_600_000 + millis).unwrap(),
        clock: Clock::Ntp,
        boot: BootId(7),
        monotonic_ms: millis,
    }
}

/// A log of several segments; signed to its end where that is wanted.
fn log(folder: &Path, is_signed: bool) {
    let identity = Identity { serial: "1001".to_owned().try_into().unwrap(), key: key() };
    let limits = Limits { segment_bytes: 1_000, ..Limits::default() };
    let (mut log, _) = Log::open(folder, identity, limits, 0, stamp(0)).unwrap();
    for number in 0..20 {
        let what = What::Paused { session: Name::of("one") };
        log.append(vec![Draft::new(what, Who::new(WhoKind::Owner, "anna"))], stamp(number)).unwrap();
        if is_signed || number < 19 {
            while let Some(wanted) = log.to_sign(stamp(number)).unwrap() {
                let signature = Signature(pair().sign(&wanted.to_sign.bytes()).as_ref().try_into().unwrap());
                log.signed(&wanted, signature, stamp(number)).unwrap();
            }
        }
    }
}

fn verify(path: &Path) -> (i32, String) {
    let key = key().fingerprint();
    let output = Command::new(env!("CARGO_BIN_EXE_verify")).args(["--key", &key]).arg(path).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn segments(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let folders = names.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_audit_of_several_segments_is_whole_as_folder_and_as_tar_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drawbridge-audit");
    std::fs::create_dir(&path).unwrap();
    log(&path, true);
    let count = segments(&path).len();
    assert!(count > 3, "{count}");
    let (code, said) = verify(&path);
    assert_eq!(code, 0, "{said}");
    for words in ["serial number 1001", "Segment 2", &format!("in {count} segments"), "still written to"] {
        assert!(said.contains(words), "{words} is not in: {said}");
    }
    let tar = folder.path().join("audit.tar");
    let words = ["-C", folder.path().to_str().unwrap(), "-cf", tar.to_str().unwrap(), "drawbridge-audit"];
    assert!(Command::new("tar").args(words).status().unwrap().success());
    let (code, of_tar) = verify(&tar);
    assert_eq!((code, of_tar), (0, said));
}

#[test]
fn a_byte_that_is_changed_and_a_segment_that_is_gone_moved_or_foreign_are_found() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), true);
    let names = segments(folder.path());
    for file in ["chain.jsonl", "events.jsonl"] {
        let path = folder.path().join(&names[1]).join(file);
        let whole = std::fs::read(&path).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 2] {
            let mut other = whole.clone();
            other[at] ^= 1;
            std::fs::write(&path, &other).unwrap();
            let (code, said) = verify(folder.path());
            assert_ne!(code, 0, "{file} at {at}: {said}");
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert_eq!(verify(folder.path()).0, 0);
    let away = tempfile::tempdir().unwrap();
    let (middle, gone) = (folder.path().join(&names[1]), away.path().join("gone"));
    std::fs::rename(&middle, &gone).unwrap();
    let (code, said) = verify(folder.path());
    assert!(code == 1 && said.contains("segment 3 does not continue segment 1"), "{said}");
    // Another one in its place.
    let copied = Command::new("cp").args(["-r"]).arg(folder.path().join(&names[0])).arg(&middle).status();
    assert!(copied.unwrap().success());
    let (code, said) = verify(folder.path());
    assert!(code == 1 && said.contains("segment 2 does not continue segment 1"), "{said}");
    std::fs::remove_dir_all(&middle).unwrap();
    std::fs::rename(&gone, &middle).unwrap();
    // What was taken from the beginning is no fault: old segments go when there is no room. The end is the heads' business.
    std::fs::rename(folder.path().join(&names[0]), &gone).unwrap();
    assert_eq!(verify(folder.path()).0, 0);
}

#[test]
fn an_audit_whose_end_is_not_signed_is_not_called_whole() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), false);
    let (code, said) = verify(folder.path());
    assert!(code == 1 && said.contains("NOT FINISHED"), "{said}");
}
