use super::*;
use drawbridge_chain::{Expected, FolderTracks, Signature, Text, ToSign, Verdict, verify};
use drawbridge_recording::{Clock, FolderStore, Recorder, Size};
use drawbridge_wire::upload::RecordingName;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

const NAME: &str = "20261127T014500Z-3fa9c01d";

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
}

fn key() -> DeviceKey {
    DeviceKey(pair().public_key().as_ref().try_into().unwrap())
}

fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).unwrap()
}

/// A small recording with an end: its lines, with what they name.
fn recording(folder: &Path) -> Vec<ChainLine> {
    let path = folder.join(NAME);
    let facts = Facts {
        id: text(NAME),
        serial: text("SN-1"),
        system: text("box-1"),
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
    let mut recorder = Recorder::create(store, facts, key(), None, clock, Duration::ZERO).unwrap();
    let terminal = recorder.terminal(Duration::ZERO, text("xterm"), Size::clamped(24, 80)).unwrap();
    let sign = |to_sign: &ToSign| Signature(pair().sign(&to_sign.bytes()).as_ref().try_into().unwrap());
    for second in 1..=3 {
        let now = Duration::from_secs(second);
        recorder.output(terminal, now, b"ten bytes.").unwrap();
        recorder.seal(now).unwrap();
    }
    let to_sign = recorder.to_sign(Duration::from_secs(4)).unwrap().unwrap();
    recorder.signed(&to_sign, sign(&to_sign)).unwrap();
    let to_sign = recorder.finish(Duration::from_secs(5), text("he left")).unwrap();
    recorder.signed(&to_sign, sign(&to_sign)).unwrap();
    let chain = fs::read(path.join(FILE)).unwrap();
    let line = |line: &[u8]| {
        let data = match Line::parse(line).unwrap() {
            Line::Block(block) => {
                let (from, length) =
                    (usize::try_from(block.offset).unwrap(), usize::try_from(block.length).unwrap());
                fs::read(path.join(block.track.as_str())).unwrap()[from..from + length].to_vec()
            }
            _ => Vec::new(),
        };
        ChainLine::new(line.to_vec(), data).unwrap()
    };
    chain.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(line).collect()
}

fn open(data: &Path) -> Result<Intake, Refusal> {
    let called = Called::new("SN-1", RecordingName::parse(NAME).unwrap()).unwrap();
    let room = Room { each: 1 << 20, all: 1 << 20, left: 1 << 20 };
    Intake::open(Archive::new(data), called, "SN-1".to_owned(), vec![key()], room)
}

fn folder(data: &Path) -> std::path::PathBuf {
    data.join("sessions/sn-1").join(NAME)
}

/// What the verifier says of what was kept; none when nothing was.
fn verdict(data: &Path) -> Option<Verdict> {
    let chain = File::open(folder(data).join(FILE)).ok()?;
    let report =
        verify(BufReader::new(chain), &mut FolderTracks::new(folder(data)), &Expected::Key(key())).unwrap();
    assert!(report.breaks.is_empty() && report.beyond == 0, "{report:#?}");
    Some(report.verdict)
}

fn again(line: &ChainLine, change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> Option<ChainLine> {
    let (mut text, mut data) = (line.line().to_vec(), line.data().to_vec());
    change(&mut text, &mut data);
    ChainLine::new(text, data)
}

#[test]
fn a_bit_that_is_flipped_anywhere_is_refused_and_what_stands_before_it_is_kept_and_proved() {
    let home = tempfile::tempdir().unwrap();
    let lines = recording(home.path());
    let mut tried = 0;
    for (number, line) in lines.iter().enumerate() {
        for at in (number % 7..line.line().len()).step_by(31).chain((0..line.data().len()).step_by(13)) {
            for in_data in [false, true] {
                let changed = again(line, |text, data| {
                    let bytes = if in_data { data } else { text };
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1;
                    }
                });
                let Some(changed) = changed.filter(|changed| changed != line) else { continue };
                let data = tempfile::tempdir().unwrap();
                let mut sent = lines.clone();
                sent[number] = changed;
                let refused = open(data.path()).unwrap().keep(&sent);
                assert!(refused.is_err(), "line {number}, byte {at}");
                assert_ne!(refused.unwrap_err().to_string(), "", "line {number}");
                let kept = verdict(data.path());
                // A first line has none before it that would tell that it was changed: the next one tells.
                assert!(kept.is_some() || number == 0, "line {number}");
                assert!(!matches!(kept, Some(Verdict::Whole { .. })), "line {number}");
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn a_line_that_is_left_out_repeated_or_moved_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let lines = recording(home.path());
    for at in 0..lines.len() - 1 {
        let (mut out, mut twice, mut moved) = (lines.clone(), lines.clone(), lines.clone());
        out.remove(at);
        twice.insert(at, lines[at].clone());
        moved.swap(at, at + 1);
        for (how, sent) in [("out", out), ("twice", twice), ("moved", moved)] {
            let data = tempfile::tempdir().unwrap();
            let mut intake = open(data.path()).unwrap();
            assert!(intake.keep(&sent).is_err(), "line {at} {how}");
            // The rest of the truth is taken afterwards, from where it is.
            let mut intake = open(data.path()).unwrap();
            let Answer::Has { chain, .. } = intake.has() else { panic!() };
            let mut before = 0;
            let left: Vec<_> = lines
                .iter()
                .skip_while(|line| {
                    let is_there = before < chain;
                    before += line.line().len() as u64 + 1;
                    is_there
                })
                .cloned()
                .collect();
            intake.keep(&left).unwrap();
            assert!(matches!(verdict(data.path()), Some(Verdict::Whole { .. })), "line {at} {how}");
        }
    }
}

#[test]
fn a_cut_of_the_servers_own_disk_at_any_place_is_resumed_from_its_last_whole_line() {
    let home = tempfile::tempdir().unwrap();
    let lines = recording(home.path());
    let whole = tempfile::tempdir().unwrap();
    open(whole.path()).unwrap().keep(&lines).unwrap();
    let chain = fs::read(folder(whole.path()).join(FILE)).unwrap();
    for length in (0..chain.len()).step_by(17).chain([chain.len() - 1, chain.len()]) {
        // What lines name was on the disk before them: it is all there, and more than they name.
        let data = tempfile::tempdir().unwrap();
        let here = folder(data.path());
        fs::create_dir_all(&here).unwrap();
        for file in fs::read_dir(folder(whole.path())).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), here.join(file.file_name())).unwrap();
        }
        fs::write(here.join(FILE), &chain[..length]).unwrap();
        let mut intake = open(data.path()).unwrap();
        let Answer::Has { chain: has, .. } = intake.has() else { panic!() };
        let expected = chain[..length].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        assert_eq!(has, expected as u64, "cut at {length}");
        let mut at = 0;
        let left: Vec<_> = lines
            .iter()
            .filter(|line| {
                at += line.line().len() as u64 + 1;
                at > has
            })
            .cloned()
            .collect();
        if has == 0 {
            // Nothing says how long the files are to be: they are begun anew.
            for name in ["events.jsonl", "terminal-1.ttyrec"] {
                assert!(
                    !here.join(name).exists() || fs::metadata(here.join(name)).unwrap().len() == 0,
                    "{name}"
                );
            }
        }
        intake.keep(&left).unwrap();
        assert!(matches!(verdict(data.path()), Some(Verdict::Whole { .. })), "cut at {length}");
    }
}

#[test]
fn what_is_missing_of_what_was_kept_is_told_as_damage_and_nothing_is_added_to_it() {
    let home = tempfile::tempdir().unwrap();
    let lines = recording(home.path());
    let data = tempfile::tempdir().unwrap();
    let half = lines.len() / 2;
    open(data.path()).unwrap().keep(&lines[..half]).unwrap();
    let path = folder(data.path()).join("events.jsonl");
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..content.len() - 1]).unwrap();
    assert!(matches!(open(data.path()), Err(Refusal::Damaged(_))));
    fs::remove_file(&path).unwrap();
    assert!(matches!(open(data.path()), Err(Refusal::Damaged(_))));
    // Lines in the middle that are none.
    fs::write(&path, &content).unwrap();
    let chain = folder(data.path()).join(FILE);
    let text = fs::read_to_string(&chain).unwrap();
    fs::write(&chain, text.replacen("\"block\"", "\"blick\"", 1)).unwrap();
    assert!(matches!(open(data.path()), Err(Refusal::Damaged(_))));
}

#[test]
fn files_grow_no_further_than_there_is_room_and_the_line_that_is_too_much_is_told() {
    let home = tempfile::tempdir().unwrap();
    let lines = recording(home.path());
    let data = tempfile::tempdir().unwrap();
    for (room, words) in [
        (Room { each: 1000, all: 1 << 20, left: 1 << 20 }, "longer than the 1000 bytes"),
        (Room { each: 1 << 20, all: 5000, left: 1000 }, "room for: 5000 bytes"),
    ] {
        let mut intake = open(data.path()).unwrap();
        intake.keep_to(vec![key()], room);
        let refused = intake.keep(&lines).unwrap_err();
        assert!(refused.to_string().contains(words) && refused.remedy().contains("operator"), "{refused}");
        let taken: u64 = fs::read_dir(folder(data.path()))
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!((1..=1000).contains(&taken), "{taken}");
        assert!(matches!(verdict(data.path()), Some(Verdict::Unfinished)));
        fs::remove_dir_all(folder(data.path())).unwrap();
    }
}
