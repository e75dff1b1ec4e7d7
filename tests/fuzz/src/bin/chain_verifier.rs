//! A bundle of a chain and two tracks, and the list of a tar file: none is taken for whole without the device's key,
//! and what is read does not depend on how it is read.
#![no_main]

use drawbridge_chain::{DeviceKey, Expected, Line, Recovered, TrackName, Tracks, Verdict, verify};
use libfuzzer_sys::fuzz_target;
use std::io::{self, BufReader, Cursor};

struct Two<'a>([&'a [u8]; 2]);

impl Two<'_> {
    fn of(&self, track: &str) -> Option<&[u8]> {
        match track {
            "a" => Some(self.0[0]),
            "b" => Some(self.0[1]),
            _ => None,
        }
    }
}

impl Tracks for Two<'_> {
    fn bytes(&mut self, track: &TrackName) -> io::Result<Option<u64>> {
        Ok(self.of(track.as_str()).map(|bytes| bytes.len() as u64))
    }

    fn read_at(&mut self, track: &TrackName, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.of(track.as_str()).unwrap_or_default();
        let from = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let length = from.len().min(buffer.len());
        buffer[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        Ok(vec!["a".to_owned(), "b".to_owned()])
    }
}

fuzz_target!(|data: &[u8]| {
    // The tracks, then the chain.
    let (one, rest) = data.split_at(data.len().min(3));
    let (two, chain) = rest.split_at(rest.len().min(3));
    // The public key of RFC 8032's first test.
    let key = DeviceKey::parse_ssh(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
    )
    .expect("a key");
    let at_once = verify(chain, &mut Two([one, two]), &Expected::Key(key));
    let in_pieces = verify(BufReader::with_capacity(5, chain), &mut Two([one, two]), &Expected::Key(key));
    assert_eq!(format!("{at_once:?}"), format!("{in_pieces:?}"));
    if let Ok(report) = at_once {
        // Nobody here has the private half.
        assert!(!matches!(report.verdict, Verdict::Whole { .. }) && report.proved() == 0);
    }
    if let Ok(report) = verify(chain, &mut Two([one, two]), &Expected::FirstSight) {
        assert!(report.proved() <= report.signed && report.signed <= report.blocks);
        for wrong in &report.breaks {
            assert!(!wrong.to_string().contains(char::is_control));
        }
    }
    if let Ok(recovered) = Recovered::read(chain) {
        assert!(recovered.valid_bytes() + recovered.torn_bytes() <= chain.len() as u64);
        let valid = usize::try_from(recovered.valid_bytes()).expect("in memory");
        assert_eq!(Recovered::read(&chain[..valid]).expect("whole lines").torn_bytes(), 0);
    }
    if let Ok(line) = Line::parse(chain) {
        assert_eq!(line.encode(), chain);
    }
    if let Ok(entries) = drawbridge_recording::tar::read(Cursor::new(data)) {
        for (name, place) in entries {
            assert!(!name.contains('/') && place.start + place.length <= data.len() as u64);
        }
    }
});
