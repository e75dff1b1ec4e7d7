//! The program on recordings that are encrypted: verified without a key, opened with the customer's, and with nobody else's.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use drawbridge_chain::{DeviceKey, Signature, Text};
use drawbridge_recording::{Clock, Event, Facts, FolderStore, Guidance, Quoted, Recipient, Recorder, Size};
use drawbridge_verify::{Identity, IdentityFault};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
}

fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).unwrap()
}

fn sign(bytes: &[u8]) -> Signature {
    Signature(pair().sign(bytes).as_ref().try_into().unwrap())
}

fn run(command: &mut Command) -> Vec<u8> {
    let done = command.stdin(Stdio::null()).output().expect("age is needed: apt-get install age");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// A new private key in a file of the folder, and its public key.
fn new_key(folder: &Path, name: &str) -> (PathBuf, String) {
    let file = folder.join(name);
    run(Command::new("age-keygen").arg("-o").arg(&file));
    let public = run(Command::new("age-keygen").arg("-y").arg(&file));
    (file, String::from_utf8(public).unwrap().trim().to_owned())
}

/// A recording of one terminal, encrypted where there is a recipient.
fn record(folder: &Path, recipient: Option<&str>) -> PathBuf {
    let path = folder.join(if recipient.is_some() { "sealed" } else { "plain" });
    let facts = Facts {
        id: text("a1"),
        serial: text("SN-1"),
        system: text("lab"),
        version: text("0.1.0"),
        grant: 7,
        session: text("s1"),
        level: Guidance::Direct,
        engineer: text("anna"),
        login: text("support"),
        source: None,
    };
    let clock = Clock::new(UNIX_EPOCH + Duration::from_hours(490_896), Duration::ZERO);
    let store = FolderStore::create(&path).unwrap();
    let key = DeviceKey(pair().public_key().as_ref().try_into().unwrap());
    let recipient = recipient.map(|recipient| Recipient::parse(recipient).unwrap());
    let mut recorder =
        Recorder::create(store, facts, key, recipient.as_ref(), clock, Duration::ZERO).unwrap();
    let terminal = recorder.terminal(Duration::ZERO, text("xterm"), Size::clamped(24, 80)).unwrap();
    for second in 1..=5 {
        let now = Duration::from_secs(second);
        recorder.output(terminal, now, b"DOE, JANE\r\n").unwrap();
        recorder.typed(terminal, now, b"next\r", false).unwrap();
        recorder.event(now, Event::Command { command: Quoted::of(b"id"), terminal: None }).unwrap();
        recorder.seal(now).unwrap();
    }
    let to_sign = recorder.finish(Duration::from_secs(65), text("he left")).unwrap();
    recorder.signed(&to_sign, sign(&to_sign.bytes())).unwrap();
    path
}

fn verify(arguments: &[&Path]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_verify")).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn path(text: &str) -> &Path {
    Path::new(text)
}

#[test]
fn an_encrypted_recording_is_verified_by_anybody_and_opened_by_its_owner_as_stock_players_take_it() {
    let folder = tempfile::tempdir().unwrap();
    let (identity, public) = new_key(folder.path(), "identity");
    let (sealed, plain) = (record(folder.path(), Some(&public)), record(folder.path(), None));
    let tar = folder.path().join("a1.tar");
    run(Command::new("tar").arg("-C").arg(folder.path()).arg("-cf").arg(&tar).arg("sealed"));

    let (code, said) = verify(&[&tar]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("contents  encrypted to {public}")) && said.contains("WHOLE"), "{said}");
    assert!(said.contains("engineer  anna") && said.contains("took      1 min 5 s"), "{said}");

    // With the private key, from folder and tar file, and with the recording's own that `age` has found.
    let content = folder.path().join("content");
    let found = run(Command::new("age").arg("-d").arg("-i").arg(&identity).arg(sealed.join("key.age")));
    std::fs::write(&content, found).unwrap();
    let ways: [(&Path, &str, &Path); 3] = [
        (&sealed, "--identity", &identity),
        (&tar, "--identity", &identity),
        (&tar, "--content-key", &content),
    ];
    for (at, (from, option, key)) in ways.into_iter().enumerate() {
        let to = folder.path().join(format!("open-{at}"));
        let (code, said) = verify(&[path("--open"), &to, path(option), key, from]);
        assert!(code == 0 && said.contains("WHOLE") && said.contains("terminal-1.ttyrec"), "{said}");
        for name in ["terminal-1.ttyrec", "typed-1.jsonl"] {
            assert_eq!(std::fs::read(to.join(name)).unwrap(), std::fs::read(plain.join(name)).unwrap());
        }
        let events = std::fs::read_to_string(to.join("events.jsonl")).unwrap();
        assert_eq!(events.matches("\"kind\":\"command\"").count(), 5, "{events}");
        let cast = std::fs::read_to_string(to.join("terminal-1.cast")).unwrap();
        assert_eq!(cast.matches("DOE, JANE").count(), 5, "{cast}");
        assert_eq!(to.metadata().unwrap().permissions().mode() & 0o77, 0);
        assert_eq!(to.join("events.jsonl").metadata().unwrap().permissions().mode() & 0o77, 0);
        // Never over what is there.
        let (code, said) = verify(&[path("--open"), &to, path(option), key, from]);
        assert!(code == 2 && said.contains("could not be opened") && said.contains("exists"), "{said}");
    }

    // With another's, none at all, or on one that is not encrypted.
    let to = folder.path().join("open-not");
    let private = std::fs::read_to_string(&identity).unwrap();
    let private = private.lines().last().unwrap().to_owned();
    let (other, _) = new_key(folder.path(), "other");
    let nothing = folder.path().join("nothing");
    let comment = folder.path().join("comment");
    std::fs::write(&comment, "# no key\n").unwrap();
    for (option, key, from, why) in [
        ("--identity", &other, &sealed, "the recording is not encrypted to this key"),
        ("--identity", &nothing, &sealed, "No such file"),
        ("--identity", &comment, &sealed, "there is no private key of age in it"),
        ("--content-key", &identity, &sealed, "this is no content key"),
        ("--identity", &identity, &plain, "it is not encrypted"),
    ] {
        let (code, said) = verify(&[path("--open"), &to, path(option), key, from]);
        assert!(code == 2 && said.contains(why) && said.contains("WHOLE"), "{why}: {said}");
        assert!(!to.exists() && !said.contains(&private));
    }
    for arguments in [
        vec![path("--open"), &to, &sealed],
        vec![path("--identity"), &identity, &sealed],
        vec![path("--open"), &to, path("--identity"), &identity, path("--content-key"), &content, &sealed],
    ] {
        let (code, said) = verify(&arguments);
        assert!(code == 2 && said.contains("--open needs --identity or --content-key"), "{said}");
    }
}

#[test]
fn one_that_was_changed_is_told_and_opened_as_far_as_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let (identity, public) = new_key(folder.path(), "identity");
    let sealed = record(folder.path(), Some(&public));
    let film = sealed.join("terminal-1.ttyrec.sealed");
    let bytes = std::fs::read(&film).unwrap();
    // Cut within a record.
    std::fs::write(&film, &bytes[..bytes.len() - 5]).unwrap();
    let to = folder.path().join("cut");
    let (code, said) = verify(&[path("--open"), &to, path("--identity"), &identity, &sealed]);
    assert!(code == 1 && said.contains("BROKEN") && said.contains("what comes next is missing"), "{said}");
    assert!(std::fs::read(to.join("terminal-1.ttyrec")).unwrap().ends_with(b"DOE, JANE\r\n"));
    // A byte of the first record.
    let mut changed = bytes.clone();
    changed[20] ^= 1;
    std::fs::write(&film, &changed).unwrap();
    let to = folder.path().join("changed");
    let (code, said) = verify(&[path("--open"), &to, path("--identity"), &identity, &sealed]);
    assert!(code == 1 && said.contains("BROKEN") && said.contains("record 0 is damaged"), "{said}");
    // The others are opened all the same.
    assert!(std::fs::read_to_string(to.join("events.jsonl")).unwrap().contains("he left"));
    // With another recording's key nothing is, and nothing is left behind.
    let content = folder.path().join("content");
    std::fs::write(&content, "0f".repeat(32)).unwrap();
    let to = folder.path().join("not");
    let (code, said) = verify(&[path("--open"), &to, path("--content-key"), &content, &sealed]);
    assert!(code == 2 && said.contains("the key is another recording's") && !to.exists(), "{said}");
}

#[test]
fn what_age_itself_has_encrypted_is_opened_and_what_is_no_such_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (file, public) = new_key(folder.path(), "identity");
    let (other_file, other) = new_key(folder.path(), "other");
    let content = format!("{}\n", "0f".repeat(32));
    let encrypt = |recipients: &[&str], plain: &str| {
        let mut age = Command::new("age");
        for recipient in recipients {
            age.arg("-r").arg(recipient);
        }
        let mut age = age.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        age.stdin.take().unwrap().write_all(plain.as_bytes()).unwrap();
        age.wait_with_output().unwrap().stdout
    };
    let read = |file: &Path| Identity::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    let (identity, other_identity) = (read(&file), read(&other_file));
    let one = encrypt(&[&public], &content);
    identity.content(&one).unwrap();
    assert_eq!(other_identity.content(&one).unwrap_err(), IdentityFault::Other);
    let two = encrypt(&[&other, &public], &content);
    identity.content(&two).unwrap();
    other_identity.content(&two).unwrap();
    assert_eq!(identity.content(&encrypt(&[&public], "hello")).unwrap_err(), IdentityFault::Content);
    // Each changed byte and each cut.
    for place in 0..one.len() {
        let mut changed = one.clone();
        changed[place] ^= 1;
        assert!(identity.content(&changed).is_err(), "{place}");
        assert!(identity.content(&one[..place]).is_err(), "{place}");
    }
    assert_eq!(identity.content(&vec![b'a'; 1 << 20]).unwrap_err(), IdentityFault::File);

    let both =
        [std::fs::read_to_string(&file).unwrap(), std::fs::read_to_string(&other_file).unwrap()].concat();
    Identity::parse(&both).unwrap().content(&one).unwrap();
    assert_eq!(Identity::parse("").unwrap_err(), IdentityFault::NoKey);
    assert_eq!(Identity::parse(&public).unwrap_err(), IdentityFault::NoKey);
    assert_eq!(Identity::parse("age-encryption.org/v1\n").unwrap_err(), IdentityFault::Encrypted);
    assert_eq!(Identity::parse(&both.repeat(33)).unwrap_err(), IdentityFault::Many);
    assert_eq!(format!("{identity:?}"), "Identity");
}
