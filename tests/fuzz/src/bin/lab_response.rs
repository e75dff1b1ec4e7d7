//! An HTTP answer as the lab's client reads it: what was understood stays so, whatever comes behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file alone: the rest of the lab would be compiled for nothing.
#[path = "../../../../qemu/src/https/response.rs"]
mod response;

use response::parse;

fuzz_target!(|data: &[u8]| {
    let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
    // Half of the inputs get a first line that is right.
    let bytes = match data.split_first() {
        Some((0..128, rest)) => {
            answer.extend_from_slice(rest);
            &answer
        }
        _ => data,
    };
    let early = parse(bytes, false);
    let ended = parse(bytes, true);
    if let Ok(Some(response)) = &early {
        assert_eq!(
            ended.as_ref().ok().and_then(Option::as_ref),
            Some(response),
            "its end changes what it was"
        );
        assert_eq!(
            parse(&[bytes, b"\r\n\r\nmore"].concat(), false),
            early,
            "what follows changes what it was"
        );
    }
    if let Ok(Some(response)) = ended {
        assert!(response.body.len() <= bytes.len(), "a body longer than what came");
    }
});
