//! Bytes of a control connection, read as the server and as the appliance do: however they are cut into pieces, the same
//! messages and the same error come out, and a message that was read can be written and read again.
#![no_main]

use drawbridge_wire::{Decoder, FRAME_BYTES, FrameError, ToAppliance, ToServer, encode};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

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
            stream.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
            stream.extend_from_slice(message);
        }
    }
    check::<ToServer>(&stream, *pieces);
    check::<ToAppliance>(&stream, *pieces);
});

fn check<M: Serialize + DeserializeOwned + PartialEq + Debug>(stream: &[u8], pieces: [u8; 4]) {
    let whole = read::<M>(stream, std::iter::once(stream.len().max(1)));
    let cut = read::<M>(stream, pieces.iter().map(|piece| usize::from(*piece) + 1).cycle());
    assert_eq!(whole, cut, "the messages depend on how the bytes were cut");
    for message in whole.0 {
        let bytes = encode(&message).expect("a message that was read can be written");
        assert!(bytes.len() <= 4 + FRAME_BYTES);
        assert_eq!(read::<M>(&bytes, std::iter::once(bytes.len())), (vec![message], None));
    }
}

/// The messages of a stream that arrives in pieces of these lengths, and the error that ended it.
fn read<M: DeserializeOwned>(
    mut stream: &[u8],
    pieces: impl Iterator<Item = usize>,
) -> (Vec<M>, Option<FrameError>) {
    let mut decoder = Decoder::default();
    let mut messages = Vec::new();
    for length in pieces {
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        if stream.is_empty() {
            break;
        }
    }
    (messages, None)
}
