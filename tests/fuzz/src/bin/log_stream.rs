//! What a role writes to its log: however it is cut into pieces the same lines come out, bounded in length and number.
#![no_main]

use drawbridge_bus::Level;
use drawbridge_bus::message::LOG_LINE_BYTES;
use drawbridge_init::Lines;
use libfuzzer_sys::fuzz_target;

/// The most lines at once that `Lines` documents, and the one that tells of those dropped.
const MOST: usize = 500 + 1;

fuzz_target!(|data: &[u8]| {
    let Some((pieces, stream)) = data.split_first_chunk::<4>() else { return };
    let whole = read(stream, std::iter::once(stream.len().max(1)));
    let cut = read(stream, pieces.iter().map(|piece| usize::from(*piece) + 1).cycle());
    assert_eq!(whole, cut, "the lines depend on how the bytes were cut");
    assert!(whole.len() <= MOST, "{} lines", whole.len());
    for (_, line) in whole {
        assert!(line.len() <= LOG_LINE_BYTES && !line.chars().any(char::is_control), "{line:?}");
    }
});

/// The lines of a stream that arrives within one second in pieces of these lengths, and then ends.
fn read(mut stream: &[u8], pieces: impl Iterator<Item = usize>) -> Vec<(Level, String)> {
    let mut lines = Lines::default();
    let mut taken = Vec::new();
    for length in pieces {
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        lines.push(piece, 7, |level, text| taken.push((level, text)));
        if stream.is_empty() {
            break;
        }
    }
    lines.end(|level, text| taken.push((level, text)));
    taken
}
