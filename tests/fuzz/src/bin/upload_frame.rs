//! Frames of a connection for recordings: whatever the bytes are, what is read of them is within its bounds, names no path, and can
//! be written and read again as the same.
#![no_main]

use drawbridge_wire::upload::{
    Answer, ChainLine, DATA_BYTES, FRAME_BYTES, LINE_BYTES, RecordingName, Upload, encode, parse,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = parse::<Upload>(data) {
        match &message {
            Upload::Begin(name) => is_name(name),
            Upload::Line(line) => is_bounded(line),
            Upload::Keep => {}
        }
        let bytes = encode(&message).expect("a message that was read can be written");
        assert!(bytes.len() <= 4 + FRAME_BYTES);
        assert_eq!(parse::<Upload>(&bytes[4..]).expect("what was written can be read"), message);
    }
    if let Ok(answer) = parse::<Answer>(data) {
        if let Answer::Refused { why, remedy } = &answer {
            assert!(!why.as_str().contains(char::is_control) && !remedy.as_str().contains(char::is_control));
        }
        let bytes = encode(&answer).expect("an answer that was read can be written");
        assert_eq!(parse::<Answer>(&bytes[4..]).expect("what was written can be read"), answer);
    }
});

fn is_name(name: &RecordingName) {
    let text = name.as_str();
    assert!(!text.is_empty() && text.len() <= 40 && !text.starts_with('-'));
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
}

fn is_bounded(line: &ChainLine) {
    assert!((1..=LINE_BYTES).contains(&line.line().len()) && line.data().len() <= DATA_BYTES);
    assert!(!line.line().contains(&b'\n'));
}
