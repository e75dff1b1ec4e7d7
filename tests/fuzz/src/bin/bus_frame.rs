//! Bytes of a bus connection: however they are cut into pieces, the same frames and the same error come out, and a frame
//! that was read can be written and read again.
#![no_main]

use drawbridge_bus::frame::{Decoder, FRAME_BYTES, Frame, FrameError, encode};
use libfuzzer_sys::fuzz_target;

// The first byte chooses the form, the next four the pieces. Random bytes seldom start with the length of what follows, so
// in one form of two the length is put in front of what the fuzzer wrote.
fuzz_target!(|data: &[u8]| {
    let Some((form, rest)) = data.split_first() else { return };
    let Some((pieces, body)) = rest.split_first_chunk::<4>() else { return };
    let mut stream = Vec::new();
    if form % 2 == 0 {
        stream.extend_from_slice(body);
    } else {
        for message in body.split(|byte| *byte == 0xff) {
            stream.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_le_bytes());
            stream.extend_from_slice(message);
        }
    }

    let whole = read(&stream, std::iter::once(stream.len().max(1)));
    let cut = read(&stream, pieces.iter().map(|piece| usize::from(*piece) + 1).cycle());
    assert_eq!(whole, cut, "the frames depend on how the bytes were cut");

    for frame in whole.0 {
        let bytes = encode(&frame).expect("a frame that was read can be written");
        assert!(bytes.len() <= 4 + FRAME_BYTES);
        assert_eq!(read(&bytes, std::iter::once(bytes.len())), (vec![frame], None));
    }
});

/// The frames of a stream that arrives in pieces of these lengths, and the error that ended it.
fn read(mut stream: &[u8], pieces: impl Iterator<Item = usize>) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for length in pieces {
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
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
