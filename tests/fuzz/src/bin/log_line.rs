//! A log line as a role wrote it: one bounded line comes out that can do nothing to a terminal, and it comes out of itself.
#![no_main]

use drawbridge_bus::logger::{clean, read_line};
use drawbridge_bus::message::LOG_LINE_BYTES;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (_, line) = read_line(data);
    assert!(line.len() <= LOG_LINE_BYTES, "{} bytes", line.len());
    assert!(!line.chars().any(char::is_control), "a control character: {line:?}");
    assert!(!line.contains(['\u{2028}', '\u{2029}']), "more than one line: {line:?}");
    assert!(!line.contains(['\u{202e}', '\u{2066}']), "text that runs the other way: {line:?}");
    assert_eq!(clean(&line), line, "what is clean is changed when it is cleaned again");
});
