//! Frames of a connection on which recordings are asked for back: whatever the bytes are, what is read of them is within its bounds,
//! names no path, has no control character, and can be written and read again as the same.
#![no_main]

use drawbridge_wire::archive::{Answer, Ask, FRAME_BYTES, PART_BYTES, encode, parse};
use drawbridge_wire::upload::RecordingName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(ask) = parse::<Ask>(data) {
        match &ask {
            Ask::List(None) => {}
            Ask::List(Some(name)) | Ask::Fetch(name) => is_name(name),
        }
        let bytes = encode(&ask).expect("a question that was read can be written");
        assert_eq!(parse::<Ask>(&bytes[4..]).expect("what was written can be read"), ask);
    }
    if let Ok(answer) = parse::<Answer>(data) {
        match &answer {
            Answer::Kept(kept) => {
                is_name(&kept.name);
                let texts = [Some(&kept.engineer), Some(&kept.session), kept.ended.as_ref()];
                for text in texts.into_iter().flatten() {
                    assert!(text.as_str().len() <= 256 && !text.as_str().contains(char::is_control));
                }
            }
            Answer::Part(part) => {
                assert!((1..=PART_BYTES).contains(&part.clone().into_bytes().len()));
            }
            Answer::Refused { why, remedy } => {
                assert!(
                    !why.as_str().contains(char::is_control) && !remedy.as_str().contains(char::is_control)
                );
            }
            Answer::Listed { .. } | Answer::Bundle(_) | Answer::Unknown => {}
        }
        let bytes = encode(&answer).expect("an answer that was read can be written");
        assert!(bytes.len() <= 4 + FRAME_BYTES);
        assert_eq!(parse::<Answer>(&bytes[4..]).expect("what was written can be read"), answer);
    }
});

fn is_name(name: &RecordingName) {
    let text = name.as_str();
    assert!(!text.is_empty() && text.len() <= 40 && !text.starts_with('-'));
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
}
