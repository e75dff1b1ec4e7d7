use super::*;

fn records(parts: &[&[u8]], content: &ContentKey, name: &str) -> Vec<u8> {
    let mut sealing = Sealing::new(content, name).unwrap();
    let mut file = Vec::new();
    for part in parts {
        sealing.take(part, &mut file).unwrap();
        sealing.close(&mut file).unwrap();
    }
    file
}

fn opened(file: &[u8], content: &ContentKey, name: &str) -> Result<Vec<Vec<u8>>, RecordFault> {
    let mut opening = Opening::new(file, content, name).unwrap();
    let mut all = Vec::new();
    while let Some(part) = opening.next_record()? {
        all.push(part.to_vec());
    }
    Ok(all)
}

#[test]
fn what_is_sealed_opens_with_its_key_name_and_place_only() {
    let (content, other) = (ContentKey::generate().unwrap(), ContentKey::generate().unwrap());
    let file = records(&[b"one", b"two two", b"three"], &content, "a");
    assert_eq!(opened(&file, &content, "a").unwrap(), [b"one".as_slice(), b"two two", b"three"]);
    assert!(matches!(opened(&file, &other, "a"), Err(RecordFault::Key(0))));
    assert!(matches!(opened(&file, &content, "b"), Err(RecordFault::Key(0))));
    // A record of 3 bytes takes 12 + 3 + 16.
    let (first, rest) = file.split_at(31);
    assert!(matches!(opened(rest, &content, "a"), Err(RecordFault::Key(0))));
    let twice = [first, first].concat();
    assert!(matches!(opened(&twice, &content, "a"), Err(RecordFault::Key(1))));
    let mut from_there = Opening::at(rest, 1, &content, "a").unwrap();
    assert_eq!(from_there.next_record().unwrap().unwrap(), b"two two");
    assert_eq!((from_there.number(), from_there.bytes()), (2, 35));
}

#[test]
fn equal_pieces_look_different_and_nothing_shows_in_the_clear() {
    let content = ContentKey::generate().unwrap();
    let file = records(&[b"password", b"password"], &content, "a");
    assert!(!file.windows(8).any(|part| part == b"password"));
    assert_ne!(file[12..36], file[48..72]);
}

#[test]
fn whole_pieces_fill_a_record_and_none_is_divided() {
    let content = ContentKey::generate().unwrap();
    let mut sealing = Sealing::new(&content, "a").unwrap();
    let mut file = Vec::new();
    for _ in 0..5 {
        sealing.take(&vec![7; 30_000], &mut file).unwrap();
    }
    assert_eq!(sealing.waiting(), 30_000);
    sealing.close(&mut file).unwrap();
    sealing.close(&mut file).unwrap();
    let sizes: Vec<usize> = opened(&file, &content, "a").unwrap().iter().map(Vec::len).collect();
    assert_eq!(sizes, [60_000, 60_000, 30_000]);
    assert!(sealing.take(&vec![0; RECORD_BYTES + 1], &mut file).is_err());
    sealing.take(&vec![0; RECORD_BYTES], &mut file).unwrap();
    sealing.close(&mut file).unwrap();
    assert_eq!(opened(&file, &content, "a").unwrap().len(), 4);
}

#[test]
fn each_cut_and_each_changed_byte_is_found_without_a_key() {
    let content = ContentKey::generate().unwrap();
    let file = records(&[b"one", b"two"], &content, "a");
    for cut in 0..file.len() {
        let mut reader = RecordReader::new(&file[..cut]);
        let mut whole = 0;
        let end = loop {
            match reader.next_sealed() {
                Ok(Some(_)) => whole += 1,
                Ok(None) => break None,
                Err(fault) => break Some(fault),
            }
        };
        assert_eq!(whole, cut / 31, "{cut}");
        assert_eq!(reader.bytes(), 31 * (cut as u64 / 31));
        assert_eq!(end.is_some(), cut % 31 != 0);
        assert!(matches!(end, None | Some(RecordFault::Cut(_))), "{cut}: {end:?}");
    }
    for place in 0..file.len() {
        for bit in [1, 128] {
            let mut changed = file.clone();
            changed[place] ^= bit;
            let mut reader = RecordReader::new(changed.as_slice());
            let whole = std::iter::from_fn(|| reader.next_sealed().ok().flatten().map(|_| ())).count();
            assert_eq!(whole, place / 31, "{place}");
        }
    }
    // What a file system had no time to write.
    assert!(matches!(RecordReader::new([0; 64].as_slice()).next_sealed(), Err(RecordFault::Malformed(0))));
}

#[test]
fn a_content_key_is_read_as_it_is_written_and_never_shown() {
    let content = ContentKey::generate().unwrap();
    let text = content.to_text();
    assert_eq!(text.len(), 65);
    assert_eq!(ContentKey::from_text(&text).unwrap().0, content.0);
    assert_eq!(ContentKey::from_text(text.trim_end()).unwrap().0, content.0);
    assert_eq!(format!("{content:?}"), "ContentKey");
    for wrong in ["", "00", &"g".repeat(64), &"0".repeat(63), &"0".repeat(65), &"\u{e4}".repeat(32)] {
        assert_eq!(ContentKey::from_text(wrong).unwrap_err(), ContentKeyFault, "{wrong}");
    }
}
