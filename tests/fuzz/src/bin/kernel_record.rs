//! A record of the kernel's log, whose text a device can choose (a USB stick's name): it is one line, fit to be shown.
#![no_main]

use drawbridge_bus::message::LOG_LINE_BYTES;
use drawbridge_init::kmsg::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Seldom does a fuzzer write a whole head: half of its inputs get one.
    let mut bytes = data.to_vec();
    if let Some((0..128, text)) = data.split_first() {
        bytes = [b"30,339,5140900,-,caller=T1;", text].concat();
    }
    let Some(record) = parse(&bytes) else { return };
    assert!(record.text.len() <= LOG_LINE_BYTES, "{} bytes", record.text.len());
    assert!(!record.text.chars().any(char::is_control), "a control character: {:?}", record.text);
    let head = bytes.split(|byte| *byte == b';').next().unwrap_or_default();
    assert!(head.iter().filter(|byte| **byte == b',').count() >= 2, "a record without its fields");
});
