//! A terminal's recording as a file: frames are read within their bounds, and what is written from them reads the
//! same; an export never fails but by the frames.
#![no_main]

use drawbridge_recording::{FrameReader, READ_BYTES, cast, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut frames = FrameReader::new(data);
    let mut again = Vec::new();
    let mut last = std::time::Duration::ZERO;
    while let Ok(Some(frame)) = frames.next_frame() {
        assert!(!frame.data.is_empty() && frame.data.len() <= READ_BYTES && frame.time >= last);
        last = frame.time;
        encode(frame.time, &frame.data, &mut again);
    }
    let whole = usize::try_from(frames.bytes()).expect("in memory");
    assert!(whole <= data.len());
    let mut second = FrameReader::new(again.as_slice());
    while second.next_frame().expect("what was written").is_some() {}
    assert_eq!(second.bytes(), again.len() as u64);
    let mut out = Vec::new();
    cast::export(&mut FrameReader::new(&data[..whole]), &mut out).expect("whole frames");
    for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(line).expect("a line of JSON");
    }
});
