//! Whatever is changed in a bundle is found, with its place.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod common;

use common::{Device, Files, Shared, at, bundle, check, header};
use drawbridge_chain::{
    Break, Expected, Fault, Kind, MOST_BREAKS, Text, ToSign, Trust, Verdict, VerifyFault, Writer,
};

fn is_whole(files: &Files, device: &Device) -> bool {
    check(files, &Expected::Key(device.key()))
        .is_ok_and(|report| matches!(report.verdict, Verdict::Whole { .. }))
}

fn lines(files: &Files) -> Vec<Vec<u8>> {
    files["chain.jsonl"].split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn with_lines(files: &Files, lines: &[Vec<u8>]) -> Files {
    let mut files = files.clone();
    files.insert("chain.jsonl".to_owned(), lines.concat());
    files
}

#[test]
fn a_whole_bundle_is_whole_and_says_who_and_when() {
    let device = Device::new(1);
    let files = bundle(&device, "a1");
    let report = check(&files, &Expected::Key(device.key())).unwrap();
    assert_eq!(report.verdict, Verdict::Whole { end: Text::new("the engineer left").unwrap() });
    assert_eq!((report.blocks, report.signed, report.proved(), report.unsigned()), (6, 6, 6, 0));
    assert_eq!((report.header.serial.as_str(), report.header.kind), ("SN-1", Kind::Recording));
    assert_eq!((report.signed_at, report.trust), (Some(at(4)), Trust::Known));
    let seen = check(&files, &Expected::FirstSight).unwrap();
    assert_eq!(seen.trust, Trust::FirstSight);
    let by_fingerprint = check(&files, &Expected::Fingerprint(device.key().hash())).unwrap();
    assert_eq!(by_fingerprint.trust, Trust::Known);
}

#[test]
fn each_single_bit_of_a_bundle_that_is_flipped_is_found() {
    let device = Device::new(1);
    let files = bundle(&device, "a1");
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = files.clone();
                changed.get_mut(name).unwrap()[at] ^= 1 << bit;
                // Whatever key its header names: with an expected one, less is whole and not more.
                let seen = check(&changed, &Expected::FirstSight);
                assert!(
                    !seen.is_ok_and(|report| matches!(report.verdict, Verdict::Whole { .. })),
                    "{at} of {name}"
                );
            }
        }
    }
}

#[test]
fn a_changed_byte_of_a_track_is_found_at_its_block_and_the_rest_is_looked_at() {
    let device = Device::new(1);
    let mut files = bundle(&device, "a1");
    // "event 1 of a1\n" has 14 bytes: this is in the second of the track, the chain's third.
    files.get_mut("events.jsonl").unwrap()[20] ^= 1;
    let report = check(&files, &Expected::Key(device.key())).unwrap();
    assert_eq!((report.verdict.clone(), report.broken), (Verdict::Broken, 1));
    let Break::Changed(place) = &report.breaks[0] else { panic!("{:?}", report.breaks) };
    assert_eq!((place.block, place.from, place.to), (3, 14, 28));
    assert_eq!(place.track.as_ref().unwrap().as_str(), "events.jsonl");
    // The chain itself is whole, so all before the block is proved.
    assert_eq!((report.proved(), report.signed, report.blocks), (2, 6, 6));
    assert!(report.breaks[0].to_string().starts_with("events.jsonl, block 3, bytes 14 to 28: "));
}

#[test]
fn a_track_that_is_cut_at_any_byte_or_gone_is_found_at_that_byte() {
    let device = Device::new(1);
    let files = bundle(&device, "a1");
    for name in ["events.jsonl", "terminal-1.ttyrec"] {
        for length in 0..files[name].len() {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap().truncate(length);
            let report = check(&changed, &Expected::Key(device.key())).unwrap();
            let Break::Cut(place) = &report.breaks[0] else { panic!("{:?}", report.breaks) };
            assert_eq!((place.track.as_ref().unwrap().as_str(), place.from), (name, length as u64));
        }
        let mut changed = files.clone();
        changed.remove(name);
        let report = check(&changed, &Expected::Key(device.key())).unwrap();
        assert!(matches!(report.breaks[0], Break::Missing(_)));
    }
}

#[test]
fn each_line_that_is_taken_out_repeated_swapped_or_foreign_is_found() {
    let device = Device::new(1);
    let files = bundle(&device, "a1");
    let ours = lines(&files);
    let foreign = lines(&bundle(&device, "b2"));
    for at in 0..ours.len() {
        let mut without = ours.clone();
        without.remove(at);
        assert!(!is_whole(&with_lines(&files, &without), &device), "without line {at}");
        for to in 0..=ours.len() {
            let mut twice = ours.clone();
            twice.insert(to, ours[at].clone());
            assert!(!is_whole(&with_lines(&files, &twice), &device), "line {at} again at {to}");
            let mut added = ours.clone();
            added.insert(to, foreign[at].clone());
            assert!(!is_whole(&with_lines(&files, &added), &device), "foreign line {at} at {to}");
        }
        for (other, foreign) in foreign.iter().enumerate().take(ours.len()) {
            if other != at {
                let mut swapped = ours.clone();
                swapped.swap(at, other);
                assert!(!is_whole(&with_lines(&files, &swapped), &device), "{at} and {other} swapped");
            }
            let mut replaced = ours.clone();
            replaced[at].clone_from(foreign);
            assert!(
                !is_whole(&with_lines(&files, &replaced), &device),
                "foreign line {other} in the place of {at}"
            );
        }
    }
}

#[test]
fn what_was_done_to_blocks_is_told() {
    let device = Device::new(1);
    let files = bundle(&device, "a1");
    let ours = lines(&files);
    let first = |lines: &[Vec<u8>]| {
        let report = check(&with_lines(&files, lines), &Expected::Key(device.key())).unwrap();
        let Some(Break::Line(place, fault)) = report.breaks.first().cloned() else { panic!("{report:?}") };
        (place.line, place.block, fault)
    };
    // Header, block 1, block 2, mark, signature, block 3.
    let mut without = ours.clone();
    without.remove(1);
    assert_eq!(first(&without), (2, 0, Fault::Missing { expected: 1, found: 2 }));
    let mut twice = ours.clone();
    twice.insert(2, ours[1].clone());
    assert_eq!(first(&twice), (3, 1, Fault::Repeated(1)));
    let mut unsigned = ours.clone();
    unsigned.remove(4);
    assert_eq!(first(&unsigned), (5, 2, Fault::Changed));
    let mut more = ours.clone();
    more.push(ours[1].clone());
    assert_eq!(first(&more).2, Fault::AfterEnd);
    let mut joined = ours.clone();
    joined.splice(1..1, lines(&bundle(&device, "b2")));
    assert_eq!(first(&joined).2, Fault::SecondHeader);
}

#[test]
fn blocks_of_a_track_that_change_places_are_found_both() {
    let device = Device::new(1);
    let mut files = bundle(&device, "a1");
    files.get_mut("events.jsonl").unwrap().rotate_left(14);
    let report = check(&files, &Expected::Key(device.key())).unwrap();
    assert_eq!(report.broken, 3);
    assert!(report.breaks.iter().all(|wrong| matches!(wrong, Break::Changed(_))));
}

#[test]
fn what_is_added_to_a_track_or_beside_them_is_found() {
    let device = Device::new(1);
    let files = bundle(&device, "a1");
    let mut longer = files.clone();
    longer.get_mut("events.jsonl").unwrap().extend_from_slice(b"more\n");
    let report = check(&longer, &Expected::Key(device.key())).unwrap();
    let Break::Beyond(place) = &report.breaks[0] else { panic!("{:?}", report.breaks) };
    assert_eq!((place.from, place.to), (42, 47));
    for name in ["terminal-2.ttyrec", ".hidden", "a\u{1b}b"] {
        let mut foreign = files.clone();
        foreign.insert(name.to_owned(), Vec::new());
        let report = check(&foreign, &Expected::Key(device.key())).unwrap();
        assert!(matches!(&report.breaks[0], Break::Foreign(shown) if !shown.as_str().contains('\u{1b}')));
        assert_eq!(report.verdict, Verdict::Broken);
    }
}

#[test]
fn an_end_that_was_cut_off_is_an_unsigned_tail_and_never_whole() {
    let device = Device::new(1);
    let files = bundle(&device, "a1");
    let ours = lines(&files);
    let signed = [0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 4];
    let blocks = [0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6];
    for kept in 1..ours.len() {
        let report = check(&with_lines(&files, &ours[..kept]), &Expected::Key(device.key())).unwrap();
        if kept < 12 {
            assert_eq!((report.verdict.clone(), report.broken), (Verdict::Unfinished, 0), "{kept} lines");
            assert_eq!(report.blocks, blocks[kept - 1], "{kept} lines");
        }
        assert_eq!(report.signed, signed[kept - 1], "{kept} lines");
        assert_eq!(report.proved(), report.signed);
    }
    // Cut within a line.
    for length in 1..files["chain.jsonl"].len() {
        let mut cut = files.clone();
        cut.get_mut("chain.jsonl").unwrap().truncate(length);
        assert!(!is_whole(&cut, &device), "cut at {length}");
    }
}

#[test]
fn a_chain_made_with_another_key_is_found_and_flagged_where_no_key_is_expected() {
    let (device, other) = (Device::new(1), Device::new(2));
    let forged = bundle(&other, "a1");
    let report = check(&forged, &Expected::Key(device.key())).unwrap();
    assert_eq!((report.breaks.clone(), report.signed), (vec![Break::Key(other.key())], 0));
    assert_eq!(report.verdict, Verdict::Broken);
    assert_eq!(check(&forged, &Expected::FirstSight).unwrap().trust, Trust::FirstSight);
    // The device's name on a chain that somebody else signs.
    let disk = Shared::default();
    let mut writer = Writer::create(disk.open("chain.jsonl"), header(&device, "a1")).unwrap();
    let mut track = disk.track("events.jsonl");
    track.write(b"made up").unwrap();
    writer.seal([&mut track]).unwrap();
    let to_sign = writer.end(Text::new("made up").unwrap(), at(1)).unwrap();
    assert!(writer.signed(&to_sign, other.sign(&to_sign)).is_err());
    // Nor does one for an audit count.
    let audit = ToSign { kind: Kind::Audit, ..to_sign };
    assert!(writer.signed(&to_sign, device.sign(&audit)).is_err());
    writer.signed(&to_sign, device.sign(&to_sign)).unwrap();
    assert!(is_whole(&disk.files(), &device));
}

#[test]
fn breaks_are_counted_all_and_told_up_to_a_bound() {
    let device = Device::new(1);
    let disk = Shared::default();
    let mut writer = Writer::create(disk.open("chain.jsonl"), header(&device, "a1")).unwrap();
    let mut track = disk.track("events.jsonl");
    for _ in 0..100 {
        track.write(b"x").unwrap();
        writer.seal([&mut track]).unwrap();
    }
    let to_sign = writer.end(Text::new("end").unwrap(), at(1)).unwrap();
    writer.signed(&to_sign, device.sign(&to_sign)).unwrap();
    let mut files = disk.files();
    files.insert("events.jsonl".to_owned(), vec![b'y'; 100]);
    let report = check(&files, &Expected::Key(device.key())).unwrap();
    assert_eq!((report.broken, report.breaks.len(), report.proved()), (100, MOST_BREAKS, 0));
}

#[test]
fn what_is_no_chain_is_told_from_a_broken_one() {
    for bytes in [b"".as_slice(), b"\n", b"{}\n", b"PK\x03\x04", &vec![0; 100_000]] {
        let files = Files::from([("chain.jsonl".to_owned(), bytes.to_vec())]);
        assert!(matches!(check(&files, &Expected::FirstSight), Err(VerifyFault::NoChain(_))));
    }
}
