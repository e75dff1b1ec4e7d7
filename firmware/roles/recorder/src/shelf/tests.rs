use super::*;
use crate::tape::Tape;
use drawbridge_bus::record::RecordingFacts;
use drawbridge_bus::support::{GrantId, Level};
use drawbridge_chain::{DeviceKey, Signature};
use drawbridge_recording::FolderStore;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

fn facts() -> RecordingFacts {
    RecordingFacts {
        grant: (GrantId(7), "case 7".to_owned()),
        level: Level::Watched,
        engineer: "anna".to_owned(),
        login: "support".to_owned(),
        source: "192.0.2.7".parse().unwrap(),
        system: ("box-7".to_owned(), "4711".to_owned()),
    }
}

fn id(name: &str) -> RecordingId {
    RecordingId::parse(name).unwrap()
}

/// A recording with an end and its signature.
fn lay(shelf: &Shelf, name: &str, bytes: usize) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let key = DeviceKey(pair.public_key().as_ref().try_into().unwrap());
    let folder = shelf.folder_of(&id(name));
    let mut tape =
        Tape::begin(FolderStore::create(folder.clone()).unwrap(), &id(name), &facts(), key, None).unwrap();
    let open = drawbridge_bus::record::RecordAsk::Open {
        channel: 1,
        what: drawbridge_bus::record::RecordedUse::Terminal { size: (80, 24), command: None },
    };
    tape.take(open).unwrap();
    for _ in 0..bytes / 1024 {
        let bytes = vec![b'x'; 1024];
        tape.take(drawbridge_bus::record::RecordAsk::Output { channel: 1, errors: false, bytes }).unwrap();
    }
    tape.end("he left").unwrap();
    let mut closed = drawbridge_recording::recover(&folder, SystemTime::now()).unwrap();
    let of = closed.to_sign().unwrap();
    closed.signed(&of, Signature(pair.sign(&of.bytes()).as_ref().try_into().unwrap())).unwrap();
}

#[test]
fn recordings_are_listed_from_the_folder_the_latest_first_and_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    lay(&shelf, "20260102T000000Z-00000001", 0);
    lay(&shelf, "20260101T000000Z-00000002", 4096);
    for other in ["x.confirmed", "20260103T000000Z-00000003.gone", "some.thing"] {
        std::fs::create_dir(folder.path().join(other)).unwrap();
    }
    std::fs::write(folder.path().join("file"), "").unwrap();
    let lines = shelf.lines(None, |_| None).unwrap();
    assert_eq!(lines.len(), 2);
    let first = &lines[0];
    assert_eq!(
        (first.id.as_str(), first.running, first.end.as_str()),
        ("20260102T000000Z-00000001", false, "he left")
    );
    assert_eq!(first.facts, Some(facts()));
    assert!(first.head.is_some() && !first.confirmed && first.began > 1_700_000_000);
    let names: Vec<_> = lines[1].files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["chain.jsonl", "events.jsonl", "terminal-1.ttyrec"]);
    assert!(lines[1].files[2].1 > 4096);
    let before = shelf.lines(Some(&first.id), |_| None).unwrap();
    assert_eq!(before, lines[1..]);
    assert_eq!(shelf.status().kept, 2);
    assert!(shelf.status().bytes.0 > 4096);
}

#[test]
fn what_lies_around_or_is_damaged_is_told_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    std::fs::create_dir(folder.path().join("20260105T000000Z-00000001")).unwrap();
    let broken = folder.path().join("20260104T000000Z-00000001");
    std::fs::create_dir(&broken).unwrap();
    for name in ["chain.jsonl", "events.jsonl"] {
        std::fs::write(broken.join(name), [0xff; 3000]).unwrap();
    }
    std::fs::create_dir(broken.join("a-folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", broken.join("terminal-1.ttyrec")).unwrap();
    lay(&shelf, "20260103T000000Z-00000001", 0);
    let lines = shelf.lines(None, |_| None).unwrap();
    assert_eq!(lines.iter().map(|line| line.facts.is_some()).collect::<Vec<_>>(), [false, false, true]);
    assert!(lines[..2].iter().all(|line| line.head.is_none() && line.end.contains("cannot be read")));
    assert_eq!(lines[1].files.len(), 2);
    assert!(shelf.part(&lines[1].id, "terminal-1.ttyrec", 0, 10).unwrap().is_none());
    assert!(!shelf.is_whole(&lines[1].id) && shelf.is_whole(&lines[2].id));
}

#[test]
fn parts_are_bounded_and_no_name_leads_out_of_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    let name = id("20260101T000000Z-00000001");
    lay(&shelf, name.as_str(), 300 * 1024);
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    std::fs::write(shelf.folder_of(&name).join(".hidden"), "secret").unwrap();
    let file = "terminal-1.ttyrec";
    let (mut whole, mut offset) = (Vec::new(), 0);
    loop {
        let (bytes, length) = shelf.part(&name, file, offset, u32::MAX).unwrap().unwrap();
        assert!(bytes.len() <= usize::try_from(PART_BYTES).unwrap());
        offset += u64::try_from(bytes.len()).unwrap();
        whole.extend(bytes);
        if offset == length {
            break;
        }
    }
    assert_eq!(whole, std::fs::read(shelf.folder_of(&name).join(file)).unwrap());
    assert_eq!(shelf.part(&name, file, 0, 7).unwrap().unwrap().0, whole[..7]);
    for offset in [offset, offset + 1, u64::MAX] {
        assert!(shelf.part(&name, file, offset, 7).unwrap().unwrap().0.is_empty());
    }
    for wrong in
        ["../secret", "/etc/passwd", "", ".", "..", ".hidden", "nothing.jsonl", "a/b", "chain.jsonl\0"]
    {
        assert!(shelf.part(&name, wrong, 0, 7).unwrap().is_none(), "{wrong:?}");
    }
    assert!(shelf.part(&id("20260101T000000Z-00000002"), file, 0, 7).unwrap().is_none());
}

#[test]
fn only_what_the_server_has_whole_is_removed_and_a_removal_that_was_cut_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    let (one, other) = (id("20260101T000000Z-00000001"), id("20260102T000000Z-00000001"));
    lay(&shelf, one.as_str(), 0);
    lay(&shelf, other.as_str(), 0);
    let confirm = |id: &RecordingId, text: &str| {
        std::fs::write(folder.path().join(format!("{id}{CONFIRMED}")), text).unwrap();
    };
    let confirmed =
        || -> Vec<bool> { shelf.lines(None, |_| None).unwrap().iter().map(|line| line.confirmed).collect() };
    let head = shelf.lines(None, |_| None).unwrap()[1].head.unwrap();
    // Of another state of the chain, or nonsense.
    confirm(&one, &hex(&[7; 32]));
    confirm(&other, &hex(&head));
    assert_eq!(confirmed(), [false, false]);
    confirm(&one, &format!("{}\n", hex(&head)));
    assert_eq!(confirmed(), [false, true]);
    shelf.remove(&one).unwrap();
    assert_eq!(shelf.ids().unwrap(), std::slice::from_ref(&other));
    assert!(!folder.path().join(format!("{one}{CONFIRMED}")).exists());
    // A cut between the steps of a removal.
    std::fs::rename(shelf.folder_of(&other), folder.path().join(format!("{other}{GONE}"))).unwrap();
    shelf.tidy().unwrap();
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn what_the_server_has_not_confirmed_is_told_what_runs_first_and_then_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    let names = ["20260101T000000Z-00000001", "20260102T000000Z-00000001", "20260103T000000Z-00000001"];
    for name in names {
        lay(&shelf, name, 0);
    }
    // It has begun, and has no chain yet.
    std::fs::create_dir(folder.path().join("20260104T000000Z-00000001")).unwrap();
    let running = BTreeSet::from([id(names[1])]);
    let told = |shelf: &Shelf| {
        let told = shelf.unsent(&running).unwrap();
        told.into_iter().map(|one| (one.id.to_string(), one.running, one.chain)).collect::<Vec<_>>()
    };
    let length = |name: &str| std::fs::metadata(folder.path().join(name).join(FILE)).unwrap().len();
    let line = |name: &str, running| (name.to_owned(), running, length(name));
    assert_eq!(told(&shelf), [line(names[1], true), line(names[0], false), line(names[2], false)]);
    let head = line::head(&shelf.folder_of(&id(names[0]))).unwrap();
    shelf.confirm(&id(names[0]), head).unwrap();
    assert_eq!(told(&shelf), [line(names[1], true), line(names[2], false)]);
    assert!(shelf.is_sent(&id(names[0])) && !shelf.is_sent(&id(names[2])));
    // Another process of the role knows it as well.
    let shelf = Shelf::new(folder.path());
    assert_eq!(told(&shelf), [line(names[1], true), line(names[2], false)]);
    assert!(shelf.lines(None, |_| None).unwrap().last().unwrap().confirmed);
}

#[test]
fn a_servers_word_for_something_else_than_what_is_here_confirms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    let name = id("20260101T000000Z-00000001");
    lay(&shelf, name.as_str(), 0);
    assert!(matches!(shelf.confirm(&name, [7; 32]), Err(sent::NotConfirmed::Other)));
    let nobody = id("20260102T000000Z-00000001");
    assert!(matches!(shelf.confirm(&nobody, [7; 32]), Err(sent::NotConfirmed::Other)));
    // Its end is not signed any more: what the server has is more than what is here.
    let head = line::head(&shelf.folder_of(&name)).unwrap();
    let chain = shelf.folder_of(&name).join(FILE);
    let whole = std::fs::read_to_string(&chain).unwrap();
    let cut = whole.trim_end().rsplit_once('\n').unwrap().0;
    std::fs::write(&chain, format!("{cut}\n")).unwrap();
    assert!(matches!(shelf.confirm(&name, head), Err(sent::NotConfirmed::Other)));
    assert!(!shelf.is_sent(&name) && shelf.unsent(&BTreeSet::new()).unwrap().len() == 1);
    std::fs::write(&chain, whole).unwrap();
    shelf.confirm(&name, head).unwrap();
    // What a cut left of writing it goes, and what was written stays.
    std::fs::write(folder.path().join(format!("{name}{CONFIRMING}")), "half").unwrap();
    shelf.tidy().unwrap();
    assert!(Shelf::new(folder.path()).is_sent(&name));
    assert!(!folder.path().join(format!("{name}{CONFIRMING}")).exists());
}
