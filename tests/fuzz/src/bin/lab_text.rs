//! A guest's serial line as the lab reads it: however it is cut into pieces the same text comes out, without escapes.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file alone: the rest of the lab would be compiled for nothing.
#[allow(dead_code)]
#[path = "../../../../qemu/src/serial/text.rs"]
mod text;

use text::Cleaner;

fuzz_target!(|data: &[u8]| {
    let Some((pieces, stream)) = data.split_first_chunk::<4>() else { return };
    let whole = read(stream, std::iter::once(stream.len().max(1)));
    let cut = read(stream, pieces.iter().map(|piece| usize::from(*piece) + 1).cycle());
    assert_eq!(whole, cut, "the text depends on how the bytes were cut");
    let shown = |c: char| c == '\n' || c == '\t' || !c.is_ascii_control();
    assert!(whole.chars().all(shown), "an escape is left: {whole:?}");
});

/// The text of a stream that arrives in pieces of these lengths.
fn read(mut stream: &[u8], pieces: impl Iterator<Item = usize>) -> String {
    let mut cleaner = Cleaner::default();
    let mut text = String::new();
    for length in pieces {
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        cleaner.clean(piece, &mut text);
        if stream.is_empty() {
            break;
        }
    }
    text
}
