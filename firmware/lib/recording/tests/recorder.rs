//! A recorder on a disk that works, fails or is cut at any byte, and the bundle that it leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod common;

use common::{Device, DiskStore, facts, read_all, second, text, verdict};
use drawbridge_chain::{Break, Verdict};
use drawbridge_recording::{
    Bundle, Clock, Event, FolderFiles, FolderStore, FrameReader, MOST_TERMINALS, Quoted, RecordError,
    Recorder, Size, Store, Typed, recover,
};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn begin<S: Store>(store: S, device: &Device) -> Result<Recorder<S>, RecordError> {
    Recorder::create(store, facts(), device.key(), None, Clock::new(common::day(), second(100)), second(100))
}

/// Something of everything, in 4 seconds.
fn work<S: Store>(recorder: &mut Recorder<S>, device: &Device) -> Result<(), RecordError> {
    let one = recorder.terminal(second(100), text("xterm"), Size::clamped(24, 80))?;
    recorder.output(one, second(101), b"$ ")?;
    recorder.typed(one, second(101), b"ls\r", false)?;
    recorder.output(one, second(101), b"ls\r\nfile\r\n$ ")?;
    recorder.seal(second(102))?;
    if let Some(to_sign) = recorder.to_sign(second(102))? {
        recorder.signed(&to_sign, device.sign(&to_sign))?;
    }
    recorder.event(second(102), Event::Command { command: Quoted::of(b"uname -a"), terminal: None })?;
    recorder.resize(one, second(103), Size::clamped(50, 132))?;
    recorder.seal(second(104))
}

#[test]
fn a_bundle_comes_back_as_it_was_recorded_and_is_whole() {
    let device = Device::new(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a1");
    let mut recorder = begin(FolderStore::create(&path).unwrap(), &device).unwrap();
    work(&mut recorder, &device).unwrap();
    let end = recorder.finish(second(107), text("he left")).unwrap();
    assert!(!recorder.is_whole());
    recorder.signed(&end, device.sign(&end)).unwrap();
    assert!(recorder.is_whole());
    assert_eq!(recorder.seal(second(108)), Err(RecordError::Ended));

    let report = verdict(&path, &device);
    assert_eq!(report.verdict, Verdict::Whole { end: text("he left") });
    assert_eq!(report.signed, report.blocks);
    let bundle = Bundle::open(FolderFiles::new(&path)).unwrap();
    assert_eq!(bundle.facts(), &facts());
    assert_eq!(bundle.terminals(), [1]);
    assert_eq!(bundle.duration().unwrap(), second(7));
    let events = read_all(&bundle);
    let kinds: Vec<_> = events.iter().map(|entry| (entry.after().as_secs(), entry.event.clone())).collect();
    assert_eq!(kinds[0], (0, Event::Began(facts())));
    assert_eq!(kinds[3], (3, Event::Window { terminal: 1, size: Size::clamped(50, 132) }));
    assert_eq!(kinds[4], (7, Event::Ended { reason: text("he left") }));
    let mut frames = bundle.frames(1).unwrap();
    let mut seen = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        seen.push((
            frame.time.as_secs() - common::day().duration_since(UNIX_EPOCH).unwrap().as_secs(),
            frame.data.clone(),
        ));
    }
    let expected: [(u64, &[u8]); 4] =
        [(0, b"\x1b[8;24;80t"), (1, b"$ "), (1, b"ls\r\nfile\r\n$ "), (3, b"\x1b[8;50;132t")];
    assert_eq!(seen, expected.map(|(at, data)| (at, data.to_vec())));
    let typed = bundle.typed(1).unwrap().unwrap().next_typed().unwrap();
    assert_eq!(typed, Some(Typed::Shown { after: 1_000_000, text: Quoted::of(b"ls\r") }));
    // Nobody but its user reads it.
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o77, 0);
    assert_eq!(path.join("typed-1.jsonl").metadata().unwrap().permissions().mode() & 0o77, 0);
}

#[test]
fn what_is_typed_unseen_is_a_count_in_one_line_and_in_no_file() {
    let device = Device::new(1);
    let store = DiskStore::default();
    let mut recorder = begin(store.clone(), &device).unwrap();
    let one = recorder.terminal(second(100), text("xterm"), Size::clamped(24, 80)).unwrap();
    recorder.typed(one, second(100), b"sudo x\r", false).unwrap();
    for (at, letter) in b"hunter2\r".iter().enumerate() {
        recorder.typed(one, second(101 + at as u64), &[*letter], true).unwrap();
        recorder.seal(second(101 + at as u64)).unwrap();
    }
    recorder.typed(one, second(110), b"half", true).unwrap();
    recorder.typed(one, second(111), b"y", false).unwrap();
    recorder.typed(one, second(112), b"rest", true).unwrap();
    recorder.finish(second(113), text("end")).unwrap();
    let typed = String::from_utf8(store.file("typed-1.jsonl")).unwrap();
    let lines: Vec<_> = typed.lines().collect();
    assert_eq!(
        lines[1..],
        [
            "{\"after\":8000000,\"masked\":8}",
            "{\"after\":11000000,\"masked\":4}",
            "{\"after\":11000000,\"text\":{\"text\":\"y\"}}",
            "{\"after\":13000000,\"masked\":4}",
        ]
    );
    for (name, bytes) in store.files() {
        for secret in [b"hunter2".as_slice(), b"half", b"rest", b"h\",", b"unter"] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{name}");
        }
    }
}

#[test]
fn no_time_in_a_recording_steps_back_whatever_is_done_to_the_clocks() {
    let device = Device::new(1);
    let store = DiskStore::default();
    let mut recorder = begin(store.clone(), &device).unwrap();
    let one = recorder.terminal(second(100), text("xterm"), Size::clamped(24, 80)).unwrap();
    for at in [105, 103, 0, 109, 1, 110] {
        recorder.output(one, second(at), b"x").unwrap();
    }
    let bytes = store.file("terminal-1.ttyrec");
    let mut last = 0;
    let mut at = 0;
    while at < bytes.len() {
        let word = |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap());
        assert!(word(at) >= last, "the raw header, which players read");
        last = word(at);
        at += 12 + word(at + 8) as usize;
    }
    assert_eq!(u64::from(last), common::day().duration_since(UNIX_EPOCH).unwrap().as_secs() + 10);
}

#[test]
fn a_program_cannot_announce_a_size_to_a_player_of_the_recording() {
    let device = Device::new(1);
    let store = DiskStore::default();
    let mut recorder = begin(store.clone(), &device).unwrap();
    let one = recorder.terminal(second(100), text("xterm"), Size::clamped(24, 80)).unwrap();
    recorder.output(one, second(101), b"\x1b[8;1;1t").unwrap();
    let mut long = vec![b'x'; drawbridge_recording::FRAME_BYTES];
    long.extend_from_slice(b"\x1b[8;1;1t");
    recorder.output(one, second(101), &long).unwrap();
    recorder.output(one, second(101), b"").unwrap();
    recorder.seal(second(102)).unwrap();
    let bytes = store.file("terminal-1.ttyrec");
    let mut frames = FrameReader::new(bytes.as_slice());
    let (mut sizes, mut data) = (0, Vec::new());
    while let Some(frame) = frames.next_frame().unwrap() {
        sizes += usize::from(Size::announced(&frame.data).is_some());
        data.extend_from_slice(&frame.data);
    }
    assert_eq!(sizes, 1);
    assert_eq!(data, [b"\x1b[8;24;80t\x1b[8;1;1t".as_slice(), &long].concat());
}

#[test]
fn after_any_error_of_the_disk_every_call_says_so_and_what_was_sealed_is_whole() {
    let device = Device::new(1);
    let whole = {
        let store = DiskStore::default();
        work(&mut begin(store.clone(), &device).unwrap(), &device).unwrap();
        store.files().values().map(Vec::len).sum::<usize>()
    };
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::Other];
    for room in 0..whole {
        let store = DiskStore::default();
        store.limit(room, kinds[room % 2]);
        let failed = match begin(store.clone(), &device) {
            Err(error) => error,
            Ok(mut recorder) => {
                let error = work(&mut recorder, &device).unwrap_err();
                store.unlimit();
                let before = store.files();
                // There is room again, and nothing is taken all the same.
                assert_eq!(recorder.seal(second(110)), Err(error.clone()), "{room}");
                assert_eq!(
                    recorder.event(second(110), Event::Ended { reason: text("x") }),
                    Err(error.clone())
                );
                assert_eq!(recorder.finish(second(110), text("end")), Err(error.clone()));
                assert_eq!(recorder.to_sign(second(110)), Err(error.clone()));
                assert!(matches!(
                    recorder.terminal(second(110), text("x"), Size::clamped(1, 1)),
                    Err(RecordError::Failed(_))
                ));
                assert!(recorder.failure().is_some());
                assert_eq!(store.files(), before);
                error
            }
        };
        assert!(matches!(&failed, RecordError::Failed(why) if !why.is_empty()), "{room}: {failed:?}");
        if let Ok(report) = store.verify(&device) {
            assert!(matches!(report.breaks.as_slice(), [] | [Break::Torn(_)]), "{room}: {report:?}");
        }
    }
}

#[test]
fn an_error_of_a_sync_or_of_a_new_file_is_one_for_good() {
    let device = Device::new(1);
    for number in 1..40 {
        for is_sync in [true, false] {
            let store = DiskStore::default();
            store.fail_at(if is_sync { number } else { 0 }, if is_sync { 0 } else { number });
            let result = begin(store.clone(), &device).and_then(|mut recorder| {
                let result = work(&mut recorder, &device);
                if let Err(error) = &result {
                    assert_eq!(recorder.seal(second(200)), Err(error.clone()));
                }
                result
            });
            assert_eq!(result.is_err(), store.has_failed(), "{number} {is_sync}");
        }
    }
}

#[test]
fn a_bundle_that_is_cut_at_any_byte_is_closed_with_all_that_was_sealed() {
    let device = Device::new(1);
    let store = DiskStore::default();
    work(&mut begin(store.clone(), &device).unwrap(), &device).unwrap();
    let writes = store.writes();
    let total: usize = writes.iter().map(|(_, bytes)| bytes.len()).sum();
    let header = store.header_bytes();
    let now = common::day() + Duration::from_secs(500);
    for cut in (header..=total).step_by(3).chain([total]) {
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
        // All frames and events can be read to their ends.
        if let Ok(bundle) = Bundle::open(FolderFiles::new(folder.path())) {
            let events = read_all(&bundle);
            assert_eq!(events.last().unwrap().event, Event::Ended { reason: text("cut") });
            for terminal in bundle.terminals() {
                let mut frames = bundle.frames(*terminal).unwrap();
                while frames.next_frame().unwrap().is_some() {}
            }
        }
        // Once more changes nothing.
        let before = std::fs::read(folder.path().join("chain.jsonl")).unwrap();
        assert_eq!(recover(folder.path(), now).unwrap().to_sign(), None);
        assert_eq!(std::fs::read(folder.path().join("chain.jsonl")).unwrap(), before);
    }
}

#[test]
fn what_was_written_is_sealed_within_a_second_also_without_a_call_for_it() {
    let device = Device::new(1);
    let store = DiskStore::default();
    let mut recorder = begin(store.clone(), &device).unwrap();
    let one = recorder.terminal(second(100), text("xterm"), Size::clamped(24, 80)).unwrap();
    assert_eq!(recorder.seal_due(), second(101));
    let head = recorder.head();
    recorder.output(one, Duration::from_millis(100_999), b"a").unwrap();
    assert_eq!(recorder.head(), head);
    recorder.output(one, second(101), b"b").unwrap();
    assert_ne!(recorder.head(), head);
    assert_eq!(store.file("terminal-1.ttyrec").len(), 12 + 10 + 13 + 13);
    // Nothing new costs nothing.
    let syncs = store.syncs();
    recorder.seal(second(105)).unwrap();
    assert_eq!(store.syncs(), syncs);
    // A burst is not kept back.
    for _ in 0..600 {
        recorder.output(one, second(105), &vec![7; 32 * 1024]).unwrap();
    }
    assert!(store.file("terminal-1.ttyrec").len() > 16 * 1024 * 1024 && store.syncs() > syncs);
}

#[test]
fn terminals_are_bounded_and_a_strange_one_is_refused_without_harm() {
    let device = Device::new(1);
    let store = DiskStore::default();
    let mut recorder = begin(store.clone(), &device).unwrap();
    let mut last = None;
    for _ in 0..MOST_TERMINALS {
        let terminal = recorder.terminal(second(100), text("xterm"), Size::clamped(24, 80)).unwrap();
        recorder.typed(terminal, second(100), b"x", false).unwrap();
        last = Some(terminal);
    }
    assert_eq!(recorder.terminal(second(100), text("xterm"), Size::clamped(24, 80)), Err(RecordError::Many));
    let mut other = begin(DiskStore::default(), &device).unwrap();
    assert_eq!(other.output(last.unwrap(), second(100), b"x"), Err(RecordError::NoTerminal(MOST_TERMINALS)));
    other.seal(second(100)).unwrap();
    let end = recorder.finish(second(101), text("end")).unwrap();
    assert!(matches!(recorder.signed(&end, Device::new(2).sign(&end)), Err(RecordError::Signature(_))));
    recorder.signed(&end, device.sign(&end)).unwrap();
    assert!(matches!(store.verify(&device).unwrap().verdict, Verdict::Whole { .. }));
}

#[test]
fn a_bundle_that_was_interfered_with_is_not_closed_as_if_it_was_cut() {
    let device = Device::new(1);
    let store = DiskStore::default();
    work(&mut begin(store.clone(), &device).unwrap(), &device).unwrap();
    let lay = |change: &dyn Fn(&std::path::Path)| {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in store.files() {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        change(folder.path());
        recover(folder.path(), SystemTime::now()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(lay(&|_| ()), Ok(()));
    assert!(lay(&|path| std::fs::write(path.join("Notes"), "x").unwrap()).unwrap_err().contains("Notes"));
    assert!(
        lay(&|path| std::fs::remove_file(path.join("typed-1.jsonl")).unwrap())
            .unwrap_err()
            .contains("typed-1")
    );
    assert!(
        lay(&|path| std::os::unix::fs::symlink("/etc/passwd", path.join("terminal-9.ttyrec")).unwrap())
            .unwrap_err()
            .contains("terminal-9")
    );
    assert!(
        lay(&|path| std::fs::write(path.join("events.jsonl"), "").unwrap())
            .unwrap_err()
            .contains("events.jsonl")
    );
    // Bytes beyond the seal that are no records are dropped, and that is told.
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in store.files() {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let path = folder.path().join("terminal-1.ttyrec");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0; 4096]);
    std::fs::write(&path, &bytes).unwrap();
    let closed = recover(folder.path(), SystemTime::now()).unwrap();
    assert_eq!((closed.dropped(), closed.taken()), (4096, 0));
}
