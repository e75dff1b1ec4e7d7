//! The stream between QEMU and the lab: however it is cut into pieces the same frames come out, and what was framed is
//! taken apart again.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file alone: the rest of the lab would be compiled for nothing.
#[path = "../../../../qemu/src/net/wire.rs"]
mod wire;

use wire::{Decoder, FramingError, encode};

fuzz_target!(|data: &[u8]| {
    let Some((pieces, body)) = data.split_first_chunk::<4>() else { return };
    let cuts = || pieces.iter().map(|piece| usize::from(*piece) + 1).cycle();
    assert_eq!(
        read(body, std::iter::once(body.len().max(1))),
        read(body, cuts()),
        "the frames depend on the pieces"
    );

    let frames: Vec<Vec<u8>> = body.split(|byte| *byte == 0xff).map(<[u8]>::to_vec).collect();
    let mut stream = Vec::new();
    assert!(frames.iter().all(|frame| encode(frame, &mut stream)));
    assert_eq!(read(&stream, cuts()), (frames, None));
});

/// The frames of a stream that arrives in pieces of these lengths, and the error that ended it.
fn read(mut stream: &[u8], pieces: impl Iterator<Item = usize>) -> (Vec<Vec<u8>>, Option<FramingError>) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for length in pieces {
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        if stream.is_empty() {
            break;
        }
    }
    (frames, None)
}
