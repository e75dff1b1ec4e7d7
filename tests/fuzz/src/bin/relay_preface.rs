//! What the tunnel's relay says first to the SSH daemon: a caller is named as it is written again, or there is none.
#![no_main]

use drawbridge_bus::bridge::SecretBytes;
use drawbridge_bus::relay::{NAME_BYTES, parse, preface};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(caller) = parse(data) else { return };
    assert!(caller.name.len() <= NAME_BYTES && !caller.name.chars().any(char::is_control));
    let again = preface(&SecretBytes::new([7; 32]), &caller);
    assert_eq!(parse(&again[4 + 32 + 2..]), Some(caller));
});
