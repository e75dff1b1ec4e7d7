//! Power cuts and failing disks: a chain comes back from a cut at any byte, and stops at the first error.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod common;

use common::{Device, Files, Shared, at, bundle, check, header};
use drawbridge_chain::{
    BLOCK_BYTES, ChainError, Expected, Header, Recovered, RecoveryFault, Text, Track, TrackName, Verdict,
    Writer,
};
use std::io;

/// Opens a bundle as it was left, takes up what lies beyond, writes one event more and ends it. What it then is.
fn go_on(files: &Files, device: &Device) -> Result<(Files, u64), RecoveryFault> {
    let recovered = Recovered::read(files["chain.jsonl"].as_slice())?;
    let disk = Shared::default();
    disk.0.borrow_mut().files.clone_from(files);
    let chain = disk.open("chain.jsonl");
    disk.0
        .borrow_mut()
        .files
        .get_mut("chain.jsonl")
        .unwrap()
        .truncate(usize::try_from(recovered.valid_bytes()).unwrap());
    let mut tracks = Vec::new();
    let mut beyond = 0;
    for (name, bytes) in files.iter().filter(|(name, _)| *name != "chain.jsonl") {
        let name = TrackName::new(name.clone()).unwrap();
        let more = recovered.beyond(&name, bytes.len() as u64)?;
        let sealed = bytes.len() as u64 - more;
        beyond += more;
        let mut track = Track::at(name.clone(), disk.open(name.as_str()), sealed);
        if recovered.state().end().is_none() {
            track.absorb(&bytes[usize::try_from(sealed).unwrap()..]).unwrap();
            if name.as_str() == "events.jsonl" {
                track.write(b"found after a cut\n").unwrap();
            }
        }
        tracks.push(track);
    }
    let is_whole = recovered.state().is_whole();
    let mut writer = Writer::resume(chain, recovered, beyond, at(9)).unwrap();
    if !is_whole {
        writer.seal(&mut tracks).unwrap();
        let to_sign = writer.end(Text::new("cut").unwrap(), at(10)).unwrap();
        writer.signed(&to_sign, device.sign(&to_sign)).unwrap();
    }
    Ok((disk.files(), beyond))
}

#[test]
fn a_cut_at_every_byte_of_everything_that_was_written_is_recovered_from() {
    let device = Device::new(1);
    let disk = Shared::default();
    let mut writer = Writer::create(disk.open("chain.jsonl"), header(&device, "a1")).unwrap();
    let header_bytes = disk.files()["chain.jsonl"].len();
    let (mut one, mut two) = (disk.track("events.jsonl"), disk.track("terminal-1.ttyrec"));
    for round in 0..3 {
        one.write(b"an event\n").unwrap();
        two.write(b"screen").unwrap();
        writer.seal([&mut one, &mut two]).unwrap();
        let to_sign = writer.to_sign(at(round)).unwrap().unwrap();
        writer.signed(&to_sign, device.sign(&to_sign)).unwrap();
    }
    let to_sign = writer.end(Text::new("end").unwrap(), at(4)).unwrap();
    writer.signed(&to_sign, device.sign(&to_sign)).unwrap();
    let parts = std::mem::take(&mut disk.0.borrow_mut().writes);
    let total: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
    for cut in header_bytes..=total {
        let mut files = Files::from([
            ("events.jsonl".to_owned(), Vec::new()),
            ("terminal-1.ttyrec".to_owned(), Vec::new()),
        ]);
        let mut left = cut;
        for (name, bytes) in &parts {
            let now = left.min(bytes.len());
            files.entry(name.clone()).or_default().extend_from_slice(&bytes[..now]);
            left -= now;
        }
        files.retain(|_, bytes| !bytes.is_empty());
        let before = files.clone();
        // What was sealed before the cut is right at once.
        let report = check(&before, &Expected::Key(device.key())).unwrap();
        assert!(
            report.breaks.iter().all(|wrong| matches!(wrong, drawbridge_chain::Break::Torn(_))),
            "{cut}: {report:?}"
        );
        let (after, beyond) = go_on(&files, &device).unwrap();
        let report = check(&after, &Expected::Key(device.key())).unwrap();
        assert!(matches!(report.verdict, Verdict::Whole { .. }), "{cut}: {report:?}");
        for (name, bytes) in before.iter().filter(|(name, _)| *name != "chain.jsonl") {
            assert!(after[name].starts_with(bytes), "{cut}: nothing of {name} is lost");
        }
        // A round is 15 bytes.
        assert!(beyond <= 15, "{cut}: {beyond}");
    }
}

#[test]
fn a_chain_s_file_is_cut_to_its_whole_lines_and_goes_on_from_there() {
    let device = Device::new(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.jsonl");
    let mut writer =
        Writer::create(std::fs::File::create_new(&path).unwrap(), header(&device, "a1")).unwrap();
    let mut track = Shared::default().track("events.jsonl");
    track.write(b"an event\n").unwrap();
    writer.seal([&mut track]).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [whole.as_slice(), b"{\"line\":\"blo"].concat()).unwrap();
    let (file, recovered) = Recovered::open(&path).unwrap();
    assert_eq!((std::fs::read(&path).unwrap(), recovered.torn_bytes()), (whole, 12));
    let mut writer = Writer::resume(file, recovered, 0, at(9)).unwrap();
    track.write(b"another\n").unwrap();
    writer.seal([&mut track]).unwrap();
    drop(writer);
    let (_, recovered) = Recovered::open(&path).unwrap();
    assert_eq!((recovered.state().blocks(), recovered.state().resumed(), recovered.torn_bytes()), (2, 1, 0));
}

#[test]
fn data_is_durable_before_its_line_is_written() {
    let device = Device::new(1);
    let disk = Shared::default();
    let mut writer = Writer::create(disk.open("chain.jsonl"), header(&device, "a1")).unwrap();
    let mut track = disk.track("events.jsonl");
    for round in 1..=3 {
        track.write(b"event").unwrap();
        // The chain's file takes nothing: whatever happens then, the data is safe.
        disk.0.borrow_mut().room = if round == 3 { Some(5) } else { None };
        let sealed = writer.seal([&mut track]);
        assert_eq!(sealed.is_err(), round == 3);
        assert_eq!(disk.0.borrow().durable["events.jsonl"], round * 5);
    }
}

#[test]
fn after_any_error_nothing_is_written_and_what_was_sealed_stays() {
    let device = Device::new(1);
    let whole: usize = {
        let files = bundle(&device, "a1");
        files.values().map(Vec::len).sum()
    };
    for room in 0..whole {
        let kind = [io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied][room % 2];
        let disk = Shared::default();
        disk.0.borrow_mut().room = Some(room);
        disk.0.borrow_mut().error = Some(kind);
        let Ok(mut writer) = Writer::create(disk.open("chain.jsonl"), header(&device, "a1")) else {
            continue;
        };
        let mut track = disk.track("events.jsonl");
        let mut sealed = 0;
        while track.write(b"an event\n").is_ok() && writer.seal([&mut track]).is_ok() {
            sealed += 9;
        }
        let before = disk.files();
        disk.0.borrow_mut().room = None;
        // There is room again, and the writer does not trust what it wrote.
        assert!(matches!(writer.seal([&mut track]), Err(ChainError::Failed(_))));
        assert!(matches!(writer.to_sign(at(1)), Err(ChainError::Failed(_))));
        assert!(matches!(writer.end(Text::new("end").unwrap(), at(1)), Err(ChainError::Failed(_))));
        assert_eq!(disk.files(), before);
        let report = check(&before, &Expected::Key(device.key())).unwrap();
        assert!(report.bytes >= sealed, "{room}");
        assert!(
            matches!(report.breaks.as_slice(), [] | [drawbridge_chain::Break::Torn(_)]),
            "{room}: {report:?}"
        );
        assert!(go_on(&before, &device).is_ok(), "{room}");
    }
}

#[test]
fn a_sync_that_fails_is_an_error_for_good() {
    let device = Device::new(1);
    for bad in 1..=5 {
        let disk = Shared::default();
        disk.0.borrow_mut().bad_sync = Some(bad);
        let Ok(mut writer) = Writer::create(disk.open("chain.jsonl"), header(&device, "a1")) else {
            assert_eq!(bad, 1);
            continue;
        };
        let mut track = disk.track("events.jsonl");
        let mut first = None;
        for _ in 0..3 {
            if track.write(b"event").is_ok() && writer.seal([&mut track]).is_err() {
                first = Some(disk.0.borrow().syncs);
                break;
            }
        }
        assert_eq!(first, Some(bad));
        assert!(matches!(writer.seal([&mut track]), Err(ChainError::Failed(_))));
        assert_eq!(disk.0.borrow().syncs, bad);
    }
}

#[test]
fn a_fault_inside_a_chain_is_no_cut() {
    let device = Device::new(1);
    let files = bundle(&device, "a1");
    let last = files["chain.jsonl"].len()
        - files["chain.jsonl"].rsplit(|byte| *byte == b'\n').nth(1).unwrap().len()
        - 1;
    let first = files["chain.jsonl"].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for at in first..last - 1 {
        let mut chain = files["chain.jsonl"].clone();
        chain[at] ^= 1;
        let recovered = Recovered::read(chain.as_slice());
        assert!(matches!(recovered, Err(RecoveryFault::Inside { .. })), "{at}: {recovered:?}");
    }
    // What was never written reads as zeros.
    let mut zeros = files["chain.jsonl"][..last].to_vec();
    zeros.extend_from_slice(&[0; 4000]);
    let recovered = Recovered::read(zeros.as_slice()).unwrap();
    assert_eq!((recovered.valid_bytes(), recovered.torn_bytes()), (last as u64, 4000));
    zeros.resize(last + 74_000, 0);
    assert!(Recovered::read(zeros.as_slice()).is_err());
    let short = Recovered::read(files["chain.jsonl"].as_slice()).unwrap();
    let track = TrackName::new("events.jsonl").unwrap();
    assert!(matches!(short.beyond(&track, 41), Err(RecoveryFault::Short { sealed: 42, found: 41, .. })));
    assert_eq!(short.beyond(&track, 50).unwrap(), 8);
}

#[test]
fn a_signer_who_is_away_holds_nothing_up_and_is_asked_again() {
    let device = Device::new(1);
    let disk = Shared::default();
    let mut writer = Writer::create(disk.open("chain.jsonl"), header(&device, "a1")).unwrap();
    let mut track = disk.track("events.jsonl");
    assert_eq!(writer.to_sign(at(0)).unwrap(), None);
    track.write(b"one").unwrap();
    writer.seal([&mut track]).unwrap();
    let asked = writer.to_sign(at(1)).unwrap().unwrap();
    track.write(b"two").unwrap();
    writer.seal([&mut track]).unwrap();
    assert_eq!(writer.to_sign(at(2)).unwrap(), Some(asked));
    writer.signed(&asked, device.sign(&asked)).unwrap();
    assert_eq!(writer.state().signed(), Some((1, at(1))));
    assert!(matches!(writer.signed(&asked, device.sign(&asked)), Err(ChainError::NotAsked)));
    let next = writer.to_sign(at(3)).unwrap().unwrap();
    // The end needs a mark of its own, and the one before is of no use any more.
    let end = writer.end(Text::new("end").unwrap(), at(4)).unwrap();
    assert!(matches!(writer.signed(&next, device.sign(&next)), Err(ChainError::NotAsked)));
    assert_eq!(writer.end(Text::new("again").unwrap(), at(5)).unwrap(), end);
    track.write(b"three").unwrap();
    assert!(matches!(writer.seal([&mut track]), Err(ChainError::Order(_))));
}

#[test]
fn an_end_without_its_signature_is_signed_after_a_cut() {
    let device = Device::new(1);
    let files = bundle(&device, "a1");
    let mut cut = files.clone();
    let chain = cut.get_mut("chain.jsonl").unwrap();
    let last = chain[..chain.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    chain.truncate(last);
    assert_eq!(check(&cut, &Expected::Key(device.key())).unwrap().verdict, Verdict::Unfinished);
    let (after, _) = go_on(&cut, &device).unwrap();
    assert_eq!(after, files);
}

#[test]
fn a_chain_that_continues_another_is_linked_to_it() {
    let device = Device::new(1);
    let first = bundle(&device, "a1");
    let report = check(&first, &Expected::Key(device.key())).unwrap();
    let next = |link| {
        let disk = Shared::default();
        let header = Header { link, ..header(&device, "a2") };
        let mut writer = Writer::create(disk.open("chain.jsonl"), header).unwrap();
        let to_sign = writer.end(Text::new("end").unwrap(), at(1)).unwrap();
        writer.signed(&to_sign, device.sign(&to_sign)).unwrap();
        check(&disk.files(), &Expected::Key(device.key())).unwrap()
    };
    assert!(next(Some(report.head)).continues(&report));
    assert!(!next(None).continues(&report));
    assert!(!report.continues(&report));
}

#[test]
fn a_burst_is_sealed_in_blocks_of_the_longest_length() {
    let device = Device::new(1);
    let folder = tempfile::tempdir().unwrap();
    let create = |name: &str| std::fs::File::create_new(folder.path().join(name)).unwrap();
    let mut writer = Writer::create(create("chain.jsonl"), header(&device, "a1")).unwrap();
    let mut track = Track::new(TrackName::new("terminal-1.ttyrec").unwrap(), create("terminal-1.ttyrec"));
    for length in [1, 65_535, 65_536, 65_537, 300_000] {
        track.write(&vec![7; length]).unwrap();
    }
    let total = 1 + 65_535 + 65_536 + 65_537 + 300_000;
    assert_eq!((track.bytes(), track.unsealed()), (total, total));
    writer.seal([&mut track]).unwrap();
    assert_eq!(track.unsealed(), 0);
    let to_sign = writer.end(Text::new("end").unwrap(), at(1)).unwrap();
    writer.signed(&to_sign, device.sign(&to_sign)).unwrap();
    let chain = io::BufReader::new(std::fs::File::open(folder.path().join("chain.jsonl")).unwrap());
    let mut tracks = drawbridge_chain::FolderTracks::new(folder.path());
    let report = drawbridge_chain::verify(chain, &mut tracks, &Expected::Key(device.key())).unwrap();
    assert!(matches!(report.verdict, Verdict::Whole { .. }), "{report:?}");
    assert_eq!((report.blocks, report.bytes), (total.div_ceil(BLOCK_BYTES), total));
}
