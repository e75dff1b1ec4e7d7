//! A recording that is encrypted to a customer's key: only he reads it, by the program `age` too, and anybody verifies it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod common;

use common::{Device, DiskStore, facts, read_all, second, text, verdict};
use drawbridge_chain::Verdict;
use drawbridge_recording::{
    Bundle, Clock, ContentKey, Event, FolderFiles, FolderStore, KEY_FILE, Quoted, Recipient, RecipientFault,
    RecordError, Recorder, Size, Store, open, opened_file, recover,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A customer's key pair, made by `age-keygen`: the private key's file stays in the folder.
struct Customer {
    folder: tempfile::TempDir,
    recipient: Recipient,
}

impl Customer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("age-keygen").arg("-o").arg(folder.path().join("identity")).output();
        let made = made.expect("age-keygen is not here: apt-get install age");
        assert!(made.status.success(), "{made:?}");
        let public = run(Command::new("age-keygen").arg("-y").arg(folder.path().join("identity")));
        let recipient = Recipient::parse(String::from_utf8(public).unwrap().trim()).unwrap();
        Self { folder, recipient }
    }

    /// The content key, as `age` finds it.
    fn content(&self, bundle: &Path) -> ContentKey {
        let identity = self.folder.path().join("identity");
        let found = run(Command::new("age").arg("-d").arg("-i").arg(identity).arg(bundle.join(KEY_FILE)));
        ContentKey::from_text(std::str::from_utf8(&found).unwrap()).unwrap()
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn begin<S: Store>(store: S, device: &Device, to: Option<&Recipient>) -> Result<Recorder<S>, RecordError> {
    Recorder::create(store, facts(), device.key(), to, Clock::new(common::day(), second(100)), second(100))
}

/// Something of everything, with words that nobody else may find.
fn work<S: Store>(recorder: &mut Recorder<S>, device: &Device) -> Result<(), RecordError> {
    let one = recorder.terminal(second(100), text("xterm"), Size::clamped(24, 80))?;
    recorder.output(one, second(101), b"$ ")?;
    recorder.typed(one, second(101), b"show patients\r", false)?;
    recorder.flush()?;
    recorder.output(one, second(101), b"show patients\r\nDOE, JANE\r\n$ ")?;
    recorder.seal(second(102))?;
    if let Some(to_sign) = recorder.to_sign(second(102))? {
        recorder.signed(&to_sign, device.sign(&to_sign))?;
    }
    recorder.event(second(102), Event::Command { command: Quoted::of(b"cat patients"), terminal: None })?;
    recorder.output(one, second(103), &b"DOE, JANE ".repeat(10_000))?;
    recorder.resize(one, second(103), Size::clamped(50, 132))?;
    recorder.seal(second(104))
}

fn end<S: Store>(recorder: &mut Recorder<S>, device: &Device) {
    let end = recorder.finish(second(107), text("he left")).unwrap();
    recorder.signed(&end, device.sign(&end)).unwrap();
}

/// All encrypted files of a bundle, in the clear.
fn opened(bundle: &Path, content: &ContentKey) -> BTreeMap<String, Vec<u8>> {
    let files = FolderFiles::new(bundle);
    let mut all = BTreeMap::new();
    for name in open::names(&files).unwrap() {
        let mut bytes = Vec::new();
        let opened = open::open(&files, &name, content, &mut bytes).unwrap();
        assert_eq!((opened.bytes, opened.cut), (bytes.len() as u64, None));
        all.insert(name, bytes);
    }
    all
}

#[test]
fn who_has_the_private_key_reads_all_of_it_and_nobody_else_a_word_of_what_happened() {
    let (device, customer) = (Device::new(1), Customer::new());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a1");
    let mut recorder =
        begin(FolderStore::create(&path).unwrap(), &device, Some(&customer.recipient)).unwrap();
    let live = recorder.content_key().unwrap().clone();
    work(&mut recorder, &device).unwrap();
    end(&mut recorder, &device);

    // Anybody verifies it, sees who came in, and finds nothing of what he did.
    assert_eq!(verdict(&path, &device).verdict, Verdict::Whole { end: text("he left") });
    let bundle = Bundle::open(FolderFiles::new(&path)).unwrap();
    assert_eq!(bundle.facts(), &facts());
    assert_eq!(bundle.recipient(), Some(customer.recipient.as_str()));
    assert_eq!(bundle.duration().unwrap(), second(7));
    let kinds: Vec<_> = read_all(&bundle).into_iter().map(|entry| entry.event).collect();
    let recipient = text(customer.recipient.as_str());
    assert_eq!(
        kinds,
        [Event::Began(facts()), Event::Encrypted { recipient }, Event::Ended { reason: text("he left") }]
    );
    let names = ["chain.jsonl", "events.jsonl", "events.jsonl.sealed", KEY_FILE];
    let secret = ["terminal-1.ttyrec.sealed", "typed-1.jsonl.sealed"];
    let mut found = Vec::new();
    for entry in path.read_dir().unwrap() {
        let entry = entry.unwrap();
        found.push(entry.file_name().into_string().unwrap());
        let bytes = std::fs::read(entry.path()).unwrap();
        for word in ["patients", "JANE", "xterm", "uname"] {
            assert!(!bytes.windows(word.len()).any(|part| part == word.as_bytes()), "{word} in {found:?}");
        }
    }
    found.sort();
    assert_eq!(found, names.iter().chain(&secret).map(|name| (*name).to_owned()).collect::<Vec<_>>());

    // The customer reads by `age` what would be there without encryption, byte for byte, but for the word that it was.
    let plain = DiskStore::default();
    let mut recorder = begin(plain.clone(), &device, None).unwrap();
    work(&mut recorder, &device).unwrap();
    end(&mut recorder, &device);
    for content in [customer.content(&path), live] {
        let mut read = opened(&path, &content);
        let events = String::from_utf8(read.remove("events.jsonl").unwrap()).unwrap();
        let without: String =
            events.split_inclusive('\n').filter(|line| !line.contains("\"kind\":\"encrypted\"")).collect();
        assert_eq!(without.as_bytes(), plain.file("events.jsonl"));
        assert_eq!(read.keys().collect::<Vec<_>>(), ["terminal-1.ttyrec", "typed-1.jsonl"]);
        for (name, bytes) in read {
            assert_eq!(bytes, plain.file(&name), "{name}");
        }
    }

    // Another's key does not.
    let other = Customer::new();
    let identity = other.folder.path().join("identity");
    let tried = Command::new("age").arg("-d").arg("-i").arg(identity).arg(path.join(KEY_FILE)).output();
    assert!(!tried.unwrap().status.success());
    let files = FolderFiles::new(&path);
    let wrong = open::open(&files, "events.jsonl", &ContentKey::generate().unwrap(), std::io::sink());
    assert!(wrong.unwrap_err().to_string().contains("the key is another recording's"));
    assert!(open::open(&files, "typed-9.jsonl", &customer.content(&path), std::io::sink()).is_err());
}

#[test]
fn an_encrypted_recording_that_is_cut_at_any_byte_is_closed_without_a_key_and_opens_to_there() {
    let (device, customer) = (Device::new(1), Customer::new());
    let store = DiskStore::default();
    let mut recorder = begin(store.clone(), &device, Some(&customer.recipient)).unwrap();
    let content = recorder.content_key().unwrap().clone();
    work(&mut recorder, &device).unwrap();
    let plain = DiskStore::default();
    work(&mut begin(plain.clone(), &device, None).unwrap(), &device).unwrap();
    let total: usize = store.writes().iter().map(|(_, bytes)| bytes.len()).sum();
    let now = common::day() + Duration::from_secs(500);
    // Each byte of the small ones, and some of the burst.
    let cuts = (store.header_bytes()..6000).step_by(7).chain((6000..total).step_by(2999)).chain([total]);
    for cut in cuts {
        let folder = tempfile::tempdir().unwrap();
        let (files, durable) = store.cut_at(cut);
        for (name, bytes) in &files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let mut closed = recover(folder.path(), now).unwrap();
        let to_sign = closed.to_sign().unwrap();
        closed.signed(&to_sign, device.sign(&to_sign)).unwrap();
        let report = verdict(folder.path(), &device);
        assert_eq!(report.verdict, Verdict::Whole { end: text("cut") }, "{cut}: {report:?}");
        for (name, sealed) in durable {
            let kept = std::fs::read(folder.path().join(&name)).unwrap();
            assert!(kept.starts_with(&files[&name][..sealed.min(files[&name].len())]), "{cut}: {name}");
        }
        if let Some(key) = files.get(KEY_FILE).filter(|key| key.len() == store.file(KEY_FILE).len()) {
            assert_eq!(std::fs::read(folder.path().join(KEY_FILE)).unwrap(), *key, "{cut}");
        }
        let read = opened(folder.path(), &content);
        for (name, bytes) in &read {
            if name == "events.jsonl" {
                let text = std::str::from_utf8(bytes).unwrap();
                assert!(
                    text.ends_with("\"event\":{\"kind\":\"ended\",\"reason\":\"cut\"}}\n"),
                    "{cut}: {text}"
                );
            } else {
                assert!(plain.file(name).starts_with(bytes), "{cut}: {name}");
            }
        }
        if cut == total {
            assert_eq!(read["terminal-1.ttyrec"], plain.file("terminal-1.ttyrec"));
            // It was signed after two seconds, and so it was at least so long.
            assert_eq!(Bundle::open(FolderFiles::new(folder.path())).unwrap().duration().unwrap(), second(2));
        }
    }
}

#[test]
fn a_public_key_is_taken_as_age_makes_it_and_all_else_is_told_apart() {
    let customer = Customer::new();
    let good = customer.recipient.as_str().to_owned();
    assert_eq!(Recipient::parse(&good.to_uppercase()).unwrap(), customer.recipient);
    let identity = std::fs::read_to_string(customer.folder.path().join("identity")).unwrap();
    let private = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    assert_eq!(Recipient::parse(private).unwrap_err(), RecipientFault::Private);
    assert_eq!(Recipient::parse(&private.to_lowercase()).unwrap_err(), RecipientFault::Private);
    let mut mistyped = good.clone();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'q' { 'p' } else { 'q' });
    let too_long = "q".repeat(200);
    for wrong in
        ["", "age1", &mistyped, &good[..61], &format!("{good} "), &too_long, "ssh-ed25519 AAAA", "\u{e4}ge1"]
    {
        assert_eq!(Recipient::parse(wrong).unwrap_err(), RecipientFault::Other, "{wrong}");
    }
    // The point 0 makes every secret the same (RFC 7748, section 6.1).
    let zero = bech32::encode::<bech32::Bech32>(bech32::Hrp::parse("age").unwrap(), &[0; 32]).unwrap();
    assert_eq!(Recipient::parse(&zero).unwrap_err(), RecipientFault::Weak);
    let short = bech32::encode::<bech32::Bech32>(bech32::Hrp::parse("age").unwrap(), &[9; 31]).unwrap();
    assert_eq!(Recipient::parse(&short).unwrap_err(), RecipientFault::Other);
    assert_eq!(opened_file("a.sealed"), Some("a"));
}
